# SPDX-License-Identifier: GPL-2.0-only
"""dcache: data that the host wrote reaches memory before a guest without caches can read it.

Without FWB only. A frame that holds host data not cleaned since, and that no
leaf exposed at that guest address when the operation began, must not be
mapped cacheable. A flush cleans the cacheable leaves in its range, and invalidates them: a frame
that a guest has written with its caches off since then may be stale in the data cache. An
unmapped leaf is cleaned between its flush and the drop of the mmu lock, dirty or
not: until the flush a guest can write through its TLB. Several leaves may share
a flush, and a clean. Splitting, coalescing and replacing owe nothing. Device
frames have no linear alias and are never cleaned.
"""

from typing import Final

from reference.machine.descriptor import LEAF, TABLE, VALID_BIT, WRITE_BIT, address_bits, is_cacheable, kind
from reference.machine.memory import DEVICE

from ..language.operations import GuestCache, GuestReset, GuestSetWay, Operation, Par, TableFlush
from ..sides.guest import Guest, walked_range
from ..sides.outcome import Outcome
from .beside import not_written, written_beside
from .checker import GuestChecker, Peers
from .guest_pages import GuestPages, Range, without
from .rule import Clause, Rule
from .severity import Severity
from .shadow import Shadow
from .table import Table
from .tlb import Tlb
from .unmapped import Unmapped

MEMATTR: Final = 0xF << 2


