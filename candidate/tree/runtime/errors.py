# SPDX-License-Identifier: GPL-2.0-only
"""The ends of a call into a tree besides its result."""


class TreeOops(Exception):
    """The tree's code crashed, said ``BUG()``, or did not come back.

    :param what: without addresses: what happened, and in which C function
    :param detail: for people: where, and the chain of calls
    """

    def __init__(self, what: str, detail: str) -> None:
        super().__init__(what)
        self.what = what
        self.detail = detail


class TwinDiffers(Exception):
    """Two trees that run one program do not do the same any more."""


class TreeRefused(Exception):
    """A program needs something that is not modelled for a tree: there is no verdict on it; the message says what."""
