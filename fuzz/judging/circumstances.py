# SPDX-License-Identifier: GPL-2.0-only
"""The circumstances of a violation, by which a known bug explains it or does not.

One side is observed; a predicate is noted when it holds, with the guest
addresses that it is about. A condition of known.toml asks for one *now*, in the
operation of the violation, or *earlier*, in that one or any before it, over
pages of the violation.
"""

from __future__ import annotations

from functools import cache

from reference.belongings import Own, Owns
from reference.machine.descriptor import TABLE, VALID_BIT, address_bits, kind
from reference.machine.memory import seen
from reference.machine.walk import ACCESS_FLAG, NONE, PERMISSION, SPECULATE, Walk

from ..checkers import Checker, Shadow, Violation
from ..checkers.places import Range, ipa_of, merged, overlap, place, vm_of, without
from ..execution.executor import Executor
from ..language.operations import GuestAccess, HostAge, HostTestAge, Operation, TableUnmap
from ..language.program import HUGE_SHIFT
from ..sides.guest import SlotLayout
from ..sides.outcome import Outcome
from .known import EARLIER, NOW, KnownBug, fitting, known_bugs
from .matching import CACHE_CHECKERS
from .predicates import (
    BLOCK,
    COPIED,
    FAULTS,
    GONE,
    HINTED,
    HINTS,
    INSIDE,
    LARGER,
    LEAVING,
    LOGGED,
    MAPPED,
    MARKED,
    OF_ACTOR,
    OF_OPERATION,
    OF_PAGES,
    PAGE,
    PART,
    PARTLY,
    PREDICATES,
    READ_ONLY,
    SMALLER,
    UNWALKED,
)
from .standing import Standing, StandingViolations


class HeldPredicates:
    """Predicates that held in one operation of an actor of a par block.

    *of_operation*: those of `OF_OPERATION`; *noted*: those of `OF_ACTOR`, with their places; *walks*: as it ages pages
    """

    def __init__(self) -> None:
        self.of_operation: frozenset[str] = frozenset()
        self.noted: dict[str, list[Range]] = {}
        self.walks: list[Range] = []


class LastFault(Own):
    """The operation under way, and its last fault: what it is, the entry that gave it and its level, and where.

    *held*: what held in it
    """

    def __init__(self) -> None:
        self.op: Operation | None = None
        self.held = HeldPredicates()
        self.fault = NONE
        self.fault_entry = 0
        self.fault_level = -1
        self.fault_at = 0

    def copy(self) -> LastFault:
        mine = LastFault()
        mine.op, mine.fault, mine.fault_entry = self.op, self.fault, self.fault_entry
        mine.fault_level, mine.fault_at = self.fault_level, self.fault_at
        return mine


@cache
def asked_later() -> tuple[str, ...]:
    """Return the predicates that a condition asks for after their operation."""
    return tuple(sorted({name for bug in known_bugs() for time, name in bug.condition if time == EARLIER}))