class Dcache(GuestChecker):
    """Judges each new leaf, each unmapped leaf, and each full flush."""

    rule = Rule(
        "dcache",
        (
            Clause("host data is clean before a page is first exposed"),
            Clause("memory that a cache toggle flushes is clean", "*: flushed, not cleaned*"),
            Clause(
                "a cache toggle invalidates memory that a guest wrote with its caches off",
                "*: flushed, not invalidated*",
            ),
            Clause(
                "unmapped memory is cleaned, dirty or not, between its flush and the drop of the mmu lock",
                "*: unmapped, *",
            ),
            Clause("device frames, which have no linear alias, are not cleaned", "*: device frame cleaned*"),
        ),
        "a guest that runs with its caches off would read stale memory instead of its image",
        Severity.CORRUPTION,
        rank=5,
        finer=(
            ("*: device frame cleaned*", Severity.CONTRACT, 1),
            ("*: flushed, not invalidated*", Severity.CORRUPTION, 13),
        ),
        reasons=(
            ("*: device frame cleaned*", "the host cleans an address that its linear map does not have, and crashes"),
            (
                "*: flushed, not invalidated*",
                "a guest that turns its caches on would read stale lines instead of what it wrote before",
            ),
        ),
    )

    def __init__(self, guest: Guest, peers: Peers) -> None:
        super().__init__(guest, peers)
        self.nothing_to_judge = guest.fwb
        self.shadow = peers.at(Shadow, guest)
        self.shifts = self.granule.shifts
        self.owed = peers.at(Tlb, guest).owed
        # Leaves that were unmapped and not yet cleaned after their flush.
        self.unmapped: list[Unmapped] = []
        # Leaves that were cleaned before their flush, which is still to come.
        self.too_soon: list[Unmapped] = []
        # Physical memory that an unmap has cleaned so far in this operation, with the places that cleaned it.
        self.cleans: list[tuple[int, int, str]] = []
        self.owes_flush = False
        # Pages that threads of the host write in this operation.
        self.written: list[Range] = []
        # vCPUs whose cache controls do not trap.
        self.untrapped: set[int] = set()

    def before_operation(self, op: Operation | None) -> None:
        self.unmapped.clear()
        self.too_soon.clear()
        self.cleans.clear()
        self.owes_flush = self.flush_is_owed(op)
        if self.written or isinstance(op, Par):
            self.written = written_beside(self.guest, op)

    def changed(self, ipa: int, level: int, ptep: int, old: int, new: int) -> None:
        if new & VALID_BIT:
            if kind(new, level, self.granule) == LEAF and is_cacheable(new):
                self.exposed(ipa, level, old, new)
        elif old & VALID_BIT and self.guest.notified.unmapping:
            self.unmaps(ipa, level, old)

    def exposed(self, ipa: int, level: int, old: int, new: int) -> None:
        """Judge a cacheable leaf that becomes visible: its frames must be clean, or already exposed at that address."""
        host_dirty = self.guest.memory.host_dirty
        shift = self.granule.page_shift
        start = (address_bits(new, self.granule) >> shift) - self.guest.memory.first
        end = start + (1 << (self.shifts[level] - shift))
        if start < 0 or host_dirty.find(1, start, end) < 0:
            return
        if not self.guest.maps_backing(ipa, start + self.guest.memory.first):
            # A wrong leaf is reported by the translation checker.
            return
        before = self.shadow.exposed_before(ipa, ipa + (1 << self.shifts[level]))
        cacheable = new & MEMATTR
        exposed: list[Range] = []
        for first, last, dirty in host_dirty.runs(start, end):
            if dirty:
                page = ipa + ((first - start) << shift)
                stop = ipa + ((last - start) << shift)
                exposed += before.unmapped(page, stop, (first + self.guest.memory.first) << shift, MEMATTR, cacheable)
        if self.written:
            exposed = not_written(exposed, self.written)
        if exposed:
            pages = GuestPages(exposed, self.granule.page_size)
            self.report(
                f"{self.before(ipa, level)}->{'page' if level == 3 else 'block'}{self.kernel.cause}, not cleaned",
                level,
                f"{self.text(new, level)} at {ipa:#x} exposes {len(pages)} frame(s) with host data "
                f"that was never cleaned to memory, the first at {exposed[0][0]:#x}",
                pages,
                taints=False,
            )

    def before(self, ipa: int, level: int) -> str:
        """Return the kind of entry that was in the place of the new leaf when the operation began."""
        for table in self.shadow.detached:
            if table.base == ipa and table.level == level + 1:
                return "table"
        for other, base, _ in self.shadow.removed:
            if base == ipa and other == level:
                return "leaf"
            if other < level and base <= ipa < base + (1 << self.shifts[other]):
                return "block"
        return "empty"

    def unmaps(self, ipa: int, level: int, old: int) -> None:
        """Note an entry that an unmap broke: the memory it mapped must be cleaned."""
        what = kind(old, level, self.granule)
        if what == LEAF:
            if is_cacheable(old):
                frames = self.frames_of(level, old)
                self.unmapped.append(Unmapped(level, ipa, old, frames, len(self.cleans), self.kernel.place))
        elif what == TABLE:
            table = self.shadow.cut_off(ipa, level)
            if table is not None:
                self.unmaps_below(table)

    def unmaps_below(self, table: Table) -> None:
        """Note the leaves below a table that an unmap cut off, as `unmaps` does."""
        for index, entry in table.leaves.items():
            self.unmaps(table.base + (index << self.shifts[table.level]), table.level, entry)
        for child in table.children.values():
            self.unmaps_below(child)

    def frames_of(self, level: int, entry: int) -> Range:
        """Return the physical addresses [start, end) that a leaf maps."""
        start = address_bits(entry, self.granule)
        return start, start + (1 << self.shifts[level])

    def cleaned(self, start: int, end: int) -> None:
        """Note that physical memory [start, end) was cleaned; it counts for leaves that no CPU holds any more."""
        rest: list[Unmapped] = []
        for leaf in self.unmapped:
            if start < leaf.end and leaf.start < end:
                if self.owed.holds_leaf(leaf.level, leaf.ipa):
                    if not leaf.early:
                        leaf.early, leaf.early_at = True, self.kernel.place
                        self.too_soon.append(leaf)
                elif start <= leaf.start and leaf.end <= end:
                    continue
                else:
                    leaf.done.append((start, end))
            rest.append(leaf)
        self.unmapped = rest

    def tlbi_ipa(self, vmid: int, ipa: int, level: int) -> None:
        if self.too_soon:
            self.flushed()

    def tlbi_vmid(self, vmid: int) -> None:
        if self.too_soon:
            self.flushed()

    def tlbi_range(self, vmid: int, ipa: int, size: int) -> None:
        if self.too_soon:
            self.flushed()

    def flushed(self) -> None:
        """Note the place that flushed leaves which were cleaned before."""
        vmid = self.guest.hardware_vmid.vmid
        for done in self.kernel.assembly.gone:
            for leaf in self.too_soon:
                if not leaf.flushed_at and leaf.is_flushed_by(done, vmid):
                    leaf.flushed_at = done.place
        self.too_soon = [leaf for leaf in self.too_soon if not leaf.flushed_at]

    def unlock(self, name: str, vmid: int) -> None:
        if self.unmapped and name == "mmu" and vmid == self.vm_vmid:
            self.lock_dropped()

    def resched(self) -> None:
        if self.unmapped and self.kernel.vmid == self.vm_vmid:
            self.lock_dropped()

    def lock_dropped(self) -> None:
        """Judge unmapped leaves, which must be clean, except leaves whose flush (judged by `Tlb`) is still to come."""
        rest: list[Unmapped] = []
        for leaf in self.unmapped:
            if self.owed.holds_leaf(leaf.level, leaf.ipa):
                rest.append(leaf)
            else:
                self.must_be_cleaned(leaf)
        self.unmapped = rest

    def must_be_cleaned(self, leaf: Unmapped) -> None:
        """Judge an unmapped leaf: it must be cleaned since its flush, except parts that are mapped again."""
        level, ipa = leaf.level, leaf.ipa
        by = leaf.start - ipa
        mapped = [
            (base + by, base + (1 << self.shifts[at]) + by) for at, base, _ in self.shadow.leaves_in(ipa, leaf.end - by)
        ]
        missing = without(leaf.start, leaf.end, leaf.done + mapped)
        if not missing:
            return
        dirty = [part for start, end in missing for part in self.dirty_parts(start, end)]
        could = "write to them" if leaf.entry & WRITE_BIT else "read them into its cache"
        where, later = leaf.place, ""
        if dirty:
            what, state = "unmapped, not cleaned", "still dirty"
        elif self.cleaned_early(leaf):
            what, state = "unmapped, cleaned before the flush", f"cleaned while a CPU could still {could}"
            where = leaf.early_at
            later = f"; flushed later, at {leaf.flushed_at}" if leaf.flushed_at else ""
        else:
            what, state = "unmapped, not cleaned", f"not cleaned, though a CPU could {could} until the flush"
        self.not_clean(what, level, ipa, leaf.entry, dirty or missing, by, state, later, where)

    def cleaned_early(self, leaf: Unmapped) -> bool:
        """Return whether some of an unmapped leaf was cleaned before its flush, or before its break."""
        if leaf.early:
            return True
        for start, end, place in self.cleans[: leaf.before]:
            if start < leaf.end and leaf.start < end:
                leaf.early_at = place
                return True
        return False

    def dirty_parts(self, start: int, end: int) -> list[Range]:
        """Return the parts of physical memory [start, end) that the data cache holds dirty."""
        dirty = self.guest.memory.dirty
        shift = self.granule.page_shift
        first, last = (start >> shift) - self.guest.memory.first, (end >> shift) - self.guest.memory.first
        if first < 0 or dirty.find(1, first, last) < 0:
            return []
        return [
            ((at + self.guest.memory.first) << shift, (stop + self.guest.memory.first) << shift)
            for at, stop, held in dirty.runs(first, last)
            if held
        ]

    def must_be_clean(self, level: int, ipa: int, entry: int) -> None:
        """Judge the frames of a flushed leaf: the data cache must not hold any of them dirty, or stale."""
        start, end = self.frames_of(level, entry)
        dirty = self.dirty_parts(start, end)
        if dirty:
            self.not_clean("flushed, not cleaned", level, ipa, entry, dirty, start - ipa, "still dirty")
            return
        stale = self.bypassed_parts(start, end)
        if stale:
            state = "not invalidated since a write with the caches off"
            self.not_clean("flushed, not invalidated", level, ipa, entry, stale, start - ipa, state)

    def bypassed_parts(self, start: int, end: int) -> list[Range]:
        """Return the pages of physical memory [start, end) of which the data cache may hold stale lines."""
        shift = self.granule.page_shift
        return [
            (pfn << shift, (pfn + 1) << shift)
            for pfn in sorted(self.guest.memory.bypassed)
            if start <= pfn << shift < end
        ]

    def not_clean(
        self,
        what: str,
        level: int,
        ipa: int,
        entry: int,
        parts: list[Range],
        by: int,
        state: str,
        later: str = "",
        where: str = "",
    ) -> None:
        """Report frames of a leaf; *by*: the offset of their physical addresses from the guest's.

        :param later: the end of the reason
        :param where: as in `report`
        """
        ranges = [(start - by, end - by) for start, end in parts]
        pages = GuestPages(ranges, self.granule.page_size)
        self.report(
            what,
            level,
            f"{self.text(entry, level)} at {ipa:#x}: {len(pages)} frame(s) {state}, the first at {ranges[0][0]:#x}"
            f"{later}",
            pages,
            taints=False,
            where=where,
        )

    def after_operation(self, op: Operation | None, outcome: Outcome) -> None:
        if self.guest.fwb:
            return
        if self.unmapped and outcome.status not in ("oops", "stuck"):
            self.never_dropped()
        if isinstance(op, TableFlush) and outcome.status == "ok":
            layout = self.side.by_name[op.slot]
            if layout.slot.vm == self.guest.number:
                self.must_be_flushed(*walked_range(layout.ipa + op.offset, op.size, self.granule.page_size))
        elif self.owes_flush:
            for layout in self.guest.layouts:
                if layout.live:
                    self.must_be_flushed(layout.ipa, layout.ipa + layout.size)

    def never_dropped(self) -> None:
        """Judge leaves left on return; `Tlb` reports missing flushes, so an unflushed leaf counts only if dirty."""
        for leaf in self.unmapped:
            if not self.owed.holds_leaf(leaf.level, leaf.ipa) or self.dirty_parts(leaf.start, leaf.end):
                self.must_be_cleaned(leaf)
        self.unmapped.clear()

    def must_be_flushed(self, start: int, end: int) -> None:
        """Judge a range of guest addresses: each cacheable leaf must be clean."""
        for level, ipa, entry in self.shadow.leaves_in(start, end):
            if is_cacheable(entry):
                self.must_be_clean(level, ipa, entry)

    def flush_is_owed(self, op: Operation | None) -> bool:
        """Return whether the operation must trap and leave all of the guest's memory clean.

        Cache controls trap from a reset or a set/way operation until the caches
        are on. A set/way operation counts only while they do not trap yet.
        """
        # As a tuple, this is compiled to comparisons; a union is created anew on each call.
        if not isinstance(op, (GuestSetWay, GuestCache, GuestReset)) or not self.guest.has_cpu(op.cpu):
            return False
        untrapped = op.cpu in self.untrapped
        if isinstance(op, GuestCache):
            if op.on:
                self.untrapped.add(op.cpu)
            return not untrapped and self.guest.vcpus[op.cpu % self.side.cpus].cache_enabled != op.on
        self.untrapped.discard(op.cpu)
        return isinstance(op, GuestSetWay) and untrapped

    def dcache(self, pa: int, size: int) -> None:
        if self.unmapped:
            self.cleaned(pa, pa + size)
        if self.guest.notified.unmapping and not self.guest.fwb:
            self.cleans.append((pa, pa + size, self.kernel.place))
        start = (pa >> self.granule.page_shift) - self.guest.memory.first
        end = start + (size >> self.granule.page_shift)
        if self.side.active is not self.guest:
            # The event names no VM: the checker of the VM that kernel code runs for judges it.
            return
        index = self.guest.memory.owner.find(DEVICE, max(start, 0), max(end, 0))
        if index >= 0:
            self.report(
                "device frame cleaned",
                -1,
                f"frame {index + self.guest.memory.first:#x} has no linear alias",
                taints=False,
            )
