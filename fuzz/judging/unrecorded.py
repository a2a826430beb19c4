# SPDX-License-Identifier: GPL-2.0-only
"""Accesses that the hardware need not have recorded: the access flag of their leaf does not count.

Where the host ages pages without a flush (``kvm_mmu_notifier_clear_young()``), a CPU may still hold the leaf as young,
and accesses through its TLB leave the flag clear. But the CPU may drop that entry at any time, and then the
access sets the flag. A patch that flushes more, or elsewhere, makes exactly this difference, so it does not count. The
checker ``ageing`` finds a flush that is owed and missing. The result of a direct map call there depends on the flag:
a leaf that differs only by rights is left unchanged, but an old leaf is written anew.
"""

from __future__ import annotations

from reference.machine.descriptor import AF_BIT
from reference.machine.walk import NONE, SPECULATE, Walk

from ..checkers import Checker, Shadow
from ..checkers.tlb import Tlb
from ..execution.executor import Executor
from ..language.operations import HostAge, HostTestAge, Operation, TableIsYoung, TableMap, TableMkold
from ..sides.guest import walked_range


class Unrecorded(Checker):
    """Notes old leaves of one side that an access nevertheless used, through a TLB; judges nothing.

    :param executor: the side's executor, before anything has run on it
    """

    def __init__(self, executor: Executor) -> None:
        super().__init__(executor.side)
        self.tlbs = executor.checkers.peers.each(Tlb)
        self.shadows: list[Shadow] = executor.checkers.shadows
        # (VM, level, guest address) of these leaves.
        self.leaves: set[tuple[int, int, int]] = set()
        for observers in executor.checkers.on_translated:
            observers.append(self)

    def translated(self, cpu: int, access: int, ipa: int, walk: Walk) -> None:
        vm = cpu // self.side.cpus
        if walk.fault != NONE or access == SPECULATE or not self.tlbs[vm].owed.aged:
            return
        level, entry = self.shadows[vm].lookup(ipa)
        if level >= 0 and not entry & AF_BIT:
            self.leaves.add((vm, level, ipa >> self.granule.shifts[level] << self.granule.shifts[level]))

    def entry(self, vm: int, level: int, ipa: int) -> int:
        """Return the live leaf of this level at an address; 0 if there is none."""
        found, entry = self.shadows[vm].lookup(ipa)
        return entry if found == level else 0


class AgeFlags:
    """The leaves that differ between the two sides only by an access flag that does not count.

    :param left: the notes of the reference
    :param right: the notes of the candidate
    """

    def __init__(self, left: Unrecorded, right: Unrecorded) -> None:
        self.sides = (left, right)
        # Some leaves differed this way, so tables written alike are not sufficient for equal maps.
        self.some_differ = False

    def may_differ(self, vm: int, level: int, ipa: int, left: int, right: int) -> bool:
        """Return whether two leaves differ only by an access flag that one side's hardware could as well have set."""
        if left ^ right != AF_BIT:
            return False
        unset = self.sides[1 if left & AF_BIT else 0]
        allowed = (vm, level, ipa) in unset.leaves
        self.some_differ = self.some_differ or allowed
        return allowed

    def settle(self) -> None:
        """Forget the leaves that no longer differ this way; call it at a quiet point."""
        left, right = self.sides
        for side in self.sides:
            if side.leaves:
                side.leaves = {key for key in side.leaves if self.may_differ(*key, left.entry(*key), right.entry(*key))}

    def answer(self, op: Operation) -> bool:
        """Return whether an operation asked for the age of leaves that differed at the last `settle`."""
        if not isinstance(op, (HostAge, HostTestAge, TableIsYoung, TableMkold)):
            return False
        side = self.sides[0].side
        layout = side.by_name[op.slot]
        start = layout.hva + op.offset
        end = start + (op.size if isinstance(op, HostAge) else 1)
        first, last = side.aged_range(start, end)
        for guest in side.guests:
            for ipa, stop in guest.ipa_ranges(first, last):
                if self.within(guest.number, ipa, stop):
                    return True
        return False

    def maps_over(self, op: Operation) -> bool:
        """Return whether an operation maps where leaves differed at the last `settle`: its result may differ."""
        if not isinstance(op, TableMap):
            return False
        side = self.sides[0].side
        layout = side.by_name[op.slot]
        start, end = walked_range(layout.ipa + op.offset, op.size, side.granule.page_size)
        return self.within(layout.slot.vm, start, end)

    def within(self, vm: int, start: int, end: int) -> bool:
        """Return whether leaves differ this way in a range of guest addresses."""
        for side in self.sides:
            for number, level, ipa in side.leaves:
                if number == vm and ipa < end and start < ipa + side.granule.level_size(level):
                    return True
        return False
