# SPDX-License-Identifier: GPL-2.0-only
"""TLB flushes that are owed: entries that a CPU may still hold and the tables no longer have.

A table entry that was cut off leaves two kinds of stale entries: walk-cache entries,
its own and those of the tables below, which keep table pages in use; and the
leaves below. A flush by address removes the walk-cache entries on the way to that
address, and the leaf there (Arm ARM C5.5 and D8.16, TLBI by IPA); each other leaf
below is owed until a flush covers it.
"""

from reference.machine.descriptor import AF_BIT, TYPE_BIT, VALID_BIT, address_bits, address_field
from reference.machine.instructions import ALLE1, RIPAS2E1, VMALLS12E1
from reference.machine.processor import EVERYWHERE, MISFIT, Invalidation, last_level

from ..sides.guest import Guest
from .missed_flushes import MissedFlushes
from .owed_entries import (
    Key,
    Late,
    OwedLeaf,
    OwedTable,
    address_of,
    breaks,
    key_of,
    level_of,
    pages_of,
    takes_away,
)
from .table import Table


class Owed:
    """The flushes that one VM owes, keyed by level and address.

    :param guest: the VM

    *pinned*: table page -> key of the entry through which a walk may reach it;
    *fresh*: whether something was broken since the mmu lock was last dropped.
    """

    def __init__(self, guest: Guest) -> None:
        self.vm = guest
        self.granule = guest.granule
        self.kernel = guest.kernel
        self.arena = guest.kernel.arena
        self.shifts = guest.granule.shifts
        side = guest.side
        self.computer, self.haf = side.computer, side.haf
        self.leaves: dict[Key, OwedLeaf] = {}
        self.tables: dict[Key, OwedTable] = {}
        # Leaves whose access flag was cleared: CPUs may still hold them.
        self.aged: dict[Key, int] = {}
        self.pinned: dict[int, Key] = {}
        self.fresh = False
        self.any_dropped = False
        # The number of barriers when something was last removed.
        self.newest = -1
        self.late: list[Late] = []
        self.missed = MissedFlushes()

    def lose_leaf(self, key: Key, old: int, new: int, function: str) -> None:
        """Record a live leaf that was overwritten or broken."""
        aged = self.aged.pop(key, 0) if self.aged else 0
        held = aged if aged else old
        # With hardware AF, a CPU may set the access flag, and keep the leaf, at any time.
        if aged or old & AF_BIT or self.haf:
            if takes_away(held, new):
                self.owe_leaf(key, held, function, breaks(held, new))
            elif not new & AF_BIT:
                self.aged[key] = held
        elif not new & VALID_BIT and key in self.leaves:
            # It was made less permissive before, and not flushed.
            self.leaves[key].broken = self.fresh = True
            self.leaves[key].actor = self.kernel.actor
            self.leaves[key].published = self.stamp()

    def owe_leaf(self, key: Key, held: int, function: str, broken: bool) -> None:
        """Record that a CPU may still hold a leaf; of two leaves, keep the one that grants more."""
        before = self.leaves.get(key)
        if before is not None and takes_away(before.entry, held):
            held = before.entry
            broken = broken or before.broken
        self.leaves[key] = OwedLeaf(held, function, broken, False, self.kernel.actor, self.stamp())
        self.fresh = self.fresh or broken

    def lose_table(self, key: Key, old: int, function: str, table: Table | None) -> None:
        """Record a live table entry that was removed; *table*: the table that it named, before the change."""
        pages: list[int] = []
        if table is not None:
            pages = pages_of(table)
        elif self.arena.holds(address_bits(old, self.granule)):
            pages = [(address_bits(old, self.granule) - self.arena.base) >> self.granule.page_shift]
        aged: dict[Key, int] = {}
        if self.aged:
            for leaf in [leaf for leaf in self.aged if self.within(leaf, key)]:
                aged[leaf] = self.aged.pop(leaf)
        before = self.tables.get(key)
        if before is not None:
            # Neither was flushed.
            pages += before.pages
            self.scatter(before)
        self.owe_table(key, OwedTable(old, function, table, aged, pages, self.kernel.actor, self.stamp()))
        self.fresh = True

    def owe_table(self, key: Key, owed: OwedTable) -> None:
        """Record that a walk cache may hold a table entry."""
        self.tables[key] = owed
        for page in owed.pages:
            self.pinned[page] = key

    def within(self, key: Key, table: Key) -> bool:
        """Return whether an entry lies below a table entry."""
        shift = self.shifts[level_of(table)]
        return level_of(key) > level_of(table) and address_of(key) >> shift == address_of(table) >> shift

    def settle_table(self, key: Key) -> OwedTable:
        """Record that no walk cache holds the entry any more; tables below it stay owed."""
        owed = self.tables[key]
        del self.tables[key]
        for page in owed.pages:
            if self.pinned.get(page) == key:
                del self.pinned[page]
        if owed.dropped:
            self.late.append(Late("table", key, owed.entry, owed.function))
        return owed

    def scatter(self, owed: OwedTable) -> None:
        """Record each leaf and table directly below a table that was cut off as owed separately."""
        table = owed.table
        if table is None:
            return
        shift = self.shifts[table.level] if table.level < 4 else 0
        for index, entry in table.leaves.items():
            key = key_of(table.level, table.base + (index << shift))
            held = self.held(owed, key, entry)
            if held and key not in self.leaves:
                leaf = OwedLeaf(held, owed.function, True, True, owed.actor, owed.published)
                leaf.dropped, leaf.reported = owed.dropped, owed.reported
                self.leaves[key] = leaf
        for index, child in table.children.items():
            pa = self.arena.base + (child.page << self.granule.page_shift)
            entry = address_field(pa, self.granule) | TYPE_BIT | VALID_BIT
            below = OwedTable(entry, owed.function, child, owed.aged, pages_of(child), owed.actor, owed.published)
            below.dropped, below.reported = owed.dropped, owed.reported
            self.owe_table(key_of(table.level, table.base + (index << shift)), below)

    def held(self, owed: OwedTable, key: Key, entry: int) -> int:
        """Return what a CPU may hold of a leaf below a table that was cut off; 0: nothing.

        With hardware AF, a walk through the table may have set the access flag.
        """
        return entry if entry & AF_BIT or self.haf else owed.aged.get(key, 0)

    def settle_leaf(self, key: Key) -> None:
        """Record that no CPU holds a leaf any more."""
        owed = self.leaves[key]
        del self.leaves[key]
        if owed.dropped:
            self.late.append(Late("leaf", key, owed.entry, owed.function))

    def stamp(self) -> int:
        """Return the number of barriers for table walks so far; stores from here on wait for the next one."""
        self.newest = self.computer.published
        return self.newest

    def settle(self, done: Invalidation) -> None:
        """Settle a TLBI that took effect on all CPUs, including for entries that combine both stages."""
        if done.op in (VMALLS12E1, ALLE1):
            self.flush_all(done.published)
        elif not (self.leaves or self.tables or self.aged) or done.hint == MISFIT:
            return
        elif done.op == RIPAS2E1:
            self.flush_range(done.ipa, done.size, done.hint, done.published)
        else:
            self.flush_ipa(done.ipa, done.hint, last_level(done.op), done.published)

    def note_missed(self, done: Invalidation) -> None:
        """Note a flush that left something owed: the texts of violations name it."""
        if self.leaves or self.tables:
            self.missed.note(done)

    def why_missed(self, key: Key, is_table: bool, published: int) -> str:
        """Return why the flushes of this operation did not settle an entry; parameters as in `MissedFlushes.why`."""
        size = 1 << self.shifts[level_of(key)]
        return self.missed.why(address_of(key), size, level_of(key), is_table, published)

    def flush_ipa(self, ipa: int, hint: int, last: bool, published: int) -> None:
        """Settle a TLBI by address: it removes entries on the way to *ipa*. A hint names the level of the leaf.

        :param last: the TLBI does not affect entries of walk caches
        :param published: the number of barriers before the TLBI; changes stored after the last barrier stay owed
        """
        for at in range(4):
            # Usually no table is owed.
            is_table = not last and (hint == 0 or at < hint) and len(self.tables) > 0
            is_leaf = hint in (0, at) and len(self.leaves) + len(self.aged) > 0
            if not is_leaf and not is_table:
                continue
            key = key_of(at, ipa >> self.shifts[at] << self.shifts[at])
            if is_table and key in self.tables and self.tables[key].published < published:
                self.scatter(self.settle_table(key))
            if is_leaf:
                if key in self.leaves and self.leaves[key].published < published:
                    self.settle_leaf(key)
                if self.aged:
                    self.aged.pop(key, None)

    def flush_range(self, ipa: int, size: int, hint: int, published: int) -> None:
        """Settle a TLBI by range: it removes entries on the way to any address in it; otherwise like `flush_ipa`."""
        for at in range(hint or 4):
            # From the top, because entries below a settled table may be in the range too.
            for key in [key for key in self.tables if level_of(key) == at and self.meets(key, ipa, size)]:
                if self.tables[key].published < published:
                    owed = self.settle_table(key)
                    if hint or not self.covers(key, ipa, size):
                        self.scatter(owed)
        for key in [key for key in self.leaves if hint in (0, level_of(key)) and self.meets(key, ipa, size)]:
            if self.leaves[key].published < published:
                self.settle_leaf(key)
        for key in [key for key in self.aged if hint in (0, level_of(key)) and self.meets(key, ipa, size)]:
            del self.aged[key]

    def flush_all(self, published: int) -> None:
        """Settle a TLBI of a VMID for changes stored before barrier number *published*."""
        if self.any_dropped or self.newest >= published:
            for key in [key for key, leaf in self.leaves.items() if leaf.published < published]:
                self.settle_leaf(key)
            for key in [key for key, table in self.tables.items() if table.published < published]:
                self.settle_table(key)
        if self.newest < published:
            self.leaves.clear()
            self.tables.clear()
            self.pinned.clear()
            self.fresh = False
        self.aged.clear()

    def meets(self, key: Key, ipa: int, size: int) -> bool:
        """Return whether an entry is used to translate an address of a range."""
        base = address_of(key)
        return base < ipa + size and ipa < base + (1 << self.shifts[level_of(key)])

    def covers(self, key: Key, ipa: int, size: int) -> bool:
        """Return whether a range covers everything that an entry translates."""
        base = address_of(key)
        return ipa <= base and base + (1 << self.shifts[level_of(key)]) <= ipa + size

    def half_flushed(self, key: Key, published: int) -> Invalidation | None:
        """Return the TLBI by address that would have settled an entry if combined entries had been removed after it.

        :param published: as in `OwedLeaf`
        """
        for each in reversed(self.computer.waiting):
            if (
                each.published > published
                and each.vmid == self.vm.hardware_vmid.vmid
                and each.hint in (0, level_of(key))
            ):
                if each.cpu == EVERYWHERE and self.meets(key, each.ipa, each.size):
                    return each
        return None

    def was_reported(self, level: int, ipa: int) -> bool:
        """Return whether the missing flush by which a CPU may hold the leaf that was at *ipa* was already reported."""
        leaf = self.leaves.get(key_of(level, ipa))
        if leaf is not None:
            return leaf.reported
        above = [self.tables.get(key_of(at, ipa >> self.shifts[at] << self.shifts[at])) for at in range(level)]
        return any(table is not None and table.reported for table in above) and self.holds_leaf(level, ipa)

    def holds_leaf(self, level: int, ipa: int) -> bool:
        """Return whether a CPU may hold the leaf that was at *ipa*, by itself or through a table above it."""
        if self.leaves and key_of(level, ipa) in self.leaves:
            return True
        for at in range(level if self.tables else 0):
            owed = self.tables.get(key_of(at, ipa >> self.shifts[at] << self.shifts[at]))
            table = None if owed is None else owed.table
            while table is not None and table.level <= level:
                index = (ipa - table.base) >> self.shifts[table.level]
                if owed is not None and table.level == level and index in table.leaves:
                    return self.held(owed, key_of(level, ipa), table.leaves[index]) != 0
                table = table.children.get(index)
        return False
