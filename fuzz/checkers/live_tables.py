# SPDX-License-Identifier: GPL-2.0-only
"""Look-ups in the live tables of a VM, as checkers know them."""

from __future__ import annotations

from ..sides.guest import Guest
from .checker import GuestChecker, Peers
from .table import Table


class LiveTables(GuestChecker):
    """The tables of a VM, and what the live ones map. A class that derives from it builds them.

    *by_page*: the latest table made of each table page;
    *roots*: adjacent root tables, from address 0 on; each translates 2 ** *root_shift* bytes
    """

    def __init__(self, guest: Guest, peers: Peers) -> None:
        super().__init__(guest, peers)
        self.shifts = self.granule.shifts
        self.entries = self.granule.entries
        self.index_bits = self.entries.bit_length() - 1
        self.page_mask = self.granule.page_size - 1
        self.by_page: dict[int, Table] = {}
        self.roots: list[Table] = []
        self.root_shift = 0
        # The table in which the last look-up ended.
        self.nearest: Table | None = None

    def lookup(self, ipa: int) -> tuple[int, int]:
        """Return (level, descriptor) of the live leaf that maps *ipa*; level -1: none."""
        table = self.nearest = self.lookup_near(self.nearest, ipa)
        if table is None:
            return -1, 0
        leaf = table.leaves.get((ipa - table.base) >> self.shifts[table.level])
        return (-1, 0) if leaf is None else (table.level, leaf)

    def root_at(self, ipa: int) -> Table | None:
        """Return the root table that translates *ipa*; None if *ipa* is beyond the root."""
        number = ipa >> self.root_shift
        return self.roots[number] if 0 <= number < len(self.roots) else None

    def lookup_near(self, near: Table | None, ipa: int) -> Table | None:
        """Return the live table in which a walk to *ipa* ends; *near*: the end of an earlier walk, tried first."""
        table = near
        # The pseudo-table below a level-3 entry has no range of its own.
        if (
            table is None
            or not table.live
            or table.level > 3
            or (ipa - table.base) >> (self.shifts[table.level] + self.index_bits) != 0
        ):
            table = self.root_at(ipa)
        return None if table is None else table.end_of_walk(ipa, self.shifts)

    def level_at(self, ipa: int) -> int:
        """Return the level of the live entry, leaf or empty, at which a walk to *ipa* ends."""
        table = self.root_at(ipa)
        if table is None:
            return 0
        while True:
            child = table.children.get((ipa - table.base) >> self.shifts[table.level])
            if child is None or child.level > 3:
                return table.level
            table = child

    def table_at(self, ipa: int, level: int) -> Table | None:
        """Return the live table of *level* that translates *ipa*, below the root."""
        table = self.root_at(ipa)
        while table is not None and table.level < level:
            table = table.children.get((ipa - table.base) >> self.shifts[table.level])
        return table

    def has_live(self, table: Table) -> bool:
        """Return whether the hardware can reach a table, and the table is the latest one made of its page."""
        return table.live and self.by_page.get(table.page) is table

    def leaves_in(self, start: int, end: int) -> list[tuple[int, int, int]]:
        """Return (level, address, descriptor) of the live leaves that overlap [start, end), in order."""
        found: list[tuple[int, int, int]] = []
        if end - start == self.page_mask + 1 and not start & self.page_mask:
            # One page, as ageing requests: at most one leaf.
            level, leaf = self.lookup(start)
            if level >= 0:
                found.append((level, start >> self.shifts[level] << self.shifts[level], leaf))
            return found
        for root in self.roots_in(start, end):
            self.collect(root, start, end, found)
        return found

    def roots_in(self, start: int, end: int) -> list[Table]:
        """Return the root tables that translate any part of [start, end), in order."""
        return self.roots[max(start >> self.root_shift, 0) : max(((end - 1) >> self.root_shift) + 1, 0)]

    def indices_in(self, table: Table, start: int, end: int) -> list[int]:
        """Return the sorted indices of a table that overlap [start, end); of many, only indices of valid entries."""
        shift = self.shifts[table.level]
        first = max((start - table.base) >> shift, 0)
        last = min((end - 1 - table.base) >> shift, self.entries - 1)
        if first == last:
            return [first]
        leaves = table.leaves
        children = table.children
        if last - first < len(leaves) + len(children):
            return list(range(first, last + 1))
        # Fewer entries are valid than are in range.
        valid = sorted((*leaves, *children)) if children else sorted(leaves)
        if last - first + 1 == self.entries:
            return valid
        return [index for index in valid if first <= index <= last]

    def collect(self, table: Table, start: int, end: int, found: list[tuple[int, int, int]]) -> None:
        """Append the results of `leaves_in` from *table* down to *found*."""
        shift = self.shifts[table.level]
        for index in self.indices_in(table, start, end):
            leaf = table.leaves.get(index)
            if leaf is not None:
                found.append((table.level, table.base + (index << shift), leaf))
                continue
            child = table.children.get(index)
            if child is not None:
                self.collect(child, start, end, found)
