# SPDX-License-Identifier: GPL-2.0-only
"""Tables cut off and flushed with their own level as hint: CPUs may keep them, so a flush is still owed."""

from typing import Final

from reference.machine.granule import Granule

from ..checkers.guest_pages import Range, merged, vm_of

# The low bits of a level hint that contain the level; 0: no level.
_LEVEL: Final = 3


class HintedFlushes:
    """The tables of one side whose flush is owed, and tables that another flush has covered.

    All addresses are VM addresses (`fuzz.checkers.guest_pages.vm_address`).
    """

    def __init__(self, granule: Granule) -> None:
        self.shifts = granule.shifts
        # Tables that were cut off in this operation: (level, address) -> number of the table page.
        self.cut: dict[tuple[int, int], int] = {}
        # Tables that were flushed with their own level as hint, in this operation or before, and not flushed since.
        # There may be several at one address, if they were cut off one after the other.
        self.debts: dict[tuple[int, int], list[int]] = {}
        # Tables that another flush has covered in this operation, before the next table was cut off at their address.
        self.covered: set[int] = set()
        self.settled: set[tuple[int, int]] = set()

    def next_operation(self) -> None:
        """Forget the tables cut off and the flushes of the previous operation."""
        self.cut.clear()
        if self.settled:
            for key in self.settled:
                self.debts.pop(key, None)
            self.settled.clear()
        self.covered.clear()

    def cut_off(self, level: int, start: int, table: int) -> None:
        """Record an entry that named a table and was cleared.

        :param level: level of the entry
        :param start: start of the range that it translated
        :param table: number of the table page
        """
        self.cut[level, start] = table

    def flushed(self, at: int, level: int, unusable: bool) -> Range | None:
        """Record a flush by IPA.

        :param level: the hint, as passed to ``__kvm_tlb_flush_vmid_ipa``
        :param unusable: the tables do not have the level that the instruction names; 0 is then a hint too
        :returns: the range of a table that was cut off in this operation and is flushed with its own level as hint
        """
        hint = level & _LEVEL
        if not unusable:
            for key in self.debts:
                # The flush removes tables above the leaf that a hint names, and all tables on the way without a hint.
                if at >> self.shifts[key[0]] == key[1] >> self.shifts[key[0]] and (not hint or key[0] < hint):
                    self.settled.add(key)
            if not hint:
                return None
        base = at & -(1 << self.shifts[hint])
        key = (hint, base)
        if key not in self.cut:
            return None
        if key in self.settled:
            self.settled.discard(key)
            self.covered.update(self.debts.pop(key))
        self.debts.setdefault(key, []).append(self.cut[key])
        return base, base + (1 << self.shifts[hint])

    def flushed_vm(self, vm: int) -> None:
        """Record a flush of everything that a VM has, by its number."""
        if self.debts:
            self.settled.update([key for key in self.debts if vm_of(key[1]) == vm])

    def flushed_range(self, start: int, end: int) -> None:
        """Record a flush of [start, end), without a hint."""
        if self.debts:
            self.settled.update(
                [key for key in self.debts if key[1] < end and start < key[1] + (1 << self.shifts[key[0]])]
            )

    def owes(self, table: int) -> bool:
        """Return whether the flush of a table page is still owed."""
        for pages in self.debts.values():
            if table in pages:
                return True
        return False

    def concerns(self, table: int) -> bool:
        """Return whether the flush of a table page is owed, or another flush covered it in this operation."""
        return self.owes(table) or table in self.covered

    def ranges(self) -> list[Range]:
        """Return the addresses translated by tables whose flush is still owed."""
        return merged([(base, base + (1 << self.shifts[level])) for level, base in self.debts])