class Circumstances(Checker):
    """Notes the predicates of one side; judges nothing.

    :param executor: of the side, before anything has run on it
    """

    def __init__(self, executor: Executor) -> None:
        super().__init__(executor.side)
        checkers = executor.checkers
        self.shadows: list[Shadow] = checkers.shadows
        self.shifts = self.granule.shifts
        # The predicates that hold in this operation, with their places; and those of the operations before.
        self.now: dict[str, list[Range]] = {}
        self.earlier: dict[str, list[Range]] = {}
        self.block = self.granule.level_size(2)
        # Of the actor that runs.
        self.own = LastFault()
        self.owns = Owns(self.own)
        # Of each operation of a par block.
        self.held_in: list[HeldPredicates] = []
        # Of predicates that hold as long as a wrong leaf stays, these leaves: where each is, its level and its address
        # bits.
        self.leaves: dict[str, dict[int, tuple[int, int]]] = {COPIED: {}, LEAVING: {}}
        # Of each VM that has more than one: invalidations in progress.
        self.invalidations: dict[int, int] = {}
        # Tables that were cut off in this operation: (level, VM and address) -> number of the table page.
        self.cut: dict[tuple[int, int], int] = {}
        # Those of them that were flushed with their own level as hint, in this operation or before, and not since:
        # several at one place, where one was cut off after the other.
        self.debts: dict[tuple[int, int], list[int]] = {}
        # Those that another flush has covered in this operation, before their place had the next one.
        self.covered: set[int] = set()
        self.settled: set[tuple[int, int]] = set()
        self.standing = StandingViolations(self.granule)
        self.kernel.observe(self)
        if self.side.ttl:
            for shadow in self.shadows:
                shadow.listen(self)
        for listeners in checkers.on_translated:
            listeners.append(self)
        checkers.on_before_operation.append(self)
        checkers.on_actor.append(self)

    def note(self, predicate: str, start: int, end: int, vm: int) -> None:
        """Note that a predicate holds, for guest addresses [start, end) of a VM."""
        where = (place(vm, start), place(vm, end))
        self.now.setdefault(predicate, []).append(where)
        if predicate in OF_ACTOR:
            self.own.held.noted.setdefault(predicate, []).append(where)

    # Observations.

    def turn(self, actor: int) -> None:
        self.own = self.owns.of(actor)

    def before_operation(self, op: Operation | None) -> None:
        if self.now:
            for name in asked_later():
                if name in self.now and name not in self.leaves:
                    self.earlier.setdefault(name, []).extend(self.now[name])
            for name in self.leaves:
                for start, _ in self.now.get(name, ()):
                    self.keep_leaf(name, start)
            self.now = {}
        for name, leaves in self.leaves.items():
            if leaves:
                self.leaves[name] = {at: leaf for at, leaf in leaves.items() if self.leaf_at(at) == leaf}
        self.cut.clear()
        for key in self.settled:
            self.debts.pop(key, None)
        self.settled.clear()
        self.covered.clear()
        self.standing.keep(self.stands)
        self.own.fault = NONE
        self.own.op = op
        self.own.held = HeldPredicates()
        self.held_in.clear()
        self.look_at(op)

    def actor_begins(self, op: Operation) -> None:
        self.own.fault = NONE
        self.own.op = op
        self.own.held = HeldPredicates()
        self.held_in.append(self.own.held)
        self.look_at(op)

    def look_at(self, op: Operation | None) -> None:
        """Note predicates of the host pages that an operation is about to age, or to access."""
        if isinstance(op, HostAge):
            layout = self.side.by_name[op.slot]
            self.aged(layout.hva + op.offset, layout.hva + op.offset + op.size)
        elif isinstance(op, GuestAccess) and self.of_operation(LARGER):
            self.accessed(self.side.by_name[op.slot], op.offset)

    def actor_ends(self, op: Operation, outcome: Outcome) -> None:
        self.own.held.of_operation = frozenset([name for name in OF_OPERATION if self.of_operation(name)])

    def of_operation(self, predicate: str) -> bool:
        """Tell whether one of `OF_OPERATION` holds."""
        op = self.own.op
        if predicate == PART:
            return isinstance(op, TableUnmap) and op.size % self.granule.page_size != 0
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

    def accessed(self, layout: SlotLayout, offset: int) -> None:
        """Note predicates of a guest's access to a host page that is larger than an entry of the root."""
        hva, size = self.side.host.unit_at(layout.hva + offset)
        start = hva - layout.hva + layout.ipa
        if self.shadows[layout.slot.vm].leaves_in(start, start + size):
            self.note(MAPPED, start, start + size, layout.slot.vm)

    def aged(self, start: int, end: int) -> None:
        """Note predicates of the host addresses [start, end), which the host is about to age."""
        for hva, size in self.side.host.pages_to_age(start, end):
            for layout in self.side.layouts:
                # In a par block a slot may come back before its pages are aged.
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
        self.own.fault, self.own.fault_entry, self.own.fault_level = walk.fault, walk.entry, walk.level
        self.own.fault_at = place(guest.number, page)
        self.note(FAULTS[walk.fault], page, page + self.granule.page_size, guest.number)
        if walk.fault != PERMISSION:
            return
        size = self.granule.level_size(walk.level)
        self.note(BLOCK if walk.level < 3 else PAGE, ipa & -size, (ipa & -size) + size, guest.number)
        layout = guest.layout_of(ipa)
        if layout is not None:
            hva, host_size = self.side.host.unit_at(layout.hva + ipa - layout.ipa)
            if size < host_size:
                start = hva - layout.hva + layout.ipa
                self.note(SMALLER, start, start + host_size, guest.number)

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
            # Within an invalidation of its own nobody but change_pte() maps.
            own = len(guest.notified.under_way)
            if 0 < own < self.invalidations.get(vmid, 0):
                self.note(COPIED, start, end, vm)
            if own and any(each.ipa <= start < each.ipa + each.size for each in guest.leaving):
                self.note(LEAVING, start, end, vm)
        if isinstance(self.own.op, (HostAge, HostTestAge)):
            self.own.held.walks.append((place(vm, start), place(vm, end)))
        if not start & (self.block - 1) or end <= (start & -self.block) + self.block:
            return
        shadow = self.shadows[vm]
        size = 1 << self.shifts[shadow.level_at(start)]
        if start & (size - 1) and (start & -size) + size < end:
            for first, last in without(start, end, shadow.stepped_through(start, end)):
                self.note(INSIDE, first, last, vm)

    def changed(self, ipa: int, level: int, ptep: int, old: int, new: int) -> None:
        if old & VALID_BIT and not new & VALID_BIT and kind(old, level, self.granule) == TABLE:
            page = (address_bits(old, self.granule) - self.kernel.base) >> self.granule.page_shift
            for shadow in self.shadows:
                if ptep // self.kernel.entries in shadow.by_page:
                    self.cut[(level, place(shadow.guest.number, ipa))] = page

    def tlbi_ipa(self, vmid: int, ipa: int, level: int) -> None:
        if not vmid or not self.side.ttl:
            return
        flushed = place(vmid - 1, ipa)
        hint = level & 3
        for key in self.debts:
            # Tables above the leaf that a hint names go, and all of them without a hint.
            if flushed >> self.shifts[key[0]] == key[1] >> self.shifts[key[0]] and (not hint or key[0] < hint):
                self.settled.add(key)
        base = flushed & -(1 << self.shifts[hint]) if hint else 0
        key = (hint, base)
        if hint and key in self.cut:
            if key in self.settled:
                self.settled.discard(key)
                self.covered.update(self.debts.pop(key))
            self.debts.setdefault(key, []).append(self.cut[key])
            self.now.setdefault(HINTED, []).append((base, base + (1 << self.shifts[hint])))

    def tlbi_vmid(self, vmid: int) -> None:
        if self.debts:
            self.settled.update([key for key in self.debts if vm_of(key[1]) == vmid - 1])

    def tlbi_range(self, vmid: int, ipa: int, size: int) -> None:
        if self.debts:
            start = place(vmid - 1, ipa)
            self.settled.update(
                [key for key in self.debts if key[1] < start + size and start < key[1] + (1 << self.shifts[key[0]])]
            )

    def lock(self, name: str, vmid: int) -> None:
        if self.own.fault not in (ACCESS_FLAG, PERMISSION) or name != "mmu":
            return
        vm, page = vm_of(self.own.fault_at), ipa_of(self.own.fault_at)
        level, entry = self.shadows[vm].lookup(page)
        if self.own.fault == ACCESS_FLAG:
            # What the handler finds, which may not be what gave the fault.
            self.own.fault_entry = entry
            return
        granule = self.granule
        if level != self.own.fault_level or address_bits(entry, granule) != address_bits(self.own.fault_entry, granule):
            self.note(GONE, page, page + granule.page_size, vm)

    def set_accessed(self, pfn: int) -> None:
        if (
            self.own.fault == ACCESS_FLAG
            and pfn == address_bits(self.own.fault_entry, self.granule) >> self.granule.page_shift
        ):
            self.note(MARKED, 0, 0, 0)

    # Answers.

    def explain(self, violations: list[Violation]) -> None:
        """Fill in `Violation.known`, `after` and `version` of violations that this operation showed."""
        for violation in violations:
            violation.after = self.standing.before(violation)
            if violation.checker in CACHE_CHECKERS:
                violation.version = self.version_at(violation)
            bugs = fitting(violation.signature)
            if bugs:
                violation.known = tuple([number for number, bug in bugs if self.held(bug, violation)])
                if violation.known and violation.taints:
                    self.standing.add(self.standing_of(violation))

    def standing_of(self, violation: Violation) -> Standing:
        """Make the record of a violation that a known bug explains, by which one sees whether it still stands."""
        ranges = violation.reach(self.granule)
        if violation.places and violation.checker == "translation":
            start = violation.places.ranges[0][0]
            vm, ipa = vm_of(start), ipa_of(start)
            return Standing(violation, ranges, vm, ipa, *self.shadows[vm].lookup(ipa))
        return Standing(violation, ranges, -1, 0, -1, 0)

    def stands(self, each: Standing) -> bool:
        """Tell whether a violation of an earlier operation still stands: its leaf is there, its flush is owed."""
        if each.vm >= 0:
            # Permissions may have changed since, which makes it no better.
            level, entry = self.shadows[each.vm].lookup(each.ipa)
            return level == each.level and address_bits(entry, self.granule) == address_bits(each.entry, self.granule)
        if each.violation.table >= 0 and self.owes(each.violation.table):
            return True
        return overlap(each.ranges, self.owed_ranges())

    def owes(self, table: int) -> bool:
        """Tell whether the flush of a table page is still owed because of its hint."""
        for pages in self.debts.values():
            if table in pages:
                return True
        return False

    def owed_ranges(self) -> list[Range]:
        """Return the addresses translated by tables whose flush is still owed because of their hint."""
        return merged([(base, base + (1 << self.shifts[level])) for level, base in self.debts])

    def version_at(self, violation: Violation) -> int:
        """Return the operation, from 1, that wrote the cached contents of a violation's first page; -1: not known."""
        for start, _ in violation.places.ranges[:1]:
            guest = self.side.guests[vm_of(start)]
            index = self.side.memory.index_of(guest.backing_frame(ipa_of(start)))
            for _, _, version in self.side.memory.cached.runs(index, index + 1) if index >= 0 else ():
                return seen(version)
        return -1

    def held(self, bug: KnownBug, violation: Violation) -> bool:
        """Tell whether the whole condition of a known bug held for a violation.

        In a par block what it says of an operation and its faults held for one and the same.
        """
        return any(self.held_for(bug, violation, held) for held in self.held_in or [self.own.held])

    def held_for(self, bug: KnownBug, violation: Violation, held: HeldPredicates) -> bool:
        """Tell likewise, where it says something of an operation: of this one."""
        for time, predicate in bug.condition:
            if self.held_in and predicate in OF_OPERATION:
                if predicate not in held.of_operation:
                    return False
            elif not self.holds(time, predicate, violation, held):
                return False
        return True

    def keep_leaf(self, predicate: str, at: int) -> None:
        """Remember the leaf of a page that the operation has left wrong.

        :param predicate: `COPIED`: it has another frame; `LEAVING`: its slot has gone without it
        """
        level, bits = self.leaf_at(at)
        guest, page = self.side.guests[vm_of(at)], ipa_of(at)
        if level != 3 or not bits:
            return
        if predicate == LEAVING:
            right = guest.layout_of(page) is not None
        else:
            right = guest.maps_backing(page, bits >> self.granule.page_shift)
        if not right:
            self.leaves[predicate][at] = (level, bits)

    def leaf_at(self, at: int) -> tuple[int, int]:
        """Return level and address bits of the leaf at a place."""
        level, entry = self.shadows[vm_of(at)].lookup(ipa_of(at))
        return level, address_bits(entry, self.granule)

    def holds(self, time: str, predicate: str, violation: Violation, held: HeldPredicates) -> bool:
        """Tell whether a predicate held; one of an actor's, in the operation that *held* is of.

        :raises KeyError: there is none of this name
        """
        if predicate not in PREDICATES:
            raise KeyError(predicate)
        if predicate == HINTS:
            return self.side.ttl
        if predicate in OF_OPERATION:
            return self.of_operation(predicate)
        if predicate == UNWALKED:
            return not overlap(violation.reach(self.granule), merged(held.walks))
        if predicate == HINTED and violation.table >= 0:
            return self.owes(violation.table) or violation.table in self.covered
        ranges = (held.noted if predicate in OF_ACTOR else self.now).get(predicate, [])
        if time == NOW:
            if predicate not in OF_PAGES or not violation.places:
                return bool(ranges)
        elif predicate == HINTED:
            ranges = self.owed_ranges()
        elif predicate in self.leaves:
            leaves = self.leaves[predicate]
            ranges = ranges + [(at, at + self.granule.level_size(level)) for at, (level, _) in leaves.items()]
        else:
            ranges = ranges + self.earlier.get(predicate, [])
        return overlap(violation.reach(self.granule), merged(ranges))
