# SPDX-License-Identifier: GPL-2.0-only
"""translation: the tables map only what host and slots allow."""

from typing import Final

from reference.machine.descriptor import (
    CONTIGUOUS_BIT,
    RESERVED,
    TABLE,
    VALID_BIT,
    WRITE_BIT,
    kind,
    same_address,
)

from ..language import operations as ops
from ..language.program import DEVICES
from ..sides.guest import Guest
from ..sides.notified import Watcher
from ..sides.outcome import Outcome
from .backing import ILLEGAL, UNLOGGED, Backing
from .checker import GuestChecker, Peers
from .contiguous import unlike_group
from .dirty_log import LEFT_OUT, DirtyLog
from .fields import type_text
from .guest_pages import guest_pages
from .log_causes import Cause
from .operation_ranges import accessed_slots, changed_by, unmapped_by, whole_space
from .rule import Clause, Rule
from .severity import Severity
from .shadow import Shadow
from .table import Table

STILL_THERE: Final = "still mapped after unmapping"
UNMAPS: Final = "kvm_pgtable_stage2_unmap"
# The function by which a reset unmaps the slots, area by area of the host.
RESETS: Final = "stage2_unmap_vm"
# Faults of a leaf that maps what the host has changed since.
STALE: Final = ("wrong frame", "writable, the host's page is not")


