# SPDX-License-Identifier: GPL-2.0-only
"""The circumstances of a violation, by which a known bug explains it or does not.

One side is observed; a predicate is noted when it holds, with the guest
addresses that it is about. A condition of known.toml asks for one *now*, in the
operation of the violation, or *earlier*, in that one or any before it, over
pages of the violation.
"""

from functools import cache
from typing import Final

from reference.machine.descriptor import TABLE, VALID_BIT, address_bits, kind
from reference.machine.walk import ACCESS_FLAG, NONE, PERMISSION, SPECULATE, TRANSLATION, Walk

from ..checkers import Checker, Shadow, Violation
from ..checkers.base import VM_SHIFT
from ..checkers.places import Range, merged, overlap
from ..execution.executor import Executor
from ..language.operations import GuestAccess, HostAge, HostTestAge, Operation
from ..language.program import HUGE_SHIFT
from .known import EARLIER, NOW, KnownBug, fitting, known_bugs

HINTS: Final = "level hints on"
HINTED: Final = "table flushed with its own level as hint"
LOGGED: Final = "slot logged"
READ_ONLY: Final = "slot read-only"
LARGER: Final = "host page larger than an entry of the start level"
PARTLY: Final = "host page only partly in the slot"
SMALLER: Final = "host page mapped by smaller leaves"
BLOCK: Final = "fault on a block"
INSIDE: Final = "range begins inside an entry that is no table"
UNWALKED: Final = "pages not walked"
MARKED: Final = "old leaf's frame marked"
FAULTS: Final = {
    TRANSLATION: "translation fault",
    ACCESS_FLAG: "access flag fault",
    PERMISSION: "permission fault",
}

# Each predicate, and when it holds.
PREDICATES: Final = {
    HINTS: "the CPU takes level hints (FEAT_TTL)",
    HINTED: "an entry that named a table was cleared, and flushed by IPA with the level of that table as hint",
    LOGGED: "the slot of a guest's access has a dirty log",
    READ_ONLY: "the slot of a guest's access is read-only",
    LARGER: "the hugetlb page of a guest's access is larger than what an entry of the root maps",
    PARTLY: "a host page that is aged sticks out of a slot",
    SMALLER: "a leaf of a permission fault, or one in a page that is aged, is smaller than the host's page",
    BLOCK: "a permission fault is on a block",
    INSIDE: "kvm_pgtable_walk() begins inside an entry that is no table, and ends beyond that entry",
    UNWALKED: "no walk of the operation reaches the pages (ageing only)",
    MARKED: "the frame marked accessed is that of the leaf that gave an access flag fault",
    **{name: f"a guest's access takes a {name}" for name in FAULTS.values()},
    **{name: f"the guest's access is a {name}" for name in ("read", "write", "fetch", "walk", "clean")},
}


# What is asked of the operation itself, when a violation is to be explained.
OF_OPERATION: Final = (LOGGED, READ_ONLY, LARGER, "read", "write", "fetch", "walk", "clean")


@cache
def asked_later() -> tuple[str, ...]:
    """The predicates that a condition asks for after their operation."""
    return tuple(sorted({name for bug in known_bugs() for time, name in bug.condition if time == EARLIER}))


