# SPDX-License-Identifier: GPL-2.0-only
"""locking: a VM that ends unregisters its notifier before it frees slots.

Notifiers look through the slots of their VM, also when its tables are gone. ``mmu_notifier_unregister()`` waits for
notifiers that run on other CPUs, and none begins later. No actor runs beside the end of a VM here, so the checker
judges the order of the steps.
"""

from typing import Final

from ..sides.guest import Guest
from ..sides.side import Side
from .checker import Checker, Peers
from .leak import END_OF_VM
from .locking import Locking

# The call that allocates what slots have.
CHANGES_SLOTS: Final = "kvm_set_memory_region"
EARLY: Final = "slots freed before the notifier was unregistered"


class SlotLifetime(Checker):
    """Judges small allocations of a tree that were made for slots and are freed when the VM ends."""

    rule = Locking.rule

    def __init__(self, side: Side, peers: Peers) -> None:
        super().__init__(side, peers)
        # The numbers of small allocations that were made for slots and are not freed.
        self.held: set[int] = set()
        # By number of a VM that ends: how many of these it has freed while its notifier was registered.
        self.early: dict[int, int] = {}
        # The place of the first of them, of the VM that ends last.
        self.where = ""
        # VMs that have ended, and whose notifier is unregistered.
        self.silent: set[int] = set()

    def object(self, number: int, held: bool, counted: bool) -> None:
        if held:
            if self.kernel.entry == CHANGES_SLOTS and not counted:
                self.held.add(number)
        elif number in self.held:
            self.held.discard(number)
            guest = self.side.active
            if guest.freed and guest.number not in self.silent:
                if guest.number not in self.early:
                    self.where = self.kernel.place
                self.early[guest.number] = self.early.get(guest.number, 0) + 1

    def unregistered(self, vmid: int) -> None:
        # A VM that could not be created unregisters its notifier, too.
        if self.side.active.freed:
            self.judge(vmid - 1, " when the notifier is unregistered")
            self.silent.add(vmid - 1)

    def vm_ended(self, guest: Guest) -> None:
        self.judge(guest.number, ", and the notifier is never unregistered")

    def destroyed(self) -> None:
        for number in sorted(self.early):
            self.judge(number, ", and the notifier is never unregistered")

    def judge(self, vm: int, when: str) -> None:
        """Report what a VM has freed while its notifier was registered."""
        count = self.early.pop(vm, 0)
        if count:
            what = "1 allocation of slots is" if count == 1 else f"{count} allocations of slots are"
            self.report(EARLY, -1, f"{what} already freed{when}", taints=False, function=END_OF_VM, where=self.where)
