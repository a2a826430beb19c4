# SPDX-License-Identifier: GPL-2.0-only
"""The exceptions by which a call into a tree ends without a result."""

from typing import Final

# The beginning of the text of a `TreeNotStartedError`.
NOT_STARTED: Final = "a process of the kernel tree cannot be started"


class TreeOopsError(Exception):
    """Raised when the tree's code crashed, called ``BUG()``, or did not return.

    :param what: what happened and in which C function, without addresses
    :param detail: for people: the place, and the call chain
    """

    def __init__(self, what: str, detail: str) -> None:
        super().__init__(what)
        self.what = what
        self.detail = detail


class TwinDiffersError(Exception):
    """Raised when two trees that run one program no longer do the same."""


class TreeRefusedError(Exception):
    """Raised when a program needs a part of a tree that is not modelled, so it has no verdict; the message names it."""


class TreeNotStartedError(Exception):
    """Raised when the system cannot start a process of a tree now: a limit of processes, files or memory is reached.

    :param why: the error of the system
    """

    def __init__(self, why: str) -> None:
        super().__init__(f"{NOT_STARTED}: {why}")
