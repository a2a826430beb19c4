# SPDX-License-Identifier: GPL-2.0-only
"""The deeds of actors: the steps that they usually take, in order, and which deeds conflict."""

from collections.abc import Sequence
from random import Random
from typing import Final, Literal, NamedTuple

from ..language import operations as ops
from ..language.operations import ByThread, Concurrent, GuestAccess, Moment, Point, Switch

# Percentages of faults that change one entry, and that change two.
_ONE: Final = 70
_TWO: Final = 25
# Points that change an entry.
_CHANGES: Final[frozenset[str]] = frozenset(("store", "cmpxchg"))
# The point of a deed of one step, in which its actor cannot give way; and the points that it may conflict with.
AT_ONCE: Final = ""
_AT_ODDS: Final[frozenset[str]] = frozenset(
    (AT_ONCE, "fault", "lookup", "load", "store", "cmpxchg", "flush", "clean", "change")
)
# Operations of the host that notify KVM of a range before and after they change it; and those that ask for ages.
_IN_STEPS: Final = (
    *(ops.HostCollapse, ops.HostSplit, ops.HostMigrate, ops.HostDiscard, ops.HostUnmap, ops.HostPoison),
    *(ops.HostShare, ops.HostMerge, ops.HostReap),
)
_AGES: Final = (ops.HostAge, ops.HostTestAge)


class Deed(NamedTuple):
    """A step of an actor.

    :param number: its number among deeds of its kind in the fault, or call of KVM, from 1
    :param entry: the number of its entry, from 1; equal numbers of two faults mean the same entry; 0: none
    :param fault: the number of the fault or call; for a step of an operation of the host: the number of the operation
    """

    point: Point | Literal[""]
    number: int
    entry: int
    fault: int

    def switch(self, actor: int, to: int, when: Moment) -> Switch | None:
        """Return the switch of an actor to another one before or after this deed; None: it does not give way there."""
        if self.point == AT_ONCE:
            return None
        if self.point == "fault" or self.point in ops.STEPS_OF_HOST:
            return Switch(actor, to, when, self.point, self.fault)
        return Switch(actor, to, when, self.point, self.number, self.fault)

    def races(self, other: "Deed") -> bool:
        """Tell whether the order of two deeds of two actors may matter."""
        points = {self.point, other.point}
        if AT_ONCE in points:
            return points <= _AT_ODDS
        if "change" in points:
            return points <= {"change", "lookup"}
        if self.point in _CHANGES or other.point in _CHANGES:
            return bool(points & {"flush", "fault"}) or (
                self.entry == other.entry and points <= {"load", "store", "cmpxchg"}
            )
        return (
            points <= {"lock", "unlock"} or points == {"flush"} or points == {"clean"} or points == {"flush", "fault"}
        )


def deeds_of(operations: Sequence[Concurrent], source: Random) -> list[Deed]:
    """Draw the deeds of an actor in its operations."""
    if isinstance(operations[0], GuestAccess):
        return deeds_of_faults(len(operations), source)
    deeds: list[Deed] = []
    calls = changes = 0
    for each in map(ops.plain, operations):
        assert not isinstance(each, GuestAccess)
        if isinstance(each, _IN_STEPS):
            changes += 1
            deeds += _change(changes, calls + 1, calls + 2)
            calls += 2
        elif _calls(each):
            calls += 1
            deeds += _call(calls)
        else:
            deeds.append(Deed(AT_ONCE, 1, 0, 1))
    return deeds


def deeds_of_faults(accesses: int, source: Random) -> list[Deed]:
    """Draw the deeds of a vCPU in this number of accesses, each with one fault."""
    deeds: list[Deed] = []
    for fault in range(1, accesses + 1):
        drawn = source.randrange(100)
        entries = 1 if drawn < _ONE else 2 if drawn < _ONE + _TWO else 3
        deeds += (Deed("fault", fault, 0, fault), Deed("lookup", 1, 0, fault), Deed("lock", 1, 0, fault))
        for entry in range(1, entries + 1):
            deeds += (
                Deed("load", 2 * entry - 1, entry, fault),
                Deed("load", 2 * entry, entry, fault),
                Deed("cmpxchg", entry, entry, fault),
                Deed("flush", entry, entry, fault),
                Deed("clean", entry, entry, fault),
                Deed("store", entry, entry, fault),
            )
        deeds.append(Deed("unlock", 1, 0, fault))
    return deeds


def _calls(operation: ByThread) -> bool:
    """Tell whether an operation calls KVM once, for ages or for a dirty log."""
    return isinstance(operation, (*_AGES, ops.SetLog, ops.GetLog, ops.ClearLog))


def _call(call: int) -> tuple[Deed, ...]:
    """Return the deeds of a call that changes an entry under the mmu lock."""
    return _locked(call, Deed("load", 1, 1, call), Deed("store", 1, 1, call), Deed("flush", 1, 1, call))


def _locked(call: int, *within: Deed) -> tuple[Deed, ...]:
    """Return the deeds of a call under the mmu lock."""
    return Deed("lock", 1, 0, call), *within, Deed("unlock", 1, 0, call)


def _change(number: int, first: int, last: int) -> tuple[Deed, ...]:
    """Return the deeds of an operation that changes pages.

    :param number: the number of the operation, from 1
    :param first: the number of the call that notifies KVM before the change
    :param last: the number of the call that notifies KVM after it
    """
    return (
        Deed("start", 1, 0, number),
        *_call(first),
        Deed("change", 1, 0, number),
        Deed("end", 1, 0, number),
        *_locked(last),
    )
