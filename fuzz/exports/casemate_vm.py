# SPDX-License-Identifier: GPL-2.0-only
"""A VM in casemate's trace."""

from typing import Final

from ..sides.guest import Guest
from .casemate_lines import PAGE
from .unflushed import Unflushed

# Addresses of locks and of the idle root, above all memory of the model and its tables.
LOCKS: Final = 0xF000_0000_0000
IDLE: Final = LOCKS + PAGE


class TracedVm:
    """One VM in the trace.

    :param guest: the VM

    *top*: address of its table of level 0
    """

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        self.unflushed = Unflushed()
        self.lock = LOCKS + 8 * guest.number
        self.holds = False
        # Pages of KVM's root, and addresses of the tables above it, topmost first.
        self.root: list[int] = []
        self.above: list[int] = []
        self.top = 0
        self.unlinked = self.released = False
