# SPDX-License-Identifier: GPL-2.0-only
"""hyp: the hypervisor's own tables map what kvm_pgtable_hyp_map() was asked for, and nothing else."""

from typing import Final

from reference.machine.descriptor import AF_BIT, LEAF, RESERVED, TABLE, XN_BIT, address_bits, kind
from reference.machine.stage1 import (
    AP1_BIT,
    INNER_SHAREABLE,
    NORMAL,
    READ_ONLY_BIT,
    SHAREABILITY,
    attribute_index,
    describe_stage1,
    start_level,
    unknown_fields,
)

from ..language.operations import HYP_REFUSED, HypMap, Operation
from ..sides.guest import walked_range
from ..sides.outcome import Outcome
from ..sides.side import Side
from .checker import Checker, Peers
from .fields import STAGE1_BITS, attribute, one_bit, set_bits, shareability, type_text
from .rule import Clause, Rule
from .severity import Severity
from .table import Table

DESTROY: Final = "kvm_pgtable_hyp_destroy"


class HypTable(Table):
    """A table page of the hypervisor; *base* is a hypervisor address."""


class Call:
    """A call that was made: [start, end) maps to *pa* on, with the rights of *op*.

    :param done: False if it failed: any part of the range may be missing
    """

    def __init__(self, op: HypMap, page_size: int, done: bool) -> None:
        self.op = op
        self.start, self.end = walked_range(op.va, op.size, page_size)
        self.pa = op.pa & -page_size
        self.done = done