class Circumstances(Checker):
    """Notes the predicates of one side; judges nothing.

    :param executor: of the side, before anything has run on it
    """

    name = "circumstances"

    def __init__(self, executor: Executor) -> None:
        super().__init__(executor.side)
        checkers = executor.checkers
        self.shadows: list[Shadow] = checkers.shadows
        self.shifts = self.granule.shifts
        # What holds in this operation, and over which addresses (the VM above `VM_SHIFT`); and in those before.
        self.now: dict[str, list[Range]] = {}
        self.earlier: dict[str, list[Range]] = {}
        self.block = self.granule.level_size(2)
        self.op: Operation | None = None
        self.ageing = False
        self.walks: list[Range] = []
        # The last fault: what it is, and the entry that gave it.
        self.fault = NONE
        self.fault_entry = 0
        # Tables that were cut off: (level, VM and address).
        self.cut: set[tuple[int, int]] = set()
        self.kernel.observe(self)
        if self.side.ttl:
            for shadow in self.shadows:
                shadow.listen(self)
        for told in checkers.on_translated:
            told.append(self)
        checkers.on_begin.append(self)

    def note(self, predicate: str, start: int, end: int, vm: int) -> None:
        """A predicate holds, for guest addresses [start, end) of a VM."""
        self.now.setdefault(predicate, []).append((start + (vm << VM_SHIFT), end + (vm << VM_SHIFT)))

    # What is observed.

    def begin(self, op: Operation | None) -> None:
        if self.now:
            for name in asked_later():
                if name in self.now:
                    self.earlier.setdefault(name, []).extend(self.now[name])
            self.now = {}
        self.walks.clear()
        self.cut.clear()
        self.fault = NONE
        self.op = op
        self.ageing = isinstance(op, (HostAge, HostTestAge))
        if isinstance(op, HostAge):
            layout = self.side.by_name[op.slot]
            self.aged(layout.hva + op.offset, layout.hva + op.offset + op.size)

    def of_operation(self, predicate: str) -> bool:
        """Whether one of `OF_OPERATION` holds."""
        op = self.op
        if not isinstance(op, GuestAccess):
            return False
        layout = self.side.by_name[op.slot]
        if predicate == READ_ONLY:
            return layout.readonly
        if predicate == LOGGED:
            slot = self.side.kvm_host.id_to_memslot(self.side.guests[layout.slot.vm].kvm, layout.id)
            return slot is not None and slot.dirty_bitmap is not None
        if predicate == LARGER:
            start_level = self.side.guests[layout.slot.vm].regime.start_level
            return HUGE_SHIFT.get(layout.slot.backing, 0) > self.shifts[start_level]
        return predicate == op.kind

    def aged(self, start: int, end: int) -> None:
        """The host is about to age [start, end), host addresses."""
        for hva, size in self.side.host.pages_to_age(start, end):
            for layout in self.side.layouts:
                if not layout.live or hva >= layout.hva + layout.size or hva + size <= layout.hva:
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
        self.fault, self.fault_entry = walk.fault, walk.entry
        self.note(FAULTS[walk.fault], page, page + self.granule.page_size, guest.number)
        if walk.fault != PERMISSION:
            return
        size = self.granule.level_size(walk.level)
        if walk.level < 3:
            self.note(BLOCK, ipa & -size, (ipa & -size) + size, guest.number)
        layout = guest.layout_of(ipa)
        if layout is not None:
            hva, host_size = self.side.host.unit_at(layout.hva + ipa - layout.ipa)
            if size < host_size:
                start = hva - layout.hva + layout.ipa
                self.note(SMALLER, start, start + host_size, guest.number)

    def walk(self, vmid: int, start: int, end: int) -> None:
        if not vmid:
            return
        vm = vmid - 1
        if self.ageing:
            self.walks.append((start + (vm << VM_SHIFT), end + (vm << VM_SHIFT)))
        if not start & (self.block - 1) or end <= (start & -self.block) + self.block:
            return
        size = 1 << self.shifts[self.shadows[vm].level_at(start)]
        if start & (size - 1) and (start & -size) + size < end:
            self.note(INSIDE, start, end, vm)

    def changed(self, ipa: int, level: int, ptep: int, old: int, new: int) -> None:
        if old & VALID_BIT and not new & VALID_BIT and kind(old, level, self.granule) == TABLE:
            for shadow in self.shadows:
                if ptep // self.kernel.entries in shadow.by_page:
                    self.cut.add((level, ipa + (shadow.guest.number << VM_SHIFT)))

    def tlbi_ipa(self, vmid: int, ipa: int, level: int) -> None:
        if not self.cut or not level & 3 or not vmid:
            return
        size = 1 << self.shifts[level & 3]
        base = ipa & -size
        if (level & 3, base + ((vmid - 1) << VM_SHIFT)) in self.cut:
            self.note(HINTED, base, base + size, vmid - 1)

    def set_accessed(self, pfn: int) -> None:
        if self.fault == ACCESS_FLAG and pfn == address_bits(self.fault_entry, self.granule) >> self.granule.page_shift:
            self.note(MARKED, 0, 0, 0)

    # What is asked.

    def explain(self, violations: list[Violation]) -> None:
        """Fill in `Violation.known` of violations that this operation showed."""
        for violation in violations:
            bugs = fitting(violation.signature)
            if bugs:
                violation.known = tuple([number for number, bug in bugs if self.held(bug, violation)])

    def held(self, bug: KnownBug, violation: Violation) -> bool:
        """Whether the whole condition of a known bug held for a violation."""
        return all(self.holds(time, predicate, violation) for time, predicate in bug.condition)

    def holds(self, time: str, predicate: str, violation: Violation) -> bool:
        """Whether a predicate held.

        :raises KeyError: there is none of this name
        """
        if predicate not in PREDICATES:
            raise KeyError(predicate)
        if predicate == HINTS:
            return self.side.ttl
        if predicate == UNWALKED:
            return not overlap(violation.reach(self.granule), merged(self.walks))
        if predicate in OF_OPERATION:
            return self.of_operation(predicate)
        if time == NOW:
            return predicate in self.now
        ranges = merged(self.earlier.get(predicate, []) + self.now.get(predicate, []))
        return overlap(violation.reach(self.granule), ranges)
