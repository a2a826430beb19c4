# SPDX-License-Identifier: GPL-2.0-only
"""translation: the tables map only what host and slots allow."""

from typing import Final

from reference.machine.descriptor import (
    CONTIGUOUS_BIT,
    RESERVED,
    TABLE,
    VALID_BIT,
    kind,
)

from ..language import operations as ops
from ..sides.guest import Guest
from ..sides.nested import NestedGuest
from ..sides.outcome import Outcome
from .backing import ILLEGAL, UNLOGGED, Backing
from .checker import GuestChecker, Peers
from .contiguous import unlike_group
from .dirty_log import LEFT_OUT, DirtyLog
from .fields import type_text
from .log_causes import Cause
from .operation_ranges import accessed_slots, changed_by, whole_space
from .rule import Clause, Rule
from .severity import Severity
from .shadow import Shadow
from .table import Table

STILL_THERE: Final = "still mapped after unmapping"
LARGER: Final = "larger than the guest hypervisor's leaf"
# The function by which a reset unmaps the slots, area by area of the host.
RESETS: Final = "stage2_unmap_vm"


class Translation(GuestChecker):
    """Judges each leaf written, at the next quiet point, against the host's own map.

    In addition, an operation changes nothing outside its range, except the rest of a
    leaf that crosses the edge. A fault may map more of its slot, such as
    neighbouring pages, but must remove nothing there; cache maintenance by
    set/way may invalidate all of the guest. `UnmappedRange`, `InvalidatedRange` and `Rights` judge the rest of the
    rule.
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
            Clause("a leaf of vCPUs at EL1 is at most as large as the guest hypervisor's", f"*: {LARGER}*"),
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
            (f"*: {LARGER}*", Severity.ISOLATION, 13),
            ("*: writable and not in the dirty log*", Severity.CORRUPTION, 3),
            (f"*: {ILLEGAL}*", Severity.CORRUPTION, 12),
            ("*: right removed*", Severity.CONTRACT, 2),
            ("*: change outside the range*", Severity.CORRUPTION, 14),
            ("*: reserved encoding*", Severity.CORRUPTION, 15),
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
                "*: change outside the range*",
                "the guest loses or gets mappings, or rights, at an address that nobody asked to change",
            ),
            ("*: wrong frame*", "the guest reads and overwrites memory that belongs to another address or owner"),
            (
                "*: output address not aligned*",
                "the CPU ignores the low bits of the address, so the guest reaches other memory than KVM meant",
            ),
            (
                f"*: {LARGER}*",
                "the guest hypervisor may map the rest elsewhere or not at all, and its guest reaches that memory",
            ),
            ("*: leaf outside of any slot*", "the guest reaches memory of the host that no slot gives to it"),
            (
                "*: writable, the host's page is not*",
                "the guest writes a page that others share, or that the host does not let anybody write",
            ),
            ("*: reserved encoding*", "the architecture does not say what the CPU does with such a descriptor"),
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
        # In a par block, which is judged when all actors are done: the function that last wrote the entry at each
        # address.
        self.writers: dict[int, str] = {}
        # The addresses of the entries that became valid in this operation.
        self.written: list[int] = []
        # Guest addresses that the operation may change.
        self.allowed: list[tuple[int, int]] = []
        # Ranges in which mappings may be added or rebuilt; mappings removed there: (level, address, function).
        self.growing: list[tuple[int, int]] = []
        self.taken: list[tuple[int, int, str]] = []
        self.backing = Backing(guest)
        # Those vCPUs at EL1 for which the guest hypervisor has enabled its stage 2.
        self.inner = guest if isinstance(guest, NestedGuest) and guest.has_stage2 else None
        self.log = peers.at(DirtyLog, guest).causes
        # A par block runs.
        self.block = False

    def before_operation(self, op: ops.Operation | None) -> None:
        self.block = isinstance(op, ops.Par)
        self.writers.clear()
        self.written.clear()
        self.taken.clear()
        # KVM may unmap vCPUs at EL1 from everything at any time.
        self.allowed = whole_space(self.guest) if self.guest.is_nested else changed_by(self.guest, op)
        self.growing = accessed_slots(self.guest, op)

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
            fields = unlike_group(self.shadow, self.guest.regime, level, ipa, entry)
            wrong, page = (ILLEGAL, ipa) if fields else ("", 0)
        if not wrong and self.inner is not None and level < self.inner.level_of(ipa):
            wrong, page = LARGER, ipa
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
