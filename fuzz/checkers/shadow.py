# SPDX-License-Identifier: GPL-2.0-only
"""The tables as the stores made them: a tree that checkers share.

Built from the store events alone, never by reading the state of the code under test.
"""

from __future__ import annotations

from typing import Final

from reference.machine.descriptor import LEAF, TABLE, address_bits, kind
from reference.vtcr import root_pages

from ..language.operations import Operation
from ..sides.guest import Guest
from .checker import Checker, Peers
from .exposed import Exposed
from .live_tables import LiveTables
from .root import faults_of_root
from .rule import Clause, Rule
from .severity import Severity
from .table import Table
from .table_memory import compare_with_memory

# Bits for the number of a CPU.
CPU_BITS: Final = 8
OTHER_MEMORY: Final = "the hardware takes other memory for the tables of the guest: any frame may be mapped"


class Shadow(LiveTables):
    """Follows every store; must be the first observer of the kernel."""

    rule = Rule(
        "lifetime",
        (
            Clause("no use of a freed table"),
            Clause("a table handed to RCU is used by RCU readers only", "*: * handed to RCU, outside of*"),
            Clause(
                "a table that is cut off under a shared mmu lock is freed after a grace period, and walks under that "
                "lock are RCU readers where the reference declares it",
                *("*: freed before a grace period*", "*: walk under a shared mmu_lock*"),
            ),
            Clause("a root is unlinked before its tables are destroyed", "*: destroyed while the root is linked*"),
            Clause(
                "a creation of a VM that fails leaves no pointer to its root", "*: root linked after a failed creation*"
            ),
            Clause("a root is as large as VTCR_EL2 specifies", "*: root larger*", "*: root smaller*"),
            Clause("VTTBR_EL2 has the address of the root", "*: root at another address*"),
            Clause("VTCR_EL2 has the granule of the tables, and coherent walks", "*: VTCR_EL2 *"),
            Clause(
                "a non-table page is neither freed nor entered as a table, and its references are not counted",
                "*non-table page*",
            ),
            Clause(
                "no table is freed while it is reachable or before the flush that covers it, and none that was cut off "
                "is stored to before that flush",
                *("*: freed *", "*: root freed*", "*: handed to RCU while reachable*", "*: store to a table before*"),
            ),
            Clause("no table is freed twice, or entered in two places", "*: double free*", "*: table entered twice*"),
            Clause(
                "each entry of a table is written before it is read, and before the table is entered",
                "*: * was not zeroed*",
            ),
        ),
        "a freed page soon has another owner: walking it or storing to it corrupts the host",
        Severity.LIFETIME,
        rank=5,
        finer=(
            ("*: root larger than*", Severity.ACCOUNTING, 2),
            ("*: * was not zeroed*", Severity.LIFETIME, 24),
            ("*: root linked after a failed creation*", Severity.LIFETIME, 25),
            ("*: root at another address*", Severity.LIFETIME, 26),
            ("*: VTCR_EL2 has another granule*", Severity.LIFETIME, 27),
            ("*: VTCR_EL2 makes walks incoherent*", Severity.LIFETIME, 28),
            ("*: root smaller*", Severity.LIFETIME, 30),
        ),
        reasons=(
            ("*: root at another address*", OTHER_MEMORY),
            ("*: VTCR_EL2 has another granule*", OTHER_MEMORY),
            ("*: VTCR_EL2 makes walks incoherent*", "the hardware may use entries that no longer apply"),
            ("*: root larger than*", "the hardware never reads some of the pages of the root"),
            ("*: root smaller*", "the hardware takes memory behind the root for a part of it: any frame may be mapped"),
            (
                "*: * was not zeroed*",
                "unwritten entries hold the previous contents of the memory: any frame may be mapped",
            ),
            (
                "*: root linked after a failed creation*",
                "whoever initialises the same kvm_s2_mmu again, as for a nested guest, uses the freed kvm_pgtable",
            ),
        ),
    )

    def __init__(self, guest: Guest, peers: Peers) -> None:
        super().__init__(guest, peers)
        self.observers: list[Checker] = []
        # The source location that allocated the root.
        self.root_place = ""
        guest.on_created.append(self.created)
        # Tables that were written or entered in this operation.
        self.touched: dict[int, Table] = {}
        # The table stored to last: the next store is often to the same one.
        self.touching: Table | None = None
        # (level, address, descriptor) of leaves that were removed from the live tables in
        # this operation, and the subtrees that were.
        self.removed: list[tuple[int, int, int]] = []
        self.detached: list[Table] = []
        # Table page that was cut off beside other walks -> number of RCU callbacks posted, and number of exclusive
        # holds of the mmu lock, by then.
        self.shared_cuts: dict[int, tuple[int, int]] = {}
        # Set during the event of a store by the hardware itself.
        self.by_hardware = False
        # True if the store that observers receive was made with release.
        self.released = False
        # Table page written while the hardware could not reach it -> the result of `order` by then.
        self.written: dict[int, int] = {}

    def order(self) -> int:
        """Return a number that changes at each barrier that orders stores of the current CPU, and differs among CPUs.

        Stores of another CPU need none: this CPU knows of them through a lock or an acquire, which orders them.
        """
        cpu = self.kernel.cpu
        return self.side.computer.processors[cpu].ordered << CPU_BITS | cpu

    def unordered(self, page: int) -> bool:
        """Return whether the current CPU wrote a page that the hardware could not reach, and no barrier came since."""
        return self.written.get(page) == self.order()

    def observe(self, checker: Checker) -> None:
        """Send `Checker.changed` of live entries to *checker*."""
        self.observers.append(checker)

    def dismiss(self, checker: Checker) -> None:
        """Undo `observe`."""
        self.observers.remove(checker)

    def dismantle(self) -> None:
        self.observers.clear()

    def alloc_exact(self, page: int, pages: int) -> None:
        """Create the root: *pages* adjacent tables."""
        if page < 0 or not self.guest.creating or self.guest.kvm.root is not None:
            return
        # After a failed attempt, what that attempt made is gone.
        self.roots.clear()
        self.by_page.clear()
        self.nearest = None
        self.guest.regime.start_level = 4 - self.guest.kvm.levels
        self.root_place = self.kernel.place
        self.add_roots(page, pages)
        self.place_roots()

    def add_roots(self, page: int, pages: int) -> None:
        """Add root tables."""
        self.roots += [Table(page + i, 0, 0, True) for i in range(pages)]
        self.by_page.update((table.page, table) for table in self.roots)

    def place_roots(self) -> None:
        """Give the root tables the level of the first look-up."""
        level = self.guest.regime.start_level
        self.root_shift = self.shifts[level] + self.index_bits
        for number, table in enumerate(self.roots):
            table.level, table.base = level, number << self.root_shift

    def created(self) -> None:
        """Judge the root once VTCR_EL2 and VTTBR_EL2 are known. It is still empty."""
        if self.guest.is_nested:
            # kvm_vcpu_init_nested() makes more roots than are used, and those used are still empty.
            self.add_roots(self.guest.regime.root >> self.index_bits, root_pages(self.guest.vtcr, self.granule))
            self.place_roots()
        elif self.roots:
            self.place_roots()
            for each in faults_of_root(self.guest, self.roots[0].page, len(self.roots)):
                self.report(
                    each.what,
                    -1,
                    each.reason,
                    taints=not each.harmless,
                    grave=each.ruins,
                    where=self.root_place if each.size else "",
                    ruins=each.ruins,
                )

    def contents(self, ptep: int, count: int, word: int) -> None:
        table = self.by_page.get(ptep >> self.index_bits)
        if table is None:
            return
        if word & 1:
            for entry in range(ptep, ptep + count):
                self.store(entry, 0, word, False)
        else:
            table.non_zero += count

    def vm_ended(self, guest: Guest) -> None:
        # The pages may become tables of other VMs.
        self.before_operation(None)
        self.roots.clear()
        self.by_page.clear()
        self.nearest = None
        self.shared_cuts.clear()

    def before_operation(self, op: Operation | None) -> None:
        self.touched.clear()
        self.touching = None
        self.removed.clear()
        self.detached.clear()

    def set_af(self, ptep: int, old: int, new: int) -> None:
        self.by_hardware = True
        self.store(ptep, old, new, False)
        self.by_hardware = False

    def dirtied(self, ptep: int, old: int, new: int) -> None:
        self.set_af(ptep, old, new)

    def alloc(self, page: int) -> None:
        self.written[page] = self.order()

    def store(self, ptep: int, old: int, new: int, release: bool) -> None:
        page = ptep >> self.index_bits
        index = ptep & self.entries - 1
        table = self.by_page.get(page)
        if table is None:
            self.written[page] = self.order()
            return
        if not table.live:
            self.written[page] = self.order()
        level = table.level
        table.non_zero += (new != 0) - (old != 0)
        if table is not self.touching:
            self.touched[page] = self.touching = table
        ipa = table.base + (index << self.shifts[level])
        if old & 1:
            if table.reserved:
                table.reserved.discard(index)
            leaf = table.leaves.get(index)
            if leaf is not None:
                del table.leaves[index]
                if table.live:
                    self.removed.append((level, ipa, leaf))
            else:
                child = table.children.pop(index, None)
                if child is not None and table.live:
                    # A copy of the mappings at the moment of the cut.
                    self.detached.append(child.copy())
                    self.set_live(child, False)
                    if self.kernel.mmu_shared:
                        self.cut_beside_walks(child)
        if new & 1:
            what = kind(new, level, self.granule)
            if what == TABLE:
                self.attach(table, index, new, ipa)
            elif what == LEAF:
                table.leaves[index] = new
            else:
                table.reserved.add(index)
        if table.live:
            self.released = release
            for observer in self.observers:
                observer.changed(ipa, level, ptep, old, new)

    def cut_beside_walks(self, table: Table) -> None:
        """Record a subtree that was cut off while others may walk it."""
        self.shared_cuts[table.page] = self.kernel.rcu_posted, self.kernel.mmu_holds
        for child in table.children.values():
            self.cut_beside_walks(child)

    def attach(self, table: Table, index: int, entry: int, ipa: int) -> None:
        """Make the child that a new table entry names part of the tree."""
        pa = address_bits(entry, self.granule)
        if not self.kernel.arena.holds(pa):
            table.reserved.add(index)
            # A table that the hardware cannot reach yet is reported to observers once it becomes reachable.
            if table.live:
                reason = f"the table entry at {ipa:#x} names physical address {pa:#x}, which is not a table page"
                self.report("non-table page entered", table.level, reason, frozenset([ipa]), grave=True, ruins=True)
            return
        page = (pa - self.kernel.base) >> self.granule.page_shift
        other = self.by_page.get(page)
        if other is not None and other.live and other is not table.children.get(index):
            self.report("table entered twice", table.level, f"table page {page} has two parents at {ipa:#x}")
        child = Table(page, table.level + 1, ipa, table.live)
        self.by_page[page] = child
        table.children[index] = child
        self.touched[page] = child
        if child.level > 3:
            return
        first = page * self.entries
        for i in self.kernel.words.used(first, self.entries):
            child.non_zero += 1
            word = self.kernel.words[first + i]
            if word & 1:
                what = kind(word, child.level, self.granule)
                if what == LEAF:
                    child.leaves[i] = word
                elif what == TABLE:
                    self.attach(child, i, word, ipa + (i << self.shifts[child.level]))
                else:
                    child.reserved.add(i)

    def scan(self) -> None:
        """Compare all live tables in memory with what the stores made of them.

        :raises AssertionError: they differ, a mistake of s2fuzz
        """
        for root in self.roots:
            compare_with_memory(self.kernel, self.by_page, root)

    def set_live(self, table: Table, live: bool) -> None:
        """Mark a subtree as cut off from the root, or as joined to it."""
        table.live = live
        for child in table.children.values():
            self.set_live(child, live)

    def free(self, page: int, count: int) -> None:
        if count == 0:
            self.by_page.pop(page, None)

    def put(self, page: int, count: int) -> None:
        if count == 0:
            self.by_page.pop(page, None)

    def cut_off(self, ipa: int, level: int) -> Table | None:
        """Return the table that the current store has cut off from the live entry of *level* at *ipa*, if it has."""
        if not self.detached:
            return None
        last = self.detached[-1]
        return last if last.base == ipa and last.level == level + 1 else None

    def leaves_cut_off(self, ipa: int, level: int) -> list[tuple[int, int, int]]:
        """Return (level, address, descriptor) of the leaves of the table `cut_off`, in order."""
        found: list[tuple[int, int, int]] = []
        table = self.cut_off(ipa, level)
        if table is not None:
            self.collect(table, ipa, ipa + (1 << self.shifts[level]), found)
        return found

    def had_leaf(self, level: int, base: int) -> bool:
        """Return whether a live leaf of *level* at *base* was removed or changed since this operation began."""
        if any(at == level and ipa == base for at, ipa, _ in self.removed):
            return True
        for table in self.detached:
            end = table.end_of_walk(base, self.shifts)
            if end.level == level and (base - end.base) >> self.shifts[level] in end.leaves:
                return True
        return False

    def exposed_before(self, start: int, end: int) -> Exposed:
        """Return the leaves that mapped [start, end) when this operation began and were removed or changed since."""
        exposed = Exposed(self.granule)
        for level, base, entry in self.removed:
            if base < end and start < base + (1 << self.shifts[level]):
                exposed.add(base, 1 << self.shifts[level], entry)
        for table in self.detached:
            found: list[tuple[int, int, int]] = []
            self.collect(table, start, end, found)
            for level, base, entry in found:
                exposed.add(base, 1 << self.shifts[level], entry)
        return exposed
