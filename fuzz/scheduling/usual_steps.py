# SPDX-License-Identifier: GPL-2.0-only
"""The steps that actors usually take, in order, and which of these steps conflict."""

from collections.abc import Sequence
from random import Random
from typing import Final, Literal, NamedTuple

from ..language import operations as ops
from ..language.operations import ByThread, Concurrent, GuestAccess, Moment, Point, Switch

# Percentages of faults that change one entry, and that change two.
_ONE: Final = 70
_TWO: Final = 25
# Points that change an entry.
_CHANGES_ENTRY: Final[frozenset[str]] = frozenset(("store", "cmpxchg"))
# The point of an operation that is a single step, in which its actor cannot give way; the points that may conflict with
# it.
ATOMIC: Final = ""
_CONFLICTS_WITH_ATOMIC: Final[frozenset[str]] = frozenset(
    (ATOMIC, "fault", "lookup", "load", "store", "cmpxchg", "flush", "clean", "change")
)
# Operations of the host that notify KVM of a range before and after they change it; and those that ask for ages.
_NOTIFYING: Final = (
    *(ops.HostCollapse, ops.HostSplit, ops.HostMigrate, ops.HostDiscard, ops.HostUnmap, ops.HostPoison),
    *(ops.HostShare, ops.HostMerge, ops.HostReap),
)
_AGEING: Final = (ops.HostAge, ops.HostTestAge)


class UsualStep(NamedTuple):
    """A step that an actor usually takes.

    :param number: its number among steps of its kind in the fault, or call of KVM, from 1
    :param entry: the number of its entry, from 1; equal numbers of two faults mean the same entry; 0: none
    :param fault: the number of the fault or call; for a step of an operation of the host: the number of the operation
    """

    point: Point | Literal[""]
    number: int
    entry: int
    fault: int

    def switch(self, actor: int, to: int, when: Moment) -> Switch | None:
        """Return the switch of an actor to another one before or after this step; None: it does not give way there."""
        if self.point == ATOMIC:
            return None
        if self.point == "fault" or self.point in ops.STEPS_OF_HOST:
            return Switch(actor, to, when, self.point, self.fault)
        return Switch(actor, to, when, self.point, self.number, self.fault)

    def races(self, other: "UsualStep") -> bool:
        """Tell whether the order of two steps of two actors may matter."""
        points = {self.point, other.point}
        if ATOMIC in points:
            return points <= _CONFLICTS_WITH_ATOMIC
        if "change" in points:
            return points <= {"change", "lookup"}
        if self.point in _CHANGES_ENTRY or other.point in _CHANGES_ENTRY:
            return bool(points & {"flush", "fault"}) or (
                self.entry == other.entry and points <= {"load", "store", "cmpxchg"}
            )
        return (
            points <= {"lock", "unlock"} or points == {"flush"} or points == {"clean"} or points == {"flush", "fault"}
        )


def usual_steps_of(operations: Sequence[Concurrent], source: Random) -> list[UsualStep]:
    """Draw the usual steps of an actor in its operations."""
    if isinstance(operations[0], GuestAccess):
        return usual_steps_of_faults(len(operations), source)
    steps: list[UsualStep] = []
    calls = changes = 0
    for each in map(ops.plain, operations):
        assert not isinstance(each, GuestAccess)
        if isinstance(each, _NOTIFYING):
            changes += 1
            steps += _change(changes, calls + 1, calls + 2)
            calls += 2
        elif _calls(each):
            calls += 1
            steps += _call(calls)
        else:
            steps.append(UsualStep(ATOMIC, 1, 0, 1))
    return steps


def usual_steps_of_faults(accesses: int, source: Random) -> list[UsualStep]:
    """Draw the steps of a vCPU in this number of accesses, each with one fault."""
    steps: list[UsualStep] = []
    for fault in range(1, accesses + 1):
        drawn = source.randrange(100)
        entries = 1 if drawn < _ONE else 2 if drawn < _ONE + _TWO else 3
        steps += (UsualStep("fault", fault, 0, fault), UsualStep("lookup", 1, 0, fault), UsualStep("lock", 1, 0, fault))
        for entry in range(1, entries + 1):
            steps += (
                UsualStep("load", 2 * entry - 1, entry, fault),
                UsualStep("load", 2 * entry, entry, fault),
                UsualStep("cmpxchg", entry, entry, fault),
                UsualStep("flush", entry, entry, fault),
                UsualStep("clean", entry, entry, fault),
                UsualStep("store", entry, entry, fault),
            )
        steps.append(UsualStep("unlock", 1, 0, fault))
    return steps


def _calls(operation: ByThread) -> bool:
    """Tell whether an operation calls KVM once, for ages or for a dirty log."""
    return isinstance(operation, (*_AGEING, ops.SetLog, ops.GetLog, ops.ClearLog))


def _call(call: int) -> tuple[UsualStep, ...]:
    """Return the steps of a call that changes an entry under the mmu lock."""
    return _locked(call, UsualStep("load", 1, 1, call), UsualStep("store", 1, 1, call), UsualStep("flush", 1, 1, call))


def _locked(call: int, *within: UsualStep) -> tuple[UsualStep, ...]:
    """Return the steps of a call under the mmu lock."""
    return UsualStep("lock", 1, 0, call), *within, UsualStep("unlock", 1, 0, call)


def _change(number: int, first: int, last: int) -> tuple[UsualStep, ...]:
    """Return the steps of an operation that changes pages.

    :param number: the number of the operation, from 1
    :param first: the number of the call that notifies KVM before the change
    :param last: the number of the call that notifies KVM after it
    """
    return (
        UsualStep("start", 1, 0, number),
        *_call(first),
        UsualStep("change", 1, 0, number),
        UsualStep("end", 1, 0, number),
        *_locked(last),
    )
