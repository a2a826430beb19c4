# SPDX-License-Identifier: GPL-2.0-only
"""A VM as casemate's trace has it."""

from typing import Final

from ..sides.guest import Guest
from .unflushed import Unflushed

# Bytes of a table.
PAGE: Final = 4096
# Above all memory of the model and of its tables: locks, and the idle root.
LOCKS: Final = 0xF000_0000_0000
IDLE: Final = LOCKS + PAGE


class TracedVm:
    """One VM in the trace.

    :param guest: the VM
    :param top: address of its table of level 0
    """

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        self.unflushed = Unflushed()
        self.lock = LOCKS + 8 * guest.number
        self.holds = 0
        # Pages of KVM's root, and addresses of the tables above it, the topmost first.
        self.root: list[int] = []
        self.above: list[int] = []
        self.top = 0
        self.unlinked = self.released = False
