# SPDX-License-Identifier: GPL-2.0-only
"""The predicates that hold on one side, operation by operation.

A predicate is noted when it holds, with the guest addresses concerned. Conditions of known bugs use the notes
(`fuzz.judging.conditions`).
"""

from __future__ import annotations

from functools import cache
from typing import Final

from reference.kvm import KVM_MEM_LOG_DIRTY_PAGES
from reference.machine.descriptor import AF_BIT, VALID_BIT, address_bits
from reference.machine.walk import ACCESS_FLAG, NONE, PERMISSION, SPECULATE, TRANSLATION, Walk
from reference.per_actor import PerActorStates
from reference.pgtable import KVM_PGTABLE_PROT_X

from ..checkers.guest_pages import Range, ipa_of, vm_address, vm_of, without
from ..checkers.tags import ClearedTags
from ..execution.executor import Executor
from ..language.operations import (
    GuestAccess,
    GuestOutside,
    GuestPrefault,
    HostAge,
    HostTestAge,
    Operation,
    TableRelax,
    TableUnmap,
)
from ..language.program import HUGE_SHIFT, MEMFD
from ..sides.guest import SlotLayout
from ..sides.outcome import Outcome
from .flush_notes import FlushNotes
from .known import EARLIER, known_bugs
from .last_fault import HeldPredicates
from .predicates import (
    BEHEADED,
    BLOCK,
    COPIED,
    DATA_OUTSIDE,
    FAULTS,
    GONE,
    GUEST_MEMFD,
    INSIDE,
    LARGER,
    LEAVING,
    LOGGED,
    MAPPED,
    MARKED,
    OF_OPERATION,
    OUTSIDE,
    PAGE,
    PART,
    PARTLY,
    READ_ONLY,
    RELAXED,
    REPLACED,
    RINGS_ONLY,
    RIVAL,
    SMALLER,
    SPLIT_OFF,
    TAGGED,
)
from .stepping import stepped_through
from .wrong_leaves import WrongLeaves

# Faults whose handler looks up the leaf that caused them.
LEAF_FAULTS: Final = (ACCESS_FLAG, PERMISSION)


@cache
def asked_later() -> frozenset[str]:
    """Return the predicates that a condition asks for after their operation."""
    return frozenset([name for bug in known_bugs() for time, name in bug.condition if time == EARLIER])


