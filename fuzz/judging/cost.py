# SPDX-License-Identifier: GPL-2.0-only
"""The cost of a program on one side: measured beside the verdict, never part of it.

The *invalid window* is the time in which a live entry is invalid on its way from one valid
value to the next, under one hold of the mmu lock: break-before-make. Meanwhile other
vCPUs that touch its range take faults that are otherwise unnecessary.
"""

from dataclasses import dataclass, field, fields

from reference.events import EVENT_NAMES, Observer
from reference.machine.descriptor import VALID_BIT
from reference.machine.walk import ACCESS_FLAG, PERMISSION, TRANSLATION, Walk

from ..checkers import Checker
from ..checkers.dirty_log import DirtyLog
from ..execution.executor import Executor
from .stretch import Stretch


@dataclass(slots=True)
class Costs:
    """Totals of one side.

    *events*: calls of `reference.events.Observer`, of any kind.
    *entries_visited*: by the software walker, or read by the code of a kernel tree; *tables_walked*: tables entered;
    *longest_hold_entries*: the maximum visited under one hold of the mmu lock (`Stretch`).
    *flushes_ipa*: by address, without a level hint that the CPU takes;
    *flushes_ipa_hint*: with one; *flushes_range*: by range. *bytes_cleaned*: data cache to the point of
    coherency; *bytes_invalidated*: instruction cache, by address;
    *icache_flushes*: instruction cache, everything. *table_pages*: allocated, root included.
    *faults_...*: taken by guest accesses. *pages_logged*: marked dirty;
    *pages_over_reported*: in a log that user space collected, and not written since they were last cleared.
    *windows*: entries broken and made again under one hold of the mmu lock; *window_events*:
    events between the two stores, summed over all windows, and *longest_window* in
    one window; *window_entries* and *longest_window_entries*: likewise entries visited,
    in tables whose walk ended inside, or read inside by kernel trees; *window_cleaned*: the part of *bytes_cleaned*.
    """

    events: int = 0
    tables_walked: int = 0
    entries_visited: int = 0
    longest_hold_entries: int = 0
    stores: int = 0
    table_pages: int = 0
    flushes_ipa: int = 0
    flushes_ipa_hint: int = 0
    flushes_range: int = 0
    flushes_vmid: int = 0
    bytes_cleaned: int = 0
    bytes_invalidated: int = 0
    icache_flushes: int = 0
    faults_translation: int = 0
    faults_access_flag: int = 0
    faults_permission: int = 0
    pages_logged: int = 0
    pages_over_reported: int = 0
    windows: int = 0
    window_events: int = 0
    longest_window: int = 0
    window_entries: int = 0
    longest_window_entries: int = 0
    window_cleaned: int = 0

    def add(self, other: "Costs") -> None:
        """Add another side's costs to these."""
        for each in fields(self):
            name = each.name
            mine, more = getattr(self, name), getattr(other, name)
            setattr(self, name, max(mine, more) if name.startswith("longest_") else mine + more)


@dataclass(slots=True)
class Comparison:
    """Both sides' costs of the same programs.

    :param complete: both sides ran to their end; otherwise these are the costs until
        one of them crashed or ran away
    """

    reference: Costs
    candidate: Costs
    complete: bool = True


@dataclass(slots=True)
class Total:
    """Both sides' costs of several programs.

    *programs*: their number; programs that a side did not finish are left out, because
    the two sides did not do the same
    """

    programs: int = 0
    reference: Costs = field(default_factory=Costs)
    candidate: Costs = field(default_factory=Costs)

    def add(self, costs: Comparison | None) -> None:
        """Add one more program."""
        if costs is not None and costs.complete:
            self.programs += 1
            self.reference.add(costs.reference)
            self.candidate.add(costs.candidate)


