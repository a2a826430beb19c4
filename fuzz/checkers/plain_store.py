# SPDX-License-Identifier: GPL-2.0-only
"""contract: entries that the hardware can reach are stored to by WRITE_ONCE(), or with release."""

from reference.machine.stage1 import describe_stage1

from ..sides.guest import Guest
from ..sides.side import Side
from .checker import Checker, Peers
from .contract import Contract
from .guest_pages import guest_pages
from .hyp import Hyp
from .shadow import Shadow
from .table import Table


class PlainStore(Checker):
    """Judges stores that the compiler may split, repeat or move, if a hardware walk may come in between.

    A table that is being created or destroyed may be written in any way. Otherwise such a store
    is like any other, and the other checkers judge its effect.
    """

    rule = Contract.rule

    def __init__(self, side: Side, peers: Peers) -> None:
        super().__init__(side, peers)
        self.shadows = peers.each(Shadow)
        self.hyp = peers.of(Hyp)
        self.destroying = False
        # The VM that ends while others continue.
        self.going: Guest | None = None

    def before_destruction(self) -> None:
        self.destroying = True

    def vm_ending(self, guest: Guest) -> None:
        self.going = guest

    def vm_ended(self, guest: Guest) -> None:
        self.going = None

    def plain_store(self, ptep: int, old: int, new: int) -> None:
        if self.destroying:
            return
        page, index = divmod(ptep, self.granule.entries)
        for shadow in self.shadows:
            table = shadow.by_page.get(page)
            if table is not None and table.live and not shadow.guest.creating and shadow.guest is not self.going:
                self.judge(table, index, old, new, shadow.guest.number)
        hyp_table = self.hyp.by_page.get(page)
        if hyp_table is not None and self.kernel.entry == "kvm_pgtable_hyp_map":
            self.judge(hyp_table, index, old, new, -1)

    def judge(self, table: Table, index: int, old: int, new: int, vm: int) -> None:
        """Judge a store to a live table of a VM, or of the hypervisor (*vm* is -1)."""
        level = table.level
        address = table.base + (index << self.granule.shifts[level])
        if vm < 0:
            before, after = describe_stage1(old, level, self.granule), describe_stage1(new, level, self.granule)
        else:
            before, after = self.text(old, level), self.text(new, level)
        page = guest_pages(frozenset([address]), self.granule.page_size).in_vm(max(vm, 0))
        reason = f"{before} -> {after} at {address:#x} by a plain store, which the compiler may split or repeat"
        self.report("live entry stored, not WRITE_ONCE", level, reason, page, taints=False)
