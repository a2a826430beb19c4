# SPDX-License-Identifier: GPL-2.0-only
"""dcache: what the host wrote reaches memory before a guest without caches can look at it.

Without FWB only. A frame that holds host data not cleaned since, and that no
leaf exposed at that guest address when the operation began, must not be
mapped cacheable. Unmapping and flushing leave the cacheable leaves they hit
clean; splitting, coalescing and replacing owe nothing. Device frames have no
linear alias and are never cleaned.
"""

from typing import Final

from reference.machine.descriptor import LEAF, VALID_BIT, address_bits, is_cacheable, kind
from reference.machine.memory import DEVICE, FIRST_PFN

from ..execution.guest import Guest, walked_range
from ..language.operations import GuestCache, GuestReset, GuestSetWay, Operation, TableFlush
from .base import GuestChecker, Outcome
from .places import Places, Range
from .shadow import Shadow

MEMATTR: Final = 0xF << 2


class Dcache(GuestChecker):
    """Judges each new leaf, each unmapped leaf, and each full flush."""

    name = "dcache"

    def __init__(self, guest: Guest, shadow: Shadow) -> None:
        super().__init__(guest)
        self.shadow = shadow
        self.shifts = self.granule.shifts
        # Leaves unmapped under the lock that is held: (level, address, entry).
        self.unmapped: list[tuple[int, int, int]] = []
        self.owes_flush = False
        # vCPUs whose cache controls do not trap.
        self.untrapped: set[int] = set()

    def begin(self, op: Operation | None) -> None:
        self.unmapped.clear()
        self.owes_flush = self.flush_is_owed(op)

    def changed(self, ipa: int, level: int, ptep: int, old: int, new: int) -> None:
        if self.guest.fwb:
            return
        if new & VALID_BIT:
            if kind(new, level, self.granule) == LEAF and is_cacheable(new):
                self.exposed(ipa, level, old, new)
        elif (
            old & VALID_BIT
            and self.guest.notified.unmapping
            and kind(old, level, self.granule) == LEAF
            and is_cacheable(old)
        ):
            self.unmapped.append((level, ipa, old))

    def exposed(self, ipa: int, level: int, old: int, new: int) -> None:
        """A cacheable leaf becomes visible: its frames must be clean, or known at that address."""
        host_dirty = self.guest.memory.host_dirty
        shift = self.granule.page_shift
        start = (address_bits(new, self.granule) >> shift) - FIRST_PFN
        end = start + (1 << (self.shifts[level] - shift))
        if start < 0 or host_dirty.find(1, start, end) < 0:
            return
        if not self.guest.maps_backing(ipa, start + FIRST_PFN):
            # A leaf that is wrong is the translation checker's business.
            return
        before = self.shadow.exposed_before(ipa, ipa + (1 << self.shifts[level]))
        cacheable = new & MEMATTR
        exposed: list[Range] = []
        for first, last, dirty in host_dirty.runs(start, end):
            if dirty:
                page = ipa + ((first - start) << shift)
                stop = ipa + ((last - start) << shift)
                exposed += before.unmapped(page, stop, (first + FIRST_PFN) << shift, MEMATTR, cacheable)
        if exposed:
            places = Places(exposed, self.granule.page_size)
            self.report(
                f"{self.before(ipa, level)}->{'page' if level == 3 else 'block'}{self.kernel.cause}, not cleaned",
                level,
                f"{self.text(new, level)} at {ipa:#x} exposes {len(places)} frame(s) with host data "
                f"that was never cleaned to memory, the first at {exposed[0][0]:#x}",
                places,
                taints=False,
            )

    def before(self, ipa: int, level: int) -> str:
        """What stood where the new leaf stands, when the operation began."""
        for table in self.shadow.detached:
            if table.base == ipa and table.level == level + 1:
                return "table"
        for other, base, _ in self.shadow.removed:
            if base == ipa and other == level:
                return "leaf"
            if other < level and base <= ipa < base + (1 << self.shifts[other]):
                return "block"
        return "empty"

    def unlock(self, name: str, vmid: int) -> None:
        if name == "mmu" and self.unmapped:
            for level, ipa, entry in self.unmapped:
                self.must_be_clean(level, ipa, entry, "unmapped, not cleaned")
            self.unmapped.clear()

    def must_be_clean(self, level: int, ipa: int, entry: int, what: str) -> None:
        """The frames of a leaf hold nothing that is not in memory."""
        dirty = self.guest.memory.dirty
        shift = self.granule.page_shift
        start = (address_bits(entry, self.granule) >> shift) - FIRST_PFN
        end = start + (1 << (self.shifts[level] - shift))
        if start < 0 or dirty.find(1, start, end) < 0:
            return
        ranges = [
            (ipa + ((first - start) << shift), ipa + ((last - start) << shift))
            for first, last, held in dirty.runs(start, end)
            if held
        ]
        places = Places(ranges, self.granule.page_size)
        self.report(
            what,
            level,
            f"{self.text(entry, level)} at {ipa:#x}: {len(places)} frame(s) still dirty, "
            f"the first at {ranges[0][0]:#x}",
            places,
            taints=False,
        )

    def quiet(self, op: Operation | None, outcome: Outcome) -> None:
        if self.guest.fwb:
            return
        if isinstance(op, TableFlush) and outcome.status == "ok":
            layout = self.side.by_name[op.slot]
            if layout.slot.vm == self.guest.number:
                self.must_be_flushed(*walked_range(layout.ipa + op.offset, op.size, self.granule.page_size))
        elif self.owes_flush:
            for layout in self.guest.layouts:
                if layout.live:
                    self.must_be_flushed(layout.ipa, layout.ipa + layout.size)

    def must_be_flushed(self, start: int, end: int) -> None:
        """Each cacheable leaf of a range of guest addresses is clean."""
        for level, ipa, entry in self.shadow.leaves_in(start, end):
            if is_cacheable(entry):
                self.must_be_clean(level, ipa, entry, "flushed, not cleaned")

    def flush_is_owed(self, op: Operation | None) -> bool:
        """Whether the operation must trap and leave all of the guest's memory clean.

        Cache controls trap from a reset, or a set/way operation, until the caches
        are on; a set/way operation counts while they do not.
        """
        if not isinstance(op, GuestSetWay | GuestCache | GuestReset) or self.side.guest_of(op.cpu) is not self.guest:
            return False
        untrapped = op.cpu in self.untrapped
        if isinstance(op, GuestCache):
            if op.on:
                self.untrapped.add(op.cpu)
            return not untrapped and self.guest.vcpus[op.cpu % self.side.cpus].cache_enabled != op.on
        self.untrapped.discard(op.cpu)
        return isinstance(op, GuestSetWay) and untrapped

    def dcache(self, pa: int, size: int) -> None:
        start = (pa >> self.granule.page_shift) - FIRST_PFN
        end = start + (size >> self.granule.page_shift)
        if self.guest.number:
            # One VM's checker is enough: the event says nothing of a VM.
            return
        index = self.guest.memory.owner.find(DEVICE, max(start, 0), max(end, 0))
        if index >= 0:
            self.report("device frame cleaned", -1, f"frame {index + FIRST_PFN:#x} has no linear alias", taints=False)
