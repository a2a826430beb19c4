# SPDX-License-Identifier: GPL-2.0-only
"""The conditions of known bugs: a bug explains a violation if its condition held for it.

A condition of known.toml asks for predicates that hold *now*, in the operation of the violation, or *earlier*, in that
operation or any before it, over pages of the violation.
"""

from __future__ import annotations

from reference.capabilities import ARM64_HAS_TLB_RANGE
from reference.machine.descriptor import address_bits
from reference.machine.memory import seen

from ..checkers import Violation
from ..checkers.guest_pages import ipa_of, merged, overlap, vm_address, vm_of
from ..checkers.owed_entries import address_of, level_of
from ..checkers.tlb import Tlb
from ..execution.executor import Executor
from ..language.operations import Operation
from .known import NOW, KnownBug, fitting
from .last_fault import HeldPredicates
from .matching import CACHE_CHECKERS
from .predicate_notes import PredicateNotes
from .predicates import (
    AT_EL1,
    DEFERRED,
    HINTED,
    HINTS,
    OF_ACTOR,
    OF_OPERATION,
    OF_PAGES,
    PREDICATES,
    UNWALKED,
)
from .standing import Standing, StandingViolations


class Conditions(PredicateNotes):
    """Explains the violations of one side by known bugs.

    :param executor: the side's executor, before anything has run on it
    """

    def __init__(self, executor: Executor) -> None:
        super().__init__(executor)
        self.standing = StandingViolations(self.granule)
        self.tlbs = [executor.checkers.peers.at(Tlb, guest) for guest in self.side.guests]

    def before_operation(self, op: Operation | None) -> None:
        super().before_operation(op)
        if self.standing.all:
            self.standing.keep(self.stands)

    def explain(self, violations: list[Violation]) -> None:
        """Fill in `Violation.known`, `after` and `version` of the violations of this operation."""
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
        """Return a record of an explained violation, which tells later whether the violation still stands."""
        ranges = violation.translated_ranges(self.granule)
        if violation.pages and violation.checker == "translation":
            start = violation.pages.ranges[0][0]
            vm, ipa = vm_of(start), ipa_of(start)
            return Standing(violation, ranges, vm, ipa, *self.shadows[vm].lookup(ipa))
        return Standing(violation, ranges, -1, 0, -1, 0)

    def stands(self, each: Standing) -> bool:
        """Return whether a violation of an earlier operation still stands: its leaf is there, or its flush is owed."""
        if each.vm >= 0:
            # Permissions may have changed since, which does not repair the leaf.
            level, entry = self.shadows[each.vm].lookup(each.ipa)
            return level == each.level and address_bits(entry, self.granule) == address_bits(each.entry, self.granule)
        if each.violation.table >= 0 and self.hinted.owes(each.violation.table):
            return True
        return overlap(each.ranges, self.hinted.ranges()) or self.is_owed(each)

    def is_owed(self, each: Standing) -> bool:
        """Return whether a CPU may still hold the table of a violation, or a leaf of its pages."""
        for tlb in self.tlbs:
            if each.violation.table in tlb.owed.pinned:
                return True
            leaves = [
                (vm_address(tlb.guest.number, address_of(key)), self.granule.level_size(level_of(key)))
                for key in tlb.owed.leaves
            ]
            if leaves and overlap(each.ranges, merged([(start, start + size) for start, size in leaves])):
                return True
        return False

    def version_at(self, violation: Violation) -> int:
        """Return the operation, from 1, that wrote the cached contents of a violation's first page; -1: unknown."""
        for start, _ in violation.pages.ranges[:1]:
            # A wild leaf may lie in no VM's address space.
            if vm_of(start) >= len(self.side.guests):
                return -1
            guest = self.side.guests[vm_of(start)]
            index = self.side.memory.index_of(guest.backing_frame(ipa_of(start)))
            for _, _, version in self.side.memory.cached.runs(index, index + 1) if index >= 0 else ():
                return seen(version)
        return -1

    def held(self, bug: KnownBug, violation: Violation) -> bool:
        """Return whether the whole condition of a known bug held for a violation.

        In a par block, the predicates about an operation and its faults must hold for the same operation.
        """
        return any(self.held_for(bug, violation, held) for held in self.held_in or [self.own.held])

    def held_for(self, bug: KnownBug, violation: Violation, held: HeldPredicates) -> bool:
        """Return the same as `held`, for one operation of a par block."""
        for time, predicate in bug.condition:
            if self.held_in and predicate in OF_OPERATION:
                if predicate not in held.of_operation:
                    return False
            elif not self.holds(time, predicate, violation, held):
                return False
        return True

    def holds(self, time: str, predicate: str, violation: Violation, held: HeldPredicates) -> bool:
        """Return whether a predicate held; a predicate of an actor must hold in the operation of *held*.

        :raises KeyError: there is no predicate of this name
        """
        if predicate not in PREDICATES:
            raise KeyError(predicate)
        if predicate == HINTS:
            return self.side.ttl
        if predicate == DEFERRED:
            return self.side.fwb and self.kernel.caps & ARM64_HAS_TLB_RANGE != 0
        if predicate == AT_EL1:
            return self.is_at_el1(violation)
        if predicate in OF_OPERATION:
            return self.of_operation(predicate)
        if predicate == UNWALKED:
            return not overlap(violation.translated_ranges(self.granule), held.walks())
        if predicate == HINTED and violation.table >= 0:
            return self.hinted.concerns(violation.table)
        ranges = (held.noted if self.held_in and predicate in OF_ACTOR else self.now).get(predicate, [])
        if time == NOW:
            if predicate not in OF_PAGES or not violation.pages:
                return bool(ranges)
        elif predicate == HINTED:
            ranges = self.hinted.ranges()
        elif predicate in self.wrong.leaves:
            ranges = ranges + self.wrong.ranges(predicate)
        else:
            ranges = ranges + self.earlier.get(predicate, [])
        return overlap(violation.translated_ranges(self.granule), merged(ranges))

    def is_at_el1(self, violation: Violation) -> bool:
        """Return whether the pages of a violation are those of vCPUs at EL1."""
        nested = self.side.nested
        ranges = violation.pages.ranges
        return nested is not None and bool(ranges) and all(vm_of(start) == nested.number for start, _ in ranges)
