# SPDX-License-Identifier: GPL-2.0-only
"""The side of a child process: the process that started it, as `fuzz.processes.child` does. Standard library only."""

import os
from collections.abc import Sequence

from .orphans import die_with_parent


class Parent:
    """The process that started this one.

    :param pipe: the descriptor for what it is told
    """

    def __init__(self, pipe: int) -> None:
        self.pipe = pipe

    def tell(self, line: bytes) -> None:
        """Say a line.

        :param line: without a line end
        """
        data = line + b"\n"
        while data:
            data = data[os.write(self.pipe, data) :]


def parent_of(arguments: Sequence[str]) -> tuple[Parent, list[str]]:
    """The parent of this process, with which it ends from now on, and the arguments that are left.

    :param arguments: what stands behind the name of the module
    """
    number, pipe, *rest = arguments
    die_with_parent(int(number))
    return Parent(int(pipe)), rest
