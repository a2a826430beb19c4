# SPDX-License-Identifier: GPL-2.0-only
"""bbm: an entry that needs break-before-make changes only through break, flush, make.

Arm ARM D8.14 (break-before-make): needed if the output address changes and
the old or the new entry is writable or the contents differ; if the block
size changes; between table and block; if the memory type changes. Not needed for
permissions or the access flag. With level 2 of FEAT_BBM (``vm bbm=on``) not needed for the block size either, as long
as each address keeps its output address and memory type.
"""

from reference.machine.descriptor import (
    AF_BIT,
    TABLE,
    TYPE_BIT,
    VALID_BIT,
    address_bits,
    address_field,
    kind,
    memattr,
    output_address,
)

from ..sides.guest import Guest
from .checker import GuestChecker, Peers
from .owed_entries import Key, address_of, key_of, level_of
from .rule import Clause, Rule
from .severity import Severity
from .shadow import Shadow
from .table import Table
from .tlb import Tlb


def tables_of(table: Table) -> list[Table]:
    """Return a table and all tables below it."""
    return [table] + [below for child in table.children.values() for below in tables_of(child)]


class Bbm(GuestChecker):
    """Judges each store that makes a live entry valid, when it happens.

    A CPU may hold at that moment what `Tlb` has owed flushes for: tables, and leaves
    with the access flag set, accessed or not. A table must be stored with
    release or after a barrier of stores that follows the last store to its page; otherwise a walk may see the old
    contents of the page.
    Other barriers are not judged.
    """

    rule = Rule(
        "bbm",
        (
            Clause(
                "an entry changes its address, size or memory type, or changes between table and block, only through "
                "break, flush, make"
            ),
            Clause("tables are stored with release or after a barrier of stores", "*: table stored without release*"),
        ),
        "a CPU may hold two translations of one address: TLB conflict aborts, lost coherency, wrong data",
        Severity.STALE,
        rank=2,
    )

    def __init__(self, guest: Guest, peers: Peers) -> None:
        super().__init__(guest, peers)
        self.shadow = peers.at(Shadow, guest)
        self.tlb = peers.at(Tlb, guest)
        self.owed = self.tlb.owed
        self.shifts = self.granule.shifts
        self.resizes = guest.side.bbm

    def changed(self, ipa: int, level: int, ptep: int, old: int, new: int) -> None:
        if not new & VALID_BIT:
            return
        if old & VALID_BIT:
            self.replaced(ipa, level, old, new)
            return
        if not self.shadow.released and kind(new, level, self.granule) == TABLE and self.unordered(ptep):
            self.report(
                "table stored without release",
                level,
                f"{self.text(new, level)} at {ipa:#x}: a walk may see the previous contents of the table's page",
                frozenset([ipa]),
            )
        if self.owed.leaves or self.owed.tables:
            self.judge(ipa, level, new)

    def unordered(self, ptep: int) -> bool:
        """Return whether the table that this entry names, or a table below it, was written since the last barrier."""
        page, index = divmod(ptep, self.kernel.entries)
        child = self.shadow.by_page[page].children.get(index)
        return child is not None and any(self.shadow.unordered(table.page) for table in tables_of(child))

    def replaced(self, ipa: int, level: int, old: int, new: int) -> None:
        """Judge an entry that was written over a valid one."""
        held = old
        if not old & AF_BIT and kind(old, level, self.granule) != TABLE:
            # Not cached, unless the access flag was cleared recently.
            key = key_of(level, ipa)
            owed = self.owed.leaves.get(key)
            held = self.owed.aged.get(key, 0) if owed is None else owed.entry
        what = self.change_without_break(level, held, new) if held else ""
        if what and not self.only_resized(ipa, level, held, new, self.shadow.cut_off(ipa, level)):
            self.report(
                f"{what} without break",
                level,
                f"{self.text(held, level)} at {ipa:#x} became {self.text(new, level)} while valid",
                frozenset([ipa]),
            )

    def name_of(self, entry: int, level: int) -> str:
        """Return ``table``, ``block`` or ``page``."""
        if kind(entry, level, self.granule) == TABLE:
            return "table"
        return "page" if level == 3 else "block"

    def change_without_break(self, level: int, old: int, new: int) -> str:
        """Return the part of a change from *old* to *new* that needs break-before-make; "" if none does."""
        was, now = self.name_of(old, level), self.name_of(new, level)
        if was != now:
            return f"{was}->{now}"
        if was == "table":
            moved = address_bits(old, self.granule) != address_bits(new, self.granule)
            return "table->other table" if moved else ""
        if memattr(old) != memattr(new):
            return f"{was}->{now} of another memory type"
        if output_address(old, level, self.granule) == output_address(new, level, self.granule):
            return ""
        if self.guest.regime.allows_writes(old | new) or not self.alike(level, old, new):
            return f"{was}->{now} elsewhere"
        return ""

    def alike(self, level: int, a: int, b: int) -> bool:
        """Return whether two leaves map the same contents, as held in the data cache."""
        memory = self.guest.memory
        first = memory.index_of(output_address(a, level, self.granule) >> self.granule.page_shift)
        other = memory.index_of(output_address(b, level, self.granule) >> self.granule.page_shift)
        pages = 1 << (self.shifts[level] - self.granule.page_shift)
        if first < 0 or other < 0:
            return False
        return memory.cached.alike(first, other, pages)

    def judge(self, ipa: int, level: int, new: int) -> None:
        """Judge a new entry: no CPU may hold an entry that conflicts with it."""
        owed = self.owed
        key = key_of(level, ipa)
        cut = owed.tables.get(key) if owed.tables else None
        if cut is not None and not self.only_resized(ipa, level, cut.entry, new, cut.table):
            self.compare(ipa, level, cut.entry, new)
        same = owed.leaves.get(key) if owed.leaves else None
        if same is not None and not self.only_resized(ipa, level, same.entry, new, None):
            self.compare(ipa, level, same.entry, new)
        if kind(new, level, self.granule) == TABLE:
            page = (address_bits(new, self.granule) - self.kernel.base) >> self.granule.page_shift
            child = self.shadow.by_page.get(page)
            if child is not None:
                self.joined(child, cut.table if cut is not None else None)
            return
        # A CPU must hold no smaller entry within a leaf, and no larger leaf around it.
        end = ipa + (1 << self.shifts[level])
        if owed.tables:
            for held, table in owed.tables.items():
                at, base = level_of(held), address_of(held)
                if at > level and ipa <= base < end and not self.maps_the_same(table.table, ipa, level, new):
                    self.too_early(ipa, level, f"table->{self.name_of(new, level)}", table.entry, held, new)
                    return
        for held, leaf in owed.leaves.items():
            at, base = level_of(held), address_of(held)
            if (at > level and ipa <= base < end) or (at < level and base <= ipa < base + (1 << self.shifts[at])):
                if self.resizes and self.translates_alike(base, at, leaf.entry, ipa, level, new):
                    continue
                if leaf.below and cut is None:
                    self.tlb.two_sizes(ipa, level, new, held, leaf)
                else:
                    what = f"{self.name_of(leaf.entry, at)}->{self.name_of(new, level)}"
                    self.too_early(ipa, level, what, leaf.entry, held, new)
                return

    def only_resized(self, ipa: int, level: int, old: int, new: int, cut: Table | None) -> bool:
        """Return whether a change only makes other sizes of the same mapping, and the CPU supports that.

        :param cut: the table that *old* named, if it named one
        """
        if not self.resizes:
            return False
        if kind(old, level, self.granule) == TABLE:
            return kind(new, level, self.granule) != TABLE and self.maps_the_same(cut, ipa, level, new)
        if kind(new, level, self.granule) != TABLE:
            return False
        page = (address_bits(new, self.granule) - self.kernel.base) >> self.granule.page_shift
        return self.maps_the_same(self.shadow.by_page.get(page), ipa, level, old)

    def maps_the_same(self, table: Table | None, ipa: int, level: int, leaf: int) -> bool:
        """Return whether all leaves of a table translate as a larger leaf does, and the CPU may hold both.

        :param table: None: it is not known, and does not
        :param ipa: address of the leaf, at *level*
        """
        if table is None or not self.resizes:
            return False
        for each in tables_of(table):
            if each.reserved:
                return False
            for index, entry in each.leaves.items():
                at = each.base + (index << self.shifts[each.level])
                if not self.translates_alike(at, each.level, entry, ipa, level, leaf):
                    return False
        return True

    def translates_alike(self, ipa: int, level: int, entry: int, other_ipa: int, other_level: int, other: int) -> bool:
        """Return whether two leaves, of which one lies within the other, agree on addresses and memory type."""
        by = output_address(entry, level, self.granule) - output_address(other, other_level, self.granule)
        return by == ipa - other_ipa and memattr(entry) == memattr(other)

    def joined(self, table: Table, cut: Table | None) -> None:
        """Judge a table that became live; *cut*: the table cut off there that may still be walked, if any."""
        for index in sorted((*table.leaves, *table.children)):
            ipa = table.base + (index << self.shifts[table.level])
            now = self.entry_of(table, index)
            before = self.entry_of(cut, index) if cut is not None else 0
            if before & AF_BIT or (before and kind(before, table.level, self.granule) == TABLE):
                self.compare(ipa, table.level, before, now)
            if index in table.leaves:
                self.judge(ipa, table.level, now)
                continue
            below = cut.children.get(index) if cut is not None else None
            other = self.owed.tables.get(key_of(table.level, ipa))
            if other is not None:
                self.compare(ipa, table.level, other.entry, now)
                below = below or other.table
            self.joined(table.children[index], below)

    def entry_of(self, table: Table, index: int) -> int:
        """Return an entry of a table; 0: not valid."""
        child = table.children.get(index)
        if child is None:
            return table.leaves.get(index, 0)
        pa = self.kernel.base + (child.page << self.granule.page_shift)
        return address_field(pa, self.granule) | TYPE_BIT | VALID_BIT

    def compare(self, ipa: int, level: int, held: int, new: int) -> None:
        """Judge an entry made while a CPU may still hold another entry of the same level."""
        what = self.change_without_break(level, held, new)
        if what:
            self.too_early(ipa, level, what, held, key_of(level, ipa), new)

    def too_early(self, ipa: int, level: int, what: str, held: int, key: Key, new: int) -> None:
        """Report an entry made while a CPU may hold another one, which was at the address and level of *key*."""
        at = level_of(key)
        self.report(
            f"{what} made before the flush",
            level,
            f"{self.text(new, level)} at {ipa:#x} while a CPU may hold {self.text(held, at)}, level {at}"
            f"{self.tlb.because(key)}",
            frozenset([ipa]),
        )
