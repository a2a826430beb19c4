# SPDX-License-Identifier: GPL-2.0-only
"""The child's side of a process that `fuzz.processes.child` has started. Standard library only."""

import os
from collections.abc import Sequence

from .orphans import die_with_parent


class Parent:
    """The process that started this one.

    :param pipe: the descriptor to which lines for it are written
    """

    def __init__(self, pipe: int) -> None:
        self.pipe = pipe

    def tell(self, line: bytes) -> None:
        """Send a line to the parent.

        :param line: without a line end
        """
        data = line + b"\n"
        while data:
            data = data[os.write(self.pipe, data) :]


def parent_of(arguments: Sequence[str]) -> tuple[Parent, list[str]]:
    """Return the parent of this process and the remaining arguments; from now on this process ends with its parent.

    :param arguments: the command line after the name of the module
    """
    number, pipe, *rest = arguments
    die_with_parent(int(number))
    return Parent(int(pipe)), rest