class Translation(GuestChecker):
    """Judges each leaf written, at the next quiet point, against the host's own map.

    In addition, an operation changes nothing outside its range, except the rest of a
    leaf that crosses the edge. A fault may map more of its slot, such as
    neighbouring pages, but must remove nothing there; cache maintenance by
    set/way may invalidate all of the guest. Between the two halves of an MMU notifier's
    invalidation nothing in its range is mapped.
    """

    rule = Rule(
        "translation",
        (
            Clause("tables map only what host and slots allow: frame, permissions, type"),
            Clause(
                "pages of a logged slot that the guest may write are in the dirty log",
                "*: writable and not in the dirty log*",
            ),
            Clause(
                "a reset of a vCPU unmaps the memory of all slots, unless FWB makes that needless",
                f"{RESETS}*: still mapped after*",
            ),
            Clause("nothing stays mapped that was unmapped, or whose slot is gone", f"*: {STILL_THERE}*"),
            Clause("nothing stays mapped that the host took away", "*: still mapped after*"),
            Clause("nothing changes outside an operation's range", "*: change outside the range*"),
            Clause("relaxing removes no right", "*: right removed*"),
        ),
        "a guest that reaches a frame which the host took back reads and overwrites another owner's memory",
        Severity.CORRUPTION,
        rank=7,
        finer=(
            ("*: wrong frame*", Severity.ISOLATION, 3),
            ("*: output address not aligned*", Severity.ISOLATION, 4),
            (f"{RESETS}*: still mapped after*", Severity.CORRUPTION, 11),
            ("*: still mapped after*", Severity.ISOLATION, 5),
            ("*: leaf outside of any slot*", Severity.ISOLATION, 6),
            ("*: writable, the host's page is not*", Severity.ISOLATION, 7),
            ("*: writable in a read-only slot*", Severity.ISOLATION, 8),
            ("*: device frame*", Severity.ISOLATION, 9),
            ("*: writable and not in the dirty log*", Severity.CORRUPTION, 3),
            (f"*: {ILLEGAL}*", Severity.CORRUPTION, 12),
            ("*: right removed*", Severity.CONTRACT, 2),
        ),
        reasons=(
            (
                f"{RESETS}*: still mapped after*",
                "the guest starts again with its caches off, does not fault on this page, and reads stale memory",
            ),
            ("*: writable in a read-only slot*", "the guest writes memory that user space gave it read-only"),
            ("*: writable and not in the dirty log*", LEFT_OUT),
            (
                f"*: {ILLEGAL}*",
                "the leaf means something else to the CPU than to KVM: other rights, for example, or other memory",
            ),
            ("*: right removed*", "the guest faults on accesses that were already allowed"),
            (
                "*: device frame*",
                "accesses to a device are merged, repeated or cached, and cached data overwrites its memory",
            ),
        ),
    )

    def __init__(self, guest: Guest, peers: Peers) -> None:
        super().__init__(guest, peers)
        self.shadow = peers.at(Shadow, guest)
        self.shifts = self.granule.shifts
        # In a par block: the number of leaves made so far; by address, the number and maker of each leaf; by actor, the
        # number of leaves when its current invalidation began.
        self.leaves = 0
        self.made: dict[int, tuple[int, int]] = {}
        self.since: dict[int, int] = {}
        # In a par block, which is judged when all actors are done: the function that last wrote the entry at each
        # address.
        self.writers: dict[int, str] = {}
        # By actor, the guest addresses of the slot that its call deletes or moves.
        self.left: dict[int, tuple[int, int]] = {}
        # The addresses of the entries that became valid in this operation.
        self.written: list[int] = []
        # Guest addresses that the operation may change, and those whose leaves it has to change.
        self.allowed: list[tuple[int, int]] = []
        self.target: list[tuple[int, int]] = []
        # Ranges in which mappings may be added or rebuilt; mappings removed there: (level, address, function).
        self.growing: list[tuple[int, int]] = []
        self.taken: list[tuple[int, int, str]] = []
        self.backing = Backing(guest)
        self.log = peers.at(DirtyLog, guest).causes
        # A par block runs.
        self.block = False
        guest.notified.watchers.append(BetweenHalves(self))

    def invalidated(self, start: int, end: int) -> None:
        since = self.since.get(self.kernel.actor, 0)
        for first, last in self.guest.ipa_ranges(start, end):
            for level, ipa, entry in self.shadow.leaves_in(first, last):
                number, maker = self.made.get(ipa, (0, 0))
                if 0 <= since < number and maker != self.kernel.actor:
                    # Made meanwhile, by ``change_pte()`` of another actor: it is judged when the pages have changed.
                    continue
                if self.of_old_place(level, ipa, entry, start, end):
                    continue
                self.report(
                    "still mapped after invalidation",
                    level,
                    f"{self.text(entry, level)} at {ipa:#x} is still there after {self.kernel.entry}() "
                    f"of [{first:#x}, {last:#x})",
                    frozenset([ipa]),
                )

    def of_old_place(self, level: int, ipa: int, entry: int, start: int, end: int) -> bool:
        """Return whether a leaf maps other pages than host addresses [start, end).

        If a slot moves over its own old place, the old mappings stay until they are unmapped.
        """
        leaving = self.guest.leaving_at(ipa)
        if leaving is None:
            return False
        hva = leaving.hva + ipa - leaving.ipa
        other = hva >= end or hva + self.granule.level_size(level) <= start
        return other and not self.backing.fault_in(leaving, level, ipa, entry)[0]

    def invalidating(self) -> None:
        # Until the actor has the mmu lock, faults may map.
        self.since[self.kernel.actor] = -1

    def lock(self, name: str, vmid: int) -> None:
        if self.since and name == "mmu" and vmid == self.vm_vmid and self.since.get(self.kernel.actor, 0) < 0:
            self.since[self.kernel.actor] = self.leaves

    def host_changed(self, start: int, end: int) -> None:
        """Judge leaves of host addresses [start, end), whose pages have changed: in a par block, none may be stale now.

        Steps that a fault has still to do, such as marking a page, are judged when all actors have returned.
        """
        for first, last in self.guest.ipa_ranges(start, end) if self.kernel.actor else ():
            for level, ipa, entry in self.shadow.leaves_in(first, last):
                wrong, page = self.backing.fault_of(level, ipa, entry)
                if wrong in STALE:
                    self.wrong(wrong, page, level, ipa, entry)

    def before_operation(self, op: ops.Operation | None) -> None:
        self.block = isinstance(op, ops.Par)
        self.made.clear()
        self.writers.clear()
        self.written.clear()
        self.taken.clear()
        self.target = changed_by(self.guest, op)
        # KVM may unmap vCPUs at EL1 from everything at any time.
        self.allowed = whole_space(self.guest) if self.guest.is_nested else self.target[:]
        self.growing = accessed_slots(self.guest, op)

    def actor_begins(self, op: ops.Operation) -> None:
        if isinstance(op, (ops.SlotDelete, ops.SlotMove)):
            layout = self.side.by_name[op.slot]
            if layout.slot.vm == self.guest.vm and layout.live:
                self.left[self.kernel.actor] = layout.ipa, layout.ipa + layout.size

    def actor_ends(self, op: ops.Operation, outcome: Outcome) -> None:
        start, end = self.left.pop(self.kernel.actor, (0, 0))
        if end and outcome.status == "ok":
            self.judge_left(start, end)

    def judge_left(self, start: int, end: int) -> None:
        """Judge the range of a slot when the call that has deleted or moved it returns: nothing may be mapped there."""
        for level, ipa, entry in self.shadow.leaves_in(start, end):
            if self.guest.layout_of(ipa) is None:
                self.still_there(level, ipa, entry, start, end)

    def before_destruction(self) -> None:
        self.before_operation(None)

    def log_taken(self, vmid: int, slot: int, gfn: int, mask: int, whole: bool) -> None:
        # Pages that are write-protected next. Dirty rings belong to the whole VM: they may contain other slots than the
        # operation's, and a vCPU that user space makes room for.
        if vmid == self.vm_vmid:
            shift = self.granule.page_shift
            self.allowed.append((gfn << shift, gfn + mask.bit_length() << shift))

    def changed(self, ipa: int, level: int, ptep: int, old: int, new: int) -> None:
        if new & VALID_BIT:
            if not self.written or self.written[-1] != ipa:
                self.written.append(ipa)
            if self.kernel.actor:
                self.writers[ipa] = self.running()
            # If only rights or the access flag changed, the leaf was there before.
            if self.kernel.actor and not (old & VALID_BIT and same_address(old, new, self.granule)):
                self.leaves += 1
                self.made[ipa] = self.leaves, self.kernel.actor
            if kind(new, level, self.granule) == RESERVED:
                reason = f"{self.text(new, level)} at {ipa:#x}: {type_text(new, level)}"
                self.report("reserved encoding", level, reason, frozenset([ipa]))
        end = ipa + (1 << self.shifts[level])
        for start, stop in self.allowed:
            if ipa < stop and start < end:
                return
        for start, stop in reversed(self.guest.notified.guest_ranges):
            if ipa < stop and start < end:
                return
        for start, stop in self.growing:
            if ipa < stop and start < end:
                if old & VALID_BIT:
                    self.taken += [
                        (at, base, self.kernel.walker) for at, base in self.mapped_by(ipa, level, old) if base >= start
                    ]
                return
        self.report(
            "change outside the range",
            level,
            f"entry at {ipa:#x} changed from {self.text(old, level)} to {self.text(new, level)}, "
            "outside the range of the operation",
            frozenset([ipa]),
        )

    def mapped_by(self, ipa: int, level: int, old: int) -> list[tuple[int, int]]:
        """Return (level, address) of the leaves that an entry mapped before it was just cut off or changed."""
        if kind(old, level, self.granule) != TABLE:
            return [(level, ipa)]
        return [(at, base) for at, base, _ in self.shadow.leaves_cut_off(ipa, level)]

    def judge_taken(self) -> None:
        """Judge what a fault removed outside of its own page or block: it must be mapped again."""
        for level, ipa, function in self.taken:
            now, _ = self.shadow.lookup(ipa)
            # In a par block a host thread may have unmapped it since.
            if now < 0 and not self.announced(ipa):
                self.report(
                    "change outside the range",
                    level,
                    f"the leaf at {ipa:#x}, level {level}, is no longer mapped; the fault is elsewhere",
                    frozenset([ipa]),
                    function=function,
                )

    def announced(self, ipa: int) -> bool:
        """Return whether the host has notified of a change at an address in this operation."""
        return any(start <= ipa < end for start, end in self.guest.notified.guest_ranges)

    def after_operation(self, op: ops.Operation | None, outcome: Outcome) -> None:
        if self.taken:
            self.judge_taken()
        self.backing.begin()
        # First the operation's effect: if it left a stale leaf, violations of other rules follow from that.
        if outcome.status == "ok":
            self.judge_effect(op)
        table: Table | None = None
        for ipa in each_once(self.written):
            table = self.shadow.lookup_near(table, ipa)
            if table is not None:
                shift = self.shifts[table.level]
                entry = table.leaves.get((ipa - table.base) >> shift)
                if entry is not None:
                    self.judge(table.level, ipa >> shift << shift, entry)
        for hva, hva_end in self.guest.notified.ranges:
            self.judge_range(hva, hva_end)
        if isinstance(op, ops.Par):
            for part in op.operations:
                self.judge_logged(ops.plain(part))
        else:
            self.judge_logged(op)

    def judge_logged(self, op: ops.Operation | None) -> None:
        """Judge the slot of an operation on its dirty log."""
        if isinstance(op, (ops.SetLog, ops.GetLog, ops.ClearLog)):
            layout = self.side.by_name[op.slot]
            self.judge_range(layout.hva, layout.hva + layout.size)

    def judge_effect(self, op: ops.Operation | None) -> None:
        """Judge that an operation that removes mappings or rights leaves none of them."""
        if isinstance(op, ops.TableWrprotect):
            for start, end in self.target:
                for level, ipa, entry in self.shadow.leaves_in(start, end):
                    if entry & WRITE_BIT:
                        what = "still writable after write-protection"
                        reason = f"{self.text(entry, level)} at {ipa:#x}, in [{start:#x}, {end:#x})"
                        self.report(what, level, reason, frozenset([ipa]), function="kvm_pgtable_stage2_wrprotect")
        elif isinstance(op, (ops.TableUnmap, ops.GuestReset, ops.SlotDelete, ops.SlotMove, ops.SlotCreate)):
            if isinstance(op, ops.GuestReset) and not unmapped_by(self.guest, op):
                return
            for start, end in self.target:
                for level, ipa, entry in self.shadow.leaves_in(start, end):
                    # A slot that is new at a place is mapped there only by faults, except device memory, which a reset
                    # may also keep.
                    layout = self.guest.layout_of(ipa)
                    kept = isinstance(op, (ops.SlotMove, ops.SlotCreate, ops.GuestReset))
                    if kept and layout and layout.slot.backing in DEVICES:
                        continue
                    self.still_there(level, ipa, entry, start, end, isinstance(op, ops.GuestReset))

    def still_there(self, level: int, ipa: int, entry: int, start: int, end: int, reset: bool = False) -> None:
        """Report a leaf in a range [start, end) that was unmapped.

        :param reset: by a reset, which unmaps all slots
        """
        of = "the slot " if reset else ""
        reason = f"{self.text(entry, level)} at {ipa:#x}, in {of}[{start:#x}, {end:#x})"
        pages = guest_pages(frozenset([ipa]), self.granule.page_size)
        where = self.written_at(level, pages)
        if where:
            where += ", where it was last written"
        self.report(STILL_THERE, level, reason, pages, function=RESETS if reset else UNMAPS, where=where)

    def judge_range(self, hva: int, hva_end: int) -> None:
        """Judge every leaf that maps a range of host addresses."""
        for start, end in self.guest.ipa_ranges(hva, hva_end):
            self.judge_leaves(start, end)

    def judge_leaves(self, start: int, end: int) -> None:
        """Judge every leaf that overlaps a range of guest addresses."""
        for root in self.shadow.roots_in(start, end):
            self.judge_table(root, start, end)

    def judge_table(self, table: Table, start: int, end: int) -> None:
        """Do the same as `judge_leaves` from *table* down."""
        shift = self.shifts[table.level]
        for index in self.shadow.indices_in(table, start, end):
            leaf = table.leaves.get(index)
            if leaf is not None:
                self.judge(table.level, table.base + (index << shift), leaf)
                continue
            child = table.children.get(index)
            if child is not None:
                self.judge_table(child, start, end)

    def scan(self) -> None:
        """Judge every leaf, as a cross-check of the incremental checks."""
        self.backing.begin()
        self.judge_leaves(0, 1 << self.guest.regime.ia_bits)

    def judge(self, level: int, ipa: int, entry: int) -> None:
        """Judge one leaf of a pass against slot, frames and permissions."""
        wrong, page = self.backing.next_fault_of(level, ipa, entry)
        fields = ""
        if not wrong and entry & CONTIGUOUS_BIT:
            fields = unlike_group(self.shadow, self.granule, level, ipa, entry)
            wrong, page = (ILLEGAL, ipa) if fields else ("", 0)
        if wrong:
            self.wrong(wrong, page, level, ipa, entry, self.writers.get(ipa, ""), fields)

    def wrong(
        self, what: str, page: int, level: int, ipa: int, entry: int, function: str = "", fields: str = ""
    ) -> None:
        """Report a wrong leaf, at one of its pages.

        :param fields: the wrong fields, if the leaf itself does not tell them
        """
        fields = fields or self.backing.fields_of(what, entry)
        why = f"{what}: {fields}" if fields else what
        cause = self.unprotected(page, ipa) if what == UNLOGGED else Cause("")
        reason = f"{self.text(entry, level)} at {ipa:#x}: {why} (page {page:#x}){cause.text}"
        self.report(what, level, reason, frozenset([page]), function=function, where=cause.where)

    def unprotected(self, page: int, ipa: int) -> Cause:
        """Return the step of the dirty log in this operation that left a writable leaf as it was, if one did."""
        layout = self.guest.layout_of(page)
        if layout is None or self.block or ipa in self.written:
            return Cause("")
        return self.log.unprotected(layout.id, page >> self.granule.page_shift)


def each_once(addresses: list[int]) -> list[int]:
    """Return the addresses without duplicates, in order."""
    last = -1
    for address in addresses:
        if address <= last:
            return list(dict.fromkeys(addresses))
        last = address
    return addresses


class BetweenHalves(Watcher):
    """Lets the checker look at the tables between the halves of an invalidation."""

    def __init__(self, checker: Translation) -> None:
        self.checker = checker

    def invalidating(self) -> None:
        self.checker.invalidating()

    def invalidated(self, start: int, end: int) -> None:
        self.checker.invalidated(start, end)

    def invalidation_ended(self, start: int, end: int) -> None:
        self.checker.host_changed(start, end)
