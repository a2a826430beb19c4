# SPDX-License-Identifier: GPL-2.0-only
"""The behaviour of one side as raw features, whose number is limited.

A raw feature names an event, its context (the entry point, or the fault that it handles), and the
walker. `fuzz.features.features` combines the raw features of two sides.
"""

from typing import Final

from reference.machine.descriptor import VALID_BIT
from reference.machine.walk import ACCESS_NAMES, FAULT_NAMES, NONE, Walk

from ..checkers import Checker
from ..execution.executor import Executor
from ..language.operations import HypMap, Operation
from ..sides.outcome import Outcome
from .operation_features import OperationFeatures, extent
from .raw import ACCESS, BROKEN, COMPARED, ENTRY, HYP_ENTRY, RawFeature, compared_bits

# The counters of an operation, for comparing the two sides.
COUNTERS: Final = ("stores", "references", "tables allocated", "flushes", "pages cleaned", "faults")


class FeatureCollector(Checker):
    """Collects the raw features of one side; judges nothing.

    :param executor: the executor of the side, before anything has run on it
    :param program: collects the raw features of the program itself, which are the same on both
        sides; None: do not collect them

    *seen*: the raw features so far; the counters are those of the current operation
    """

    def __init__(self, executor: Executor, program: set[RawFeature] | None = None) -> None:
        super().__init__(executor.side)
        checkers = executor.checkers
        self.shadows = checkers.shadows
        self.hyp = checkers.hyp
        self.entries = self.granule.entries
        self.shifts = self.granule.shifts
        self.address_mask = self.granule.address_mask
        self.seen: set[RawFeature] = set()
        self.operation_features = OperationFeatures(executor.side, checkers.shadows, self.seen, program)
        # The entry point, or fault, for which an entry was last written, keyed by its index.
        self.writers: dict[int, str] = {}
        # The last recorded change of an entry and of a count, and its context: walkers often do the
        # same many times in a row.
        self.before = self.after = self.level = self.page = 0
        self.moved = False
        self.earlier: str | None = None
        self.where = self.walker = self.counted = self.counting = self.counted_for = ""
        # The last recorded event and its context: the position of an actor of a par block at the end of its turn.
        self.noted = self.noted_for = ""
        self.in_hyp = False
        self.stores = 0
        self.references = 0
        self.tables = 0
        self.flushes = 0
        self.cleaned = 0
        self.faults = 0
        self.kernel.observe(self)
        for shadow in self.shadows:
            shadow.observe(self)
        for each in checkers.on_translated:
            each.append(self)
        checkers.on_before_operation.append(self)
        checkers.on_after_operation.append(self)

    def counts(self) -> tuple[int, ...]:
        """Return the counters of this operation, in the order of `COUNTERS`."""
        return self.stores, self.references, self.tables, self.flushes, self.cleaned, self.faults

    # Entries and tables.

    def changed(self, ipa: int, level: int, ptep: int, old: int, new: int) -> None:
        before = old & COMPARED if old & VALID_BIT else BROKEN if old else 0
        after = new & COMPARED if new & VALID_BIT else BROKEN if new else 0
        moved = (old ^ new) & self.address_mask != 0
        kernel = self.kernel
        walker = kernel.walker
        context = kernel.cause or kernel.entry
        earlier = self.writers.get(ptep)
        self.writers[ptep] = context
        if (
            before == self.before
            and after == self.after
            and level == self.level
            and moved == self.moved
            and context == self.where
            and walker == self.walker
            and earlier == self.earlier
        ):
            return
        self.before, self.after, self.level, self.moved = before, after, level, moved
        self.earlier, self.where, self.walker = earlier, context, walker
        self.noted, self.noted_for = ENTRY, context
        self.seen.add((ENTRY, context, walker, level, before, after, moved))
        if earlier is not None:
            self.seen.add(("entry written before", earlier, context, walker, level))

    def store(self, ptep: int, old: int, new: int, release: bool) -> None:
        self.stores += 1
        if self.in_hyp:
            table = self.hyp.by_page.get(ptep // self.entries)
            level = 4 if table is None else table.level
            self.seen.add(
                (HYP_ENTRY, self.kernel.entry, self.kernel.walker, level, compared_bits(old), compared_bits(new), 0)
            )

    def exchange_lost(self, ptep: int, found: int, new: int) -> None:
        self.note("exchange lost", "")

    def set_af(self, ptep: int, old: int, new: int) -> None:
        self.note("hardware sets the access flag", "")

    def dirtied(self, ptep: int, old: int, new: int) -> None:
        self.note("hardware makes a leaf writable", "")

    def reference(self, what: str, page: int, count: int) -> None:
        """Record a change of the count of a table page."""
        self.references += 1
        # Distinguish a full table from one with many entries.
        size = max(count, -1) if count < 3 else 4 if count > self.entries else 3
        walker = self.kernel.walker
        context = self.kernel.cause or self.kernel.entry
        if size == 3:
            if page == self.page and what == self.counted and walker == self.counting and context == self.counted_for:
                return
            self.page, self.counted, self.counting, self.counted_for = page, what, walker, context
        level = -1
        for shadow in self.shadows:
            table = shadow.by_page.get(page) or shadow.touched.get(page)
            if table is not None:
                level = table.level
                break
        self.seen.add((what, context, walker, level, size))

    def get(self, page: int, count: int) -> None:
        self.reference("get_page", page, count)

    def put(self, page: int, count: int) -> None:
        self.reference("put_page", page, count)

    def free(self, page: int, count: int) -> None:
        self.reference("free_page", page, count)

    def alloc(self, page: int) -> None:
        self.tables += 1
        self.note("alloc", "" if page >= 0 else "fails")

    # Flushes, locks, and the other events of the kernel layer.

    def note(self, what: str, detail: str | int) -> None:
        """Record a raw feature with the kernel's current context."""
        kernel = self.kernel
        self.noted = what
        self.noted_for = kernel.cause or kernel.entry
        self.seen.add((what, self.noted_for, kernel.walker, detail))

    def turn(self, actor: int) -> None:
        """Record the positions of the actor of a par block whose turn ends and of the one that continues."""
        if actor:
            kernel = self.kernel
            goes_on = (kernel.cause or kernel.entry, kernel.walker)
            self.seen.add(("turn", self.noted_for, self.noted, *goes_on))
        self.noted = self.noted_for = ""

    def tlbi_ipa(self, vmid: int, ipa: int, level: int) -> None:
        self.flushes += 1
        self.note("flush by IPA", level)

    def tlbi_ipa_local(self, vmid: int, ipa: int, level: int) -> None:
        self.flushes += 1
        self.note("flush by IPA of one CPU", level)

    def tlbi_vmid(self, vmid: int) -> None:
        self.flushes += 1
        self.note("flush by VMID", "")

    def flush_vm_context(self) -> None:
        self.flushes += 1
        self.note("flush of all VMIDs", "")

    def tlbi_range(self, vmid: int, ipa: int, size: int) -> None:
        self.flushes += 1
        self.note("flush by range", extent(size, self.shifts))

    def dcache(self, pa: int, size: int) -> None:
        self.cleaned += size >> self.shifts[3]
        self.note("clean", extent(size, self.shifts))

    def icache(self, pa: int, size: int) -> None:
        self.note("invalidate icache", extent(size, self.shifts))

    def icache_all(self) -> None:
        self.note("invalidate icache", "all")

    def lock(self, name: str, vmid: int) -> None:
        self.held("lock", name)

    def unlock(self, name: str, vmid: int) -> None:
        self.held("unlock", name)

    def held(self, what: str, name: str) -> None:
        """Record that a lock was taken or released, and the number of locks held then."""
        kernel = self.kernel
        self.noted = what
        self.noted_for = kernel.cause or kernel.entry
        self.seen.add((what, self.noted_for, kernel.walker, name, len(kernel.locks)))

    def resched(self) -> None:
        self.note("resched", "")

    def resched_asked(self, function: str, answer: bool) -> None:
        self.note("asked", function if answer else "")

    def warn(self, label: str) -> None:
        self.note("warn", label)

    def topup(self, cache: int, minimum: int, had: int, has: int, ret: int, locked: bool) -> None:
        self.note("topup", "enough" if has == had else "fails" if ret else "filled")

    def gfn_to_pfn(self, gfn: int, pfn: int, write: bool, writable: bool) -> None:
        self.note("gfn_to_pfn", f"{'fails' if pfn < 0 else 'writable' if writable else 'readable'} write={write:d}")

    def thp(self, pfn: int, yes: bool) -> None:
        self.note("huge page" if yes else "no huge page", "")

    def mark_page_dirty(self, gfn: int, slot: int, logged: bool) -> None:
        self.note("marked dirty" if logged else "not logged", "")

    def retry(self, sampled: int, now: int, in_progress: int, result: bool) -> None:
        self.note("retry" if result else "no retry", "")

    def cow(self, hva: int, pages: int, pfn: int) -> None:
        self.note("copy on write", extent(pages << self.shifts[3], self.shifts))

    def inject(self, what: str, address: int) -> None:
        self.note("inject", what)

    def io(self, ipa: int) -> None:
        self.note("io", "")

    def sigbus(self, hva: int, shift: int) -> None:
        self.note("sigbus", "")

    # Accesses and operations.

    def translated(self, cpu: int, access: int, ipa: int, walk: Walk) -> None:
        if walk.fault != NONE:
            self.faults += 1
        self.seen.add((ACCESS, ACCESS_NAMES[access], FAULT_NAMES[walk.fault], walk.level, compared_bits(walk.entry)))

    def before_operation(self, op: Operation | None) -> None:
        self.stores = self.references = self.tables = self.flushes = self.cleaned = self.faults = 0
        self.in_hyp = isinstance(op, HypMap)
        if op is not None:
            self.operation_features.begin(op)

    def after_operation(self, op: Operation | None, outcome: Outcome) -> None:
        for shadow in self.shadows:
            if shadow.touched:
                self.operation_features.shape(shadow)
