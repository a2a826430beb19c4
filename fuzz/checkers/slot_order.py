# SPDX-License-Identifier: GPL-2.0-only
"""fault-order: a slot that is deleted or moved is marked invalid, then unmapped, then replaced.

A deletion marks the slot invalid, waits for the readers of the old slots, and unmaps. A fault that begins later
finds no valid slot; a fault that began earlier has ended. In any other order, a fault maps again what was just
unmapped, and the guest keeps the memory of a slot that is gone. Only then does the deletion install slots without
it, or with the slot elsewhere. Notifiers find guest pages by the installed slots: a notifier that runs
while pages are still mapped at the previous place does not find them.

The checker judges the order of events, and needs no second actor. A range that is unmapped too early is excused if a
walker that unmaps walks it again once the slot is invalid and readers were waited for. A leaf that such a walker has
walked by then, and left, is judged by other checkers. A slot that is replaced at once
by none, or by one elsewhere, counts as marked. In a par block, only the caller's own actions count.
"""

from __future__ import annotations

from typing import Final

from reference.kvm import KVM_MEMSLOT_INVALID
from reference.machine.descriptor import LEAF, TABLE, VALID_BIT, kind

from ..language.operations import Operation, SlotDelete, SlotMove
from ..sides.guest import Guest
from ..sides.outcome import Outcome
from .call_order import CallOrder
from .checker import Peers
from .fault_order import FaultOrder
from .guest_pages import GuestPages, without
from .places import at_place

VALID: Final = "slot unmapped before it was marked invalid"
READ: Final = "slot unmapped before its readers were waited for"
REPLACED: Final = "slot replaced before it was unmapped"


class SlotOrder(CallOrder):
    """Judges what KVM_SET_USER_MEMORY_REGION unmaps of a slot that is deleted or moved."""

    rule = FaultOrder.rule

    def __init__(self, guest: Guest, peers: Peers) -> None:
        super().__init__(guest, peers)
        # The slot being removed: its number, and its previous range in bytes.
        self.number = -1
        self.start = 0
        self.end = 0
        # `marked`: no reader that begins now finds it. `gone`: all readers that have found it are done.
        self.marked = False
        self.gone = False
        # What was unmapped too early: the violation, start and end in bytes; and the source location of the first.
        self.early: list[tuple[str, int, int]] = []
        self.where = ""
        # The source location at which the slot was marked.
        self.marked_at = ""
        # Ranges that a walker unmapped once no vCPU could fault them in again.
        self.walked: list[tuple[int, int]] = []

    def before_operation(self, op: Operation | None) -> None:
        self.watch(op)

    def actor_begins(self, op: Operation) -> None:
        # At most one actor of a block changes slots.
        if isinstance(op, (SlotDelete, SlotMove)):
            self.watch(op)

    def actor_ends(self, op: Operation, outcome: Outcome) -> None:
        if self.watching and self.kernel.actor == self.caller:
            self.after_operation(op, outcome)
            self.watch(None)

    def watch(self, op: Operation | None) -> None:
        """Watch an operation that begins, if it is a judged call for this VM."""
        watching = False
        if isinstance(op, (SlotDelete, SlotMove)):
            layout = self.side.by_name[op.slot]
            watching = layout.slot.vm == self.guest.number
            if watching:
                self.caller = self.kernel.actor
                self.number = layout.id
                self.start, self.end = layout.ipa, layout.ipa + layout.size
                self.marked = self.gone = False
                self.marked_at = ""
        self.observe_frequent(watching)
        self.early.clear()
        self.walked.clear()

    def slots_installed(self, vmid: int, slot: int, flags: int, logged: bool) -> None:
        if not self.watching or vmid != self.vmid or slot != self.number or self.kernel.actor != self.caller:
            return
        found = self.guest.kvm_host.id_to_memslot(self.guest.kvm, slot)
        elsewhere = found is None or found.base_gfn << self.granule.page_shift != self.start
        if not self.marked:
            self.marked_at = at_place(self.kernel.place)
        self.marked = elsewhere or flags & KVM_MEMSLOT_INVALID != 0
        if elsewhere:
            self.judge_mapped()

    def judge_mapped(self) -> None:
        """Judge the leaves that remain at the previous place when notifiers can no longer find them."""
        left: list[tuple[int, int]] = []
        for level, base, _ in self.shadow.leaves_in(self.start, self.end):
            start, end = max(base, self.start), min(base + self.granule.level_size(level), self.end)
            if without(start, end, self.walked):
                left.append((start, end))
        if left:
            reason = f"{len(left)} leaf(s), the first at {left[0][0]:#x}, are still mapped when slots without this "
            reason += "place are installed: a notifier no longer finds them"
            pages = GuestPages(left, self.granule.page_size)
            self.report(REPLACED, -1, reason, pages, taints=False, function=self.kernel.entry)

    def synchronize_srcu(self) -> None:
        if self.marked and self.kernel.actor == self.caller:
            self.gone = True

    def changed(self, ipa: int, level: int, ptep: int, old: int, new: int) -> None:
        if self.gone or not old & VALID_BIT or new & VALID_BIT or self.kernel.actor != self.caller:
            return
        size = self.granule.level_size(level)
        if ipa >= self.end or self.start >= ipa + size:
            return
        what = kind(old, level, self.granule)
        if what == LEAF:
            self.add(ipa, size)
        elif what == TABLE:
            for below, base, _ in self.shadow.leaves_cut_off(ipa, level):
                below_size = self.granule.level_size(below)
                if base < self.end and self.start < base + below_size:
                    self.add(base, below_size)

    def add(self, ipa: int, size: int) -> None:
        """Record a leaf that is unmapped while a fault may still map it again."""
        if not self.early:
            self.where = self.kernel.place
        self.early.append((READ if self.marked else VALID, max(ipa, self.start), min(ipa + size, self.end)))

    def range_walked(self, vmid: int, start: int, end: int) -> None:
        if self.gone and vmid == self.vmid and self.kernel.actor == self.caller:
            if "unmap" in self.kernel.walker:
                self.walked.append((start, end))

    def after_operation(self, op: Operation | None, outcome: Outcome) -> None:
        if not self.early:
            return
        left = [each for each in self.early if without(each[1], each[2], self.walked)]
        if left:
            what = left[0][0]
            ranges = [(start, end) for _, start, end in left]
            who = "a vCPU that faults later still finds the slot valid, "
            if what == READ:
                who = "a vCPU whose fault has found the slot valid continues, "
            reason = f"{len(ranges)} leaf(s), the first at {ranges[0][0]:#x}, are unmapped first: {who}"
            reason += "maps the page again, and keeps it when the slot is gone"
            if self.marked_at:
                reason += f"; it is marked{self.marked_at}"
            pages = GuestPages(ranges, self.granule.page_size)
            self.report(what, -1, reason, pages, taints=False, function=self.kernel.entry, where=self.where)