class Cost(Checker):
    """Measures one side; judges nothing.

    :param executor: the side's executor, before anything has run on it
    """

    def __init__(self, executor: Executor) -> None:
        super().__init__(executor.side)
        self.costs = Costs()
        self.events = 0
        # Index of each entry broken under the lock -> (events, entries visited, bytes cleaned) by then.
        self.broken: dict[int, tuple[int, int, int]] = {}
        self.stretch = Stretch(executor.side)
        self.kernel.observe(self.stretch)
        self.dirty_logs = executor.checkers.peers.each(DirtyLog)
        self.kernel.observe(self)
        for shadow in executor.checkers.shadows:
            shadow.observe(self)
        for observers in executor.checkers.on_translated:
            observers.append(self)

    def totals(self) -> Costs:
        """Return the costs so far."""
        self.costs.events = self.events
        self.costs.entries_visited = self.kernel.visited
        self.costs.longest_hold_entries = self.stretch.longest_ever
        self.costs.pages_over_reported = sum(log.over_reported for log in self.dirty_logs)
        return self.costs

    def changed(self, ipa: int, level: int, ptep: int, old: int, new: int) -> None:
        if not new & VALID_BIT:
            if old & VALID_BIT:
                self.broken[ptep] = self.events, self.kernel.visited, self.costs.bytes_cleaned
            return
        opened = self.broken.pop(ptep, None)
        if opened is None:
            return
        costs = self.costs
        # The two stores themselves do not count.
        events = self.events - opened[0] - 1
        entries = self.kernel.visited - opened[1]
        costs.windows += 1
        costs.window_events += events
        costs.longest_window = max(costs.longest_window, events)
        costs.window_entries += entries
        costs.longest_window_entries = max(costs.longest_window_entries, entries)
        costs.window_cleaned += costs.bytes_cleaned - opened[2]

    def lock(self, name: str, vmid: int) -> None:
        self.events += 1
        # Entries that are still invalid when the lock is taken again were unmapped.
        if name == "mmu":
            self.broken.clear()

    def walk_table(self, table: int, level: int) -> None:
        self.events += 1
        self.costs.tables_walked += 1

    def store(self, ptep: int, old: int, new: int, release: bool) -> None:
        self.events += 1
        self.costs.stores += 1

    def alloc(self, page: int) -> None:
        self.events += 1
        if page >= 0:
            self.costs.table_pages += 1

    def alloc_exact(self, page: int, pages: int) -> None:
        self.events += 1
        if page >= 0:
            self.costs.table_pages += pages

    def tlbi_ipa(self, vmid: int, ipa: int, level: int) -> None:
        self.events += 1
        if level & 3 and self.side.ttl:
            self.costs.flushes_ipa_hint += 1
        else:
            self.costs.flushes_ipa += 1

    def tlbi_ipa_local(self, vmid: int, ipa: int, level: int) -> None:
        self.tlbi_ipa(vmid, ipa, level)

    def tlbi_range(self, vmid: int, ipa: int, size: int) -> None:
        self.events += 1
        self.costs.flushes_range += 1

    def tlbi_vmid(self, vmid: int) -> None:
        self.events += 1
        self.costs.flushes_vmid += 1

    def instruction(self, op: int, operand: int) -> None:
        """Do not count it: its helper call counts."""

    def dcache(self, pa: int, size: int) -> None:
        self.events += 1
        self.costs.bytes_cleaned += size

    def icache(self, pa: int, size: int) -> None:
        self.events += 1
        self.costs.bytes_invalidated += size

    def icache_all(self) -> None:
        self.events += 1
        self.costs.icache_flushes += 1

    def mark_page_dirty(self, gfn: int, slot: int, logged: bool) -> None:
        self.events += 1
        if logged:
            self.costs.pages_logged += 1

    def translated(self, cpu: int, access: int, ipa: int, walk: Walk) -> None:
        if walk.fault == TRANSLATION:
            self.costs.faults_translation += 1
        elif walk.fault == PERMISSION:
            self.costs.faults_permission += 1
        elif walk.fault == ACCESS_FLAG:
            self.costs.faults_access_flag += 1


def _other(self: Cost, *_: object) -> None:
    self.events += 1


# All other events only count, including events added in the future.
for _name in EVENT_NAMES:
    if getattr(Cost, _name) is getattr(Observer, _name):
        setattr(Cost, _name, _other)