class PredicateNotes(FlushNotes):
    """Notes the predicates of one side; judges nothing.

    :param executor: the side's executor, before anything has run on it
    """

    def __init__(self, executor: Executor) -> None:
        super().__init__(executor)
        checkers = executor.checkers
        self.shifts = self.granule.shifts
        # Predicates of earlier operations.
        self.earlier: dict[str, list[Range]] = {}
        self.asked_later = asked_later()
        self.block = self.granule.level_size(2)
        # The size of the largest entries: the upper bound of `unit` in `walk`.
        self.widest = self.granule.level_size(0)
        self.per_actor = PerActorStates(self.own)
        self.cleared = checkers.peers.of(ClearedTags)
        # By frame whose tags were cleared in this operation: the VM that did so last.
        self.clearers: dict[int, int] = {}
        self.wrong = WrongLeaves(self.granule, self.shadows, self.side.guests)
        # By VM, the number of invalidations in progress if there is more than one.
        self.invalidations: dict[int, int] = {}
        self.kernel.observe(self)
        if self.side.ttl:
            for shadow in self.shadows:
                shadow.observe(self)
        for observers in checkers.on_translated:
            observers.append(self)
        checkers.on_before_operation.append(self)
        checkers.on_actor.append(self)

    # Observations.

    def turn(self, actor: int) -> None:
        if self.own.fault != NONE:
            self.own.left = self.at_fault()
        self.own = own = self.per_actor.of(actor)
        if own.fault != NONE and "mmu" in self.kernel.locks and self.at_fault() != own.left:
            # Other actors also hold the lock for reading, and their faults change entries.
            if own.left[1] & VALID_BIT:
                self.note(REPLACED, *self.page_of_fault())
            if own.fault in LEAF_FAULTS:
                self.handler_finds()
        if self.side.tagged and own.fault != NONE and not own.cleared and "mmu" in self.kernel.locks:
            self.look_for_tags()

    def before_operation(self, op: Operation | None) -> None:
        if self.now:
            for name, ranges in self.now.items():
                if name in self.wrong.leaves:
                    for start, _ in ranges:
                        self.wrong.keep(name, start)
                elif name in self.asked_later:
                    self.earlier.setdefault(name, []).extend(ranges)
            self.now = {}
        self.wrong.drop_replaced()
        self.hinted.next_operation()
        self.clearers.clear()
        self.own.begin(op)
        self.held_in.clear()
        self.look_at(op)

    def actor_begins(self, op: Operation) -> None:
        # Keep what held in the actor's previous operation: it is in `held_in`.
        self.own.held = HeldPredicates()
        self.own.begin(op)
        self.held_in.append(self.own.held)
        self.look_at(op)

    def look_at(self, op: Operation | None) -> None:
        """Note predicates of the pages that an operation is about to age, access or unmap."""
        if isinstance(op, HostAge):
            layout = self.side.by_name[op.slot]
            self.aged(layout.hva + op.offset, layout.hva + op.offset + op.size)
        elif isinstance(op, GuestAccess) and self.of_operation(LARGER):
            self.accessed(self.side.by_name[op.slot], op.offset)
        elif isinstance(op, TableUnmap) and op.size % self.granule.page_size:
            self.unmapped_in_part(self.side.by_name[op.slot], op.offset, op.size)

    def unmapped_in_part(self, layout: SlotLayout, offset: int, size: int) -> None:
        """Note that a range that is unmapped includes its last page only in part."""
        page_size, vm = self.granule.page_size, layout.slot.vm
        first = (layout.ipa + offset) & -page_size
        last = first + (size & -page_size)
        # A leaf is unmapped whole, so a flush of any of its pages is enough.
        level, _ = self.shadows[vm].lookup(last)
        if last == first or level < 0 or last & (self.granule.level_size(level) - 1) == 0:
            self.note(PART, last, last + page_size, vm)

    def actor_ends(self, op: Operation, outcome: Outcome) -> None:
        self.own.held.of_operation = frozenset([name for name in OF_OPERATION if self.of_operation(name)])

    def of_operation(self, predicate: str) -> bool:
        """Return whether a predicate of `OF_OPERATION` holds."""
        op = self.own.op
        if predicate == RELAXED:
            return isinstance(op, TableRelax) and not self.side.active.relaxed_to & KVM_PGTABLE_PROT_X
        if isinstance(op, GuestOutside):
            return predicate == OUTSIDE or (predicate == DATA_OUTSIDE and op.kind in ("read", "write"))
        if not isinstance(op, (GuestAccess, GuestPrefault)):
            return False
        layout = self.side.by_name[op.slot]
        offset = op.offset
        if isinstance(op, GuestPrefault):
            # The step in progress does what a read of its page does.
            offset = max(ipa_of(self.own.fault_at) - layout.ipa, 0) if self.own.fault != NONE else offset
        if predicate == READ_ONLY:
            return layout.readonly
        if predicate == LOGGED:
            return self.own.logged or self.is_logged(layout)
        if predicate == RINGS_ONLY:
            kvm = self.side.guests[layout.slot.vm].kvm
            rings = kvm.dirty_ring_size and not kvm.dirty_ring_with_bitmap
            return bool(rings and layout.flags & KVM_MEM_LOG_DIRTY_PAGES)
        if predicate == LARGER:
            start_level = self.side.guests[layout.slot.vm].regime.start_level
            return HUGE_SHIFT.get(layout.slot.backing, 0) > self.shifts[start_level]
        if predicate == GUEST_MEMFD:
            return layout.slot.backing == MEMFD
        if predicate == SPLIT_OFF:
            return self.is_split_off(layout.hva + offset)
        if predicate == BEHEADED:
            area = self.side.host.vma_at(layout.hva + offset)
            first = (layout.hva + offset) & -self.block
            return area is not None and area.pfnmap and 0 <= self.own.area <= first < area.start
        return predicate == (op.kind if isinstance(op, GuestAccess) else "read")

    def is_logged(self, layout: SlotLayout) -> bool:
        """Return whether a slot has a dirty log now."""
        slot = self.side.kvm_host.id_to_memslot(self.side.guests[layout.slot.vm].kvm, layout.id)
        return slot is not None and slot.dirty_bitmap is not None

    def is_split_off(self, address: int) -> bool:
        """Return whether a device's area ends within the block whose first page contains a host address."""
        hva = address & -self.granule.page_size
        area = self.side.host.vma_at(hva)
        return area is not None and area.pfnmap and not hva & (self.block - 1) and area.end < hva + self.block

    def accessed(self, layout: SlotLayout, offset: int) -> None:
        """Note predicates of a guest access to a host page that is larger than an entry of the root."""
        start, size = self.host_page(layout, layout.ipa + offset)
        if self.shadows[layout.slot.vm].leaves_in(start, start + size):
            self.note(MAPPED, start, start + size, layout.slot.vm)

    def host_page(self, layout: SlotLayout, ipa: int) -> tuple[int, int]:
        """Return guest address and size of the host page, huge or not, that contains a guest address of a slot."""
        hva, size = self.side.host.unit_at(layout.hva + ipa - layout.ipa)
        return hva - layout.hva + layout.ipa, size

    def aged(self, start: int, end: int) -> None:
        """Note predicates of the host addresses [start, end), which the host is about to age."""
        for hva, size in self.side.pages_to_age(start, end):
            for layout in self.side.layouts:
                # In a par block a slot may be created again before its pages are aged.
                gone = not layout.live and self.kernel.turns is None
                if gone or hva >= layout.hva + layout.size or hva + size <= layout.hva:
                    continue
                vm = layout.slot.vm
                first = max(hva, layout.hva) - layout.hva + layout.ipa
                last = min(hva + size, layout.hva + layout.size) - layout.hva + layout.ipa
                if last - first < size:
                    self.note(PARTLY, first, last, vm)
                for level, _, _ in self.shadows[vm].leaves_in(first, last):
                    if self.granule.level_size(level) < size:
                        self.note(SMALLER, first, last, vm)
                        break

    def translated(self, cpu: int, access: int, ipa: int, walk: Walk) -> None:
        if walk.fault == NONE or access == SPECULATE or walk.fault not in FAULTS:
            return
        guest = self.side.guest_of(cpu)
        page = ipa & -self.granule.page_size
        self.fault_begins(guest.number, page, walk.fault, walk.level, walk.entry)
        if walk.fault != PERMISSION:
            return
        size = self.granule.level_size(walk.level)
        self.note(BLOCK if walk.level < 3 else PAGE, ipa & -size, (ipa & -size) + size, guest.number)
        layout = guest.layout_of(ipa)
        if layout is not None:
            start, host_size = self.host_page(layout, ipa)
            if size < host_size:
                self.note(SMALLER, start, start + host_size, guest.number)

    def pre_fault(self, vmid: int, ipa: int, size: int) -> None:
        # A step does what a read of the page by the guest does.
        vm = vmid - 1
        level, entry = self.shadows[vm].lookup(ipa)
        self.fault_begins(vm, ipa, ACCESS_FLAG if level >= 0 and not entry & AF_BIT else TRANSLATION, level, entry)
        layout = self.side.guests[vm].layout_of(ipa)
        if layout is not None and self.of_operation(LARGER):
            self.accessed(layout, ipa - layout.ipa)

    def fault_begins(self, vm: int, page: int, fault: int, level: int, entry: int) -> None:
        """Note a fault, or what stands for one, at the page of a guest address of a VM."""
        own = self.own
        own.fault, own.fault_entry, own.fault_level = fault, entry, level
        own.fault_at = vm_address(vm, page)
        own.frames = [self.frame_of(entry)]
        own.cleared = own.lost = False
        own.area = -1
        self.note(FAULTS[fault], page, page + self.granule.page_size, vm)

    def seq(self, sequence: int, in_progress: int) -> None:
        if in_progress > 1:
            self.invalidations[self.kernel.vmid] = in_progress
        elif self.invalidations:
            self.invalidations.pop(self.kernel.vmid, None)

    def walk(self, vmid: int, start: int, end: int) -> None:
        if not vmid:
            return
        vm = vmid - 1
        guest = self.side.guests[vm]
        if (self.invalidations or guest.leaving) and self.kernel.walker == "stage2_map_walker":
            # Inside an invalidation of the caller's own, only change_pte() maps.
            own = len(guest.notified.under_way)
            if 0 < own < self.invalidations.get(vmid, 0):
                self.note(COPIED, start, end, vm)
            if own and any(each.ipa <= start < each.ipa + each.size for each in guest.leaving):
                self.note(LEAVING, start, end, vm)
        if isinstance(self.own.op, (HostAge, HostTestAge)):
            self.own.held.walked(vm_address(vm, start), vm_address(vm, end))
        # The size of the smallest entries, from blocks on, inside of which the walk may begin. A walk that does not
        # cross their edges does not cross those of larger entries either.
        unit = self.block
        while not start & (unit - 1) and unit < self.widest:
            unit <<= self.granule.page_shift - 3
        if end <= (start & -unit) + unit:
            return
        shadow = self.shadows[vm]
        size = 1 << self.shifts[shadow.level_at(start)]
        if start & (size - 1) and (start & -size) + size < end:
            for first, last in without(start, end, stepped_through(shadow, start, end)):
                self.note(INSIDE, first, last, vm)

    def lock(self, name: str, vmid: int) -> None:
        if name == "srcu" and isinstance(self.own.op, (GuestAccess, GuestPrefault)) and not self.own.logged:
            # From here on the access uses the slot as it is now, whatever user space changes meanwhile.
            self.own.logged = self.is_logged(self.side.by_name[self.own.op.slot])
        if self.own.fault in LEAF_FAULTS and name == "mmu":
            self.own.frames.clear()
            self.handler_finds()
        if self.side.tagged and self.own.fault != NONE and name == "mmu":
            self.look_for_tags()

    def exchange_lost(self, ptep: int, found: int, new: int) -> None:
        self.own.lost = self.own.fault == PERMISSION

    def vma(self, hva: int, start: int, end: int) -> None:
        if self.own.area < 0:
            self.own.area = start

    def tags_cleared(self, pfn: int, flagged: bool) -> None:
        self.own.cleared = True
        vm = self.side.active.number
        if self.clearers.setdefault(pfn, vm) != vm:
            self.note(RIVAL, 0, 0, 0)
        self.clearers[pfn] = vm

    def look_for_tags(self) -> None:
        """Note whether tags of the hugetlb page that contains the fault have been cleared."""
        page, _, vm = self.page_of_fault()
        layout = self.side.guests[vm].layout_of(page)
        if layout is None or layout.slot.backing not in HUGE_SHIFT:
            return
        start, size = self.host_page(layout, page)
        first = self.side.memory.index_of(self.side.host.frame_of(start - layout.ipa + layout.hva))
        if first >= 0 and self.cleared.follow().find(1, first, first + (size >> self.granule.page_shift)) >= 0:
            self.note(TAGGED, start, start + size, vm)

    def at_fault(self) -> tuple[int, int]:
        """Return level and entry that the tables now have at the fault's address."""
        return self.shadows[vm_of(self.own.fault_at)].lookup(ipa_of(self.own.fault_at))

    def frame_of(self, entry: int) -> int:
        """Return the first frame that a leaf maps."""
        return address_bits(entry, self.granule) >> self.granule.page_shift

    def handler_finds(self) -> None:
        """Note what the handler, which has the mmu lock, may find instead of the leaf that caused the fault."""
        own = self.own
        level, entry = self.at_fault()
        if own.fault == ACCESS_FLAG:
            own.frames.append(self.frame_of(entry))
        elif level != own.fault_level or self.frame_of(entry) != self.frame_of(own.fault_entry):
            own.lost = True
            self.note(GONE, *self.page_of_fault())

    def page_of_fault(self) -> tuple[int, int, int]:
        """Return start and end of the page of the fault, and its VM."""
        page = ipa_of(self.own.fault_at)
        return page, page + self.granule.page_size, vm_of(self.own.fault_at)

    def set_accessed(self, pfn: int) -> None:
        if self.own.fault == ACCESS_FLAG and pfn in self.own.frames:
            self.note(MARKED, 0, 0, 0)
