# SPDX-License-Identifier: GPL-2.0-only
"""Partial-order sampling (Yuan, Yang, Gu: Partial order aware concurrency sampling, CAV 2018), as a strategy.

Each step that a vCPU is about to make has a priority by chance; the highest is made. Steps that race with it get
another priority then: the next time either may come first. Steps are those that faults usually take
(`fuzz.scheduling.steps`), not those of the run.
"""

from itertools import pairwise
from random import Random
from typing import Final, NamedTuple

from ..language.beside import MAX_SWITCHES
from ..language.operations import ONLY_AFTER, Moment, Par, Point, Switch

# Of a hundred faults, those that change one entry, and those that change two.
_ONE: Final = 70
_TWO: Final = 25
# What changes an entry.
_CHANGES: Final[frozenset[Point]] = frozenset(("store", "cmpxchg"))


class Deed(NamedTuple):
    """A step of a fault of a vCPU.

    :param number: which one of its kind it is in the fault, from 1
    :param entry: the entry concerned, from 1: those of two faults are the same; 0: none
    :param fault: the number of the fault
    """

    point: Point
    number: int
    entry: int
    fault: int

    def switch(self, cpu: int, to: int, when: Moment) -> Switch:
        """The switch of a vCPU to another one before or after this."""
        if self.point == "fault":
            return Switch(cpu, to, when, self.point, self.fault)
        return Switch(cpu, to, when, self.point, self.number, self.fault)

    def races(self, other: "Deed") -> bool:
        """Tell whether the order of two deeds of two vCPUs may matter."""
        points = {self.point, other.point}
        if self.point in _CHANGES or other.point in _CHANGES:
            return bool(points & {"flush", "fault"}) or (
                self.entry == other.entry and points <= {"load", "store", "cmpxchg"}
            )
        return (
            points <= {"lock", "unlock"} or points == {"flush"} or points == {"clean"} or points == {"flush", "fault"}
        )


class _Actor:
    """A vCPU, as far as the sample has come: *done* of its deeds.

    :param deeds: all that it does, in its order
    :param priority: of the next one
    """

    def __init__(self, deeds: list[Deed], priority: float) -> None:
        self.deeds = deeds
        self.done = 0
        self.priority = priority

    @property
    def over(self) -> bool:
        return self.done == len(self.deeds)

    @property
    def next(self) -> Deed:
        return self.deeds[self.done]


def deeds_of(accesses: int, source: Random) -> list[Deed]:
    """Draw what a vCPU does in so many accesses, each with one fault."""
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


def sampled(actors: list[list[Deed]], source: Random) -> list[tuple[int, int]]:
    """Draw an order of all deeds.

    :param actors: the deeds of each
    :returns: the actor, by its index, and the index of its deed
    """
    states = [_Actor(deeds, source.random()) for deeds in actors]
    order: list[tuple[int, int]] = []
    while True:
        ready = [at for at, state in enumerate(states) if not state.over]
        if not ready:
            return order
        chosen = ready[0]
        for at in ready:
            if states[at].priority > states[chosen].priority:
                chosen = at
        state = states[chosen]
        deed = state.next
        order.append((chosen, state.done))
        state.done += 1
        state.priority = source.random()
        for at in ready:
            if at != chosen and states[at].next.races(deed):
                states[at].priority = source.random()


def with_few_turns(actors: list[list[Deed]], order: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return an order with the same order of deeds that race, in which actors run as long as they can.

    :param order: as of `sampled`
    """
    left = list(order)
    again: list[tuple[int, int]] = []
    running = left[0][0]
    while left:
        own = next((at for at, (actor, _) in enumerate(left) if actor == running), None)
        if own is not None:
            deed = actors[running][left[own][1]]
            # An earlier deed of another one that races with this one comes before it.
            before = next((each for each in left[:own] if actors[each[0]][each[1]].races(deed)), None)
            if before is None:
                again.append(left.pop(own))
                continue
            running = before[0]
        else:
            running = left[0][0]
    return again


def switches_of(cpus: tuple[int, ...], actors: list[list[Deed]], order: list[tuple[int, int]]) -> list[Switch]:
    """Return the switches by which a block runs in an order: where a vCPU stops that has something left to do.

    :param cpus: the vCPU of each actor
    """
    switches: list[Switch] = []
    for (stopped, done), (goes_on, _) in pairwise(order):
        if stopped != goes_on and done + 1 < len(actors[stopped]):
            when: Moment = "before"
            deed = actors[stopped][done + 1]
            if deed.point in ONLY_AFTER:
                when, deed = "after", actors[stopped][done]
            switches.append(deed.switch(cpus[stopped], cpus[goes_on], when))
    return switches[:MAX_SWITCHES]


def partial_order(block: Par, source: Random) -> list[Switch]:
    """Draw the switches of a block by partial-order sampling; the vCPU that begins is that of its first operation."""
    cpus = block.cpus
    actors = [deeds_of(sum(each.cpu == cpu for each in block.operations), source) for cpu in cpus]
    order = with_few_turns(actors, sampled(actors, source))
    # The first one of the block begins: in an order that another one begins, it gives way when it has taken its fault.
    if order[0][0] != 0:
        order = [(0, 0), *(each for each in order if each != (0, 0))]
    return switches_of(cpus, actors, order)
