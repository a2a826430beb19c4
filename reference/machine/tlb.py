# SPDX-License-Identifier: GPL-2.0-only
"""One CPU's TLB: stage-2 leaf entries with their size, and walk-cache entries that hold tables.

Deterministic: accesses fill it, and only maintenance empties it. Entries that
combine both stages hold the same as the stage-2 entry of the same address.
Once that entry is dropped, the CPU uses the combined entries until they are dropped as well.
"""

from .granule import MAX_LEVELS, Granule


class CpuTlb:
    """Entries of one guest (VMID) on one CPU.

    *leaves* and *tables*, per level: address >> level shift -> descriptor; *combined*: leaves that
    combined entries may still hold after stage 2 dropped them, by level and address >> level shift;
    TLBI VMALLE1 empties it.
    """

    def __init__(self, granule: Granule) -> None:
        self.granule = granule
        self.shifts = granule.shifts
        self.leaves: list[dict[int, int]] = [{} for _ in range(MAX_LEVELS)]
        self.tables: list[dict[int, int]] = [{} for _ in range(MAX_LEVELS)]
        self.combined: dict[tuple[int, int], int] = {}

    def leaf(self, ipa: int) -> tuple[int, int]:
        """Return (level, descriptor) of the entry that translates *ipa*; level -1: none."""
        if self.combined:
            for level in range(MAX_LEVELS - 1, -1, -1):
                entry = self.combined.get((level, ipa >> self.shifts[level]))
                if entry is not None:
                    return level, entry
        for level in range(MAX_LEVELS - 1, -1, -1):
            leaves = self.leaves[level]
            entry = leaves.get(ipa >> self.shifts[level]) if leaves else None
            if entry is not None:
                return level, entry
        return -1, 0

    def table(self, ipa: int) -> tuple[int, int]:
        """Return (level, descriptor) of the deepest cached table on the way to *ipa*; level -1: none."""
        for level in range(MAX_LEVELS - 2, -1, -1):
            tables = self.tables[level]
            entry = tables.get(ipa >> self.shifts[level]) if tables else None
            if entry is not None:
                return level, entry
        return -1, 0

    def fill_leaf(self, ipa: int, level: int, entry: int) -> None:
        self.leaves[level][ipa >> self.shifts[level]] = entry

    def fill_table(self, ipa: int, level: int, entry: int) -> None:
        self.tables[level][ipa >> self.shifts[level]] = entry

    def overlapping(self, ipa: int, level: int) -> list[tuple[int, int]]:
        """Return (level, address) of leaf entries of other sizes that overlap the entry of *level* at *ipa*."""
        found: list[tuple[int, int]] = []
        for other in range(MAX_LEVELS):
            shift = self.shifts[other]
            if other < level:
                if ipa >> shift in self.leaves[other]:
                    found.append((other, ipa >> shift << shift))
            elif other > level and self.leaves[other]:
                first = ipa >> self.shifts[level] << (self.shifts[level] - shift)
                last = first + (1 << (self.shifts[level] - shift))
                found += [(other, page << shift) for page in self.leaves[other] if first <= page < last]
        return found

    def invalidate_ipa(self, ipa: int, hint: int, last_level: bool = False) -> None:
        """TLBI IPAS2E1 (Arm ARM C5.5, field TTL).

        Without a hint, drop every entry used to translate *ipa*. A hint names
        the level of the leaf: drop an entry of that level and the tables above it.
        Other entries need not be dropped, and stay.

        :param last_level: TLBI IPAS2LE1, which keeps tables
        """
        for level in range(MAX_LEVELS):
            leaves, tables = self.leaves[level], self.tables[level]
            key = ipa >> self.shifts[level]
            if leaves and hint in (0, level) and key in leaves:
                self.combined[level, key] = leaves.pop(key)
            if tables and (hint == 0 or level < hint) and not last_level and key in tables:
                del tables[key]

    def invalidate_range(self, ipa: int, size: int, hint: int = 0) -> None:
        """TLBI RIPAS2E1: drop every entry used to translate an address of the range; *hint* as in `invalidate_ipa`."""
        for level in range(MAX_LEVELS):
            shift = self.shifts[level]
            first, last = ipa >> shift, (ipa + size - 1) >> shift
            if hint in (0, level):
                leaves = self.leaves[level]
                for key in [key for key in leaves if first <= key <= last]:
                    self.combined[level, key] = leaves.pop(key)
            if hint == 0 or level < hint:
                tables = self.tables[level]
                for key in [key for key in tables if first <= key <= last]:
                    del tables[key]

    def evict(self, ipa: int) -> None:
        """Drop all entries for *ipa*, as a TLB may at any time."""
        self.invalidate_ipa(ipa, 0)
        for level in range(MAX_LEVELS):
            self.combined.pop((level, ipa >> self.shifts[level]), None)

    def invalidate_all(self) -> None:
        """TLBI VMALLS12E1."""
        self.combined.clear()
        for level in range(MAX_LEVELS):
            self.leaves[level].clear()
            self.tables[level].clear()