class Hyp(Checker):
    """Follows the stores into hyp tables, and judges after each call.

    The lifetime checker judges uses of freed pages, and the leak checker what is left after destruction.
    """

    rule = Rule(
        "hyp",
        (
            Clause(
                "the hypervisor's own tables (stage 1 of EL2) map what `hyp map` asked for, with those rights, and "
                "nothing else"
            ),
            Clause("a valid entry of the hypervisor's own tables never changes", "*: *changed*"),
        ),
        "these tables map everything that runs at EL2: a mistake there affects every guest and the host",
        Severity.ISOLATION,
        rank=2,
        finer=(
            ("*: table entered twice*", Severity.LIFETIME, 1),
            ("*: freed while in use*", Severity.LIFETIME, 2),
            ("*: not a hyp table*", Severity.LIFETIME, 3),
            ("*: too few references*", Severity.LIFETIME, 4),
            ("*: too many references*", Severity.ACCOUNTING, 1),
            ("*: not mapped*", Severity.HANG, 1),
            ("*: access flag clear*", Severity.HANG, 2),
        ),
    )

    def __init__(self, side: Side, peers: Peers) -> None:
        super().__init__(side, peers)
        self.shifts = self.granule.shifts
        self.entries = self.granule.entries
        # Pages allocated for hyp tables, and the pages among them that are tables.
        self.pages: set[int] = set()
        self.by_page: dict[int, HypTable] = {}
        self.root: HypTable | None = None
        self.calls: list[Call] = []
        # True if this operation stored to a table.
        self.touched = False
        # Addresses of the leaves written by this operation.
        self.written: list[int] = []
        # True if the same call has succeeded before.
        self.repeated = False

    def text(self, entry: int, level: int) -> str:
        return describe_stage1(entry, level, self.granule)

    def alloc(self, page: int) -> None:
        entry = self.kernel.entry
        if page < 0 or not entry.startswith("kvm_pgtable_hyp_"):
            return
        self.pages.add(page)
        if entry == "kvm_pgtable_hyp_init" and self.root is None:
            self.root = HypTable(page, start_level(self.granule.pa_bits, self.granule), 0, True)
            self.by_page[page] = self.root

    def store(self, ptep: int, old: int, new: int, release: bool) -> None:
        if not self.by_page:
            return
        table = self.by_page.get(ptep // self.entries)
        if table is not None:
            self.entry_written(table, ptep % self.entries, old, new)

    def entry_written(self, table: HypTable, index: int, old: int, new: int) -> None:
        """Judge a change of a table entry: an entry may only become valid, and only once."""
        self.touched = True
        level = table.level
        va = table.base + (index << self.shifts[level])
        if self.repeated:
            reason = f"entry at {va:#x}: {self.text(new, level)}"
            self.report("changed by the same call again", level, reason, frozenset([va]))
        if old & 1:
            table.leaves.pop(index, None)
            table.children.pop(index, None)
            table.reserved.discard(index)
            reason = f"{self.text(old, level)} at {va:#x} became {self.text(new, level)}"
            self.report("valid entry changed", level, reason, frozenset([va]))
        if not new & 1:
            return
        what = kind(new, level, self.granule)
        if what == TABLE:
            self.attach(table, index, new, va)
        elif what == LEAF:
            table.leaves[index] = new
            self.written.append(va)
        else:
            table.reserved.add(index)
        wrong = fields = ""
        if what == RESERVED:
            wrong, fields = "reserved encoding", type_text(new, level)
        elif unknown := unknown_fields(new, level, self.granule):
            wrong, fields = "illegal field", "; ".join(set_bits(unknown, STAGE1_BITS if what == LEAF else {}))
        if wrong:
            self.report(wrong, level, f"{self.text(new, level)} ({new:#x}) at {va:#x}: {fields}", frozenset([va]))

    def attach(self, table: HypTable, index: int, entry: int, va: int) -> None:
        """Judge a table entry that was written: its page must be a hyp page, and in the tree only once."""
        level = table.level
        page = (address_bits(entry, self.granule) - self.kernel.base) >> self.granule.page_shift
        if page not in self.pages:
            self.report("not a hyp table", level, f"entry at {va:#x} names page {page}", frozenset([va]))
            return
        if page in self.by_page:
            self.report("table entered twice", level, f"table page {page} has two parents at {va:#x}", frozenset([va]))
            return
        child = HypTable(page, level + 1, va, True)
        table.children[index] = child
        self.by_page[page] = child
        first = page * self.entries
        for number in self.kernel.words.used(first, self.entries):
            self.entry_written(child, number, 0, self.kernel.words[first + number])

    def free(self, page: int, count: int) -> None:
        self.dropped(page, count)

    def put(self, page: int, count: int) -> None:
        self.dropped(page, count)

    def dropped(self, page: int, count: int) -> None:
        """Judge a page that was freed: before destruction it must not be a table."""
        if count == 0 and page in self.by_page and self.kernel.entry != DESTROY:
            table = self.by_page[page]
            reason = f"table page {page} (level {table.level}, from {table.base:#x}) is freed"
            self.report("freed while in use", table.level, reason, frozenset([table.base]))

    def before_operation(self, op: Operation | None) -> None:
        self.touched = False
        self.written.clear()
        self.repeated = isinstance(op, HypMap) and any(call.done and same_call(call.op, op) for call in self.calls)

    def after_operation(self, op: Operation | None, outcome: Outcome) -> None:
        call: Call | None = None
        # A text as the value: there was no call, or it was refused.
        if isinstance(op, HypMap) and not isinstance(outcome.value, str):
            if op.prot in HYP_REFUSED:
                what = f"kvm_pgtable_hyp_map() accepts {op.prot} and returns {outcome.value}"
                self.report("accepted, must be refused", -1, what, frozenset([op.va]))
            else:
                call = Call(op, self.granule.page_size, outcome.status == "ok")
                self.calls.append(call)
        self.judge_written()
        if call is not None and call.done:
            self.judge_mapped(call)
        if isinstance(op, HypMap):
            self.judge_counts()

    def judge_written(self) -> None:
        """Judge each leaf of this operation: within one call, with its address and attributes."""
        table: Table | None = None
        for va in self.written:
            table = self.table_at(va, table)
            if table is None:
                continue
            level = table.level
            entry = table.leaves.get((va - table.base) >> self.shifts[level])
            if entry is None:
                continue
            size = 1 << self.shifts[level]
            wrong, fields = "mapped, never asked for", ""
            for call in self.calls:
                if call.start <= va and va + size <= call.end:
                    wrong, fields = self.fault_of(call, va, size, entry)
                    break
            if wrong:
                why = f"{wrong}: {fields}" if fields else wrong
                self.report(wrong, level, f"{self.text(entry, level)} at {va:#x}: {why}", frozenset([va]))

    def fault_of(self, call: Call, va: int, size: int, entry: int) -> tuple[str, str]:
        """Return what is wrong with a leaf that *call* made, and with which of its fields; "" if nothing is."""
        prot = call.op.prot
        pa = address_bits(entry, self.granule)
        if pa & (size - 1):
            return "output address not aligned", ""
        if pa != call.pa + va - call.start:
            return "wrong output address", f"{pa:#x}, asked for: {call.pa + va - call.start:#x}"
        index = self.side.pgtable.HYP_DEVICE_INDEX if prot == "device" else NORMAL
        if attribute_index(entry) != index:
            return "wrong memory type", attribute(entry, index)
        if (entry & READ_ONLY_BIT == 0) != (prot in ("rw", "device")):
            return "wrong write permission", one_bit(entry, 7, "AP[2]", ("read-write", "read-only"))
        if (entry & XN_BIT == 0) != (prot == "rx"):
            return "wrong execute permission", one_bit(entry, 54, "XN", ("executable", "never executable"))
        if not entry & AF_BIT:
            return "access flag clear", one_bit(entry, 10, "AF", ("not accessed", "accessed"))
        shared = self.granule.lpa2 or entry & SHAREABILITY == INNER_SHAREABLE
        if not entry & AP1_BIT or not shared:
            found = [] if entry & AP1_BIT else [one_bit(entry, 6, "AP[1]", ("", "as at EL2"))]
            return "AP[1] clear or not inner shareable", "; ".join(found if shared else [*found, shareability(entry)])
        return "", ""

    def judge_mapped(self, call: Call) -> None:
        """Judge a call that succeeded: all of its range must be mapped."""
        va = call.start
        table: Table | None = None
        while va < call.end:
            table = self.table_at(va, table)
            if table is None or (va - table.base) >> self.shifts[table.level] not in table.leaves:
                reason = f"nothing at {va:#x} of [{call.start:#x}, {call.end:#x}) after success"
                self.report("not mapped", -1, reason, frozenset([va]))
                return
            size = 1 << self.shifts[table.level]
            va = (va & -size) + size

    def table_at(self, va: int, near: Table | None) -> Table | None:
        """Return the table in which a walk to *va* ends; *near*: a table where an earlier walk ended, tried first."""
        table = near
        if table is None or va < table.base or (va - table.base) >> self.shifts[table.level] >= self.entries:
            table = self.root
        return None if table is None else table.end_of_walk(va, self.shifts)

    def judge_counts(self) -> None:
        """Judge the reference count of each table."""
        counted = self.side.pgtable.COUNTS_HYP
        for page, table in self.by_page.items():
            want = 1 + (table.valid() if counted else 0)
            count = self.kernel.counts[page]
            if count != want:
                self.report(
                    "too many references" if count > want else "too few references",
                    table.level,
                    f"table page {page} (level {table.level}, from {table.base:#x}) has {count} references, not {want}",
                    frozenset([table.base]),
                )


def same_call(a: HypMap, b: HypMap) -> bool:
    """Return whether two calls ask for the same mapping."""
    return (a.va, a.pa, a.size, a.prot) == (b.va, b.pa, b.size, b.prot)
