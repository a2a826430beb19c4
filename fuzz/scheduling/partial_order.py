# SPDX-License-Identifier: GPL-2.0-only
"""Partial-order sampling (Yuan, Yang, Gu: Partial order aware concurrency sampling, CAV 2018), as a strategy.

The next step of each actor has a random priority. The step with the highest priority is made. Steps that race with it
then get a new priority, so that either may come first the next time. The steps are those that actors usually take
(`fuzz.scheduling.deeds`), not those of the run.
"""

from itertools import pairwise
from random import Random

from ..language.lock_rules import MAX_SWITCHES
from ..language.operations import ONLY_AFTER, Moment, Par, Switch, is_vcpu
from .deeds import AT_ONCE, Deed, deeds_of


class _Actor:
    """An actor in a sample, of whose deeds *done* are made.
    :param deeds: all its deeds, in order
    :param priority: the priority of the next one
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


def sampled(actors: list[list[Deed]], source: Random) -> list[tuple[int, int]]:
    """Draw an order of all deeds.

    :param actors: the deeds of each actor
    :returns: the index of the actor and the index of its deed, for each deed
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
    """Return an order that keeps the order of racing deeds, and in which actors run as long as they can.

    :param order: as returned by `sampled`
    """
    left = list(order)
    again: list[tuple[int, int]] = []
    running = left[0][0]
    while left:
        own = next((at for at, (actor, _) in enumerate(left) if actor == running), None)
        if own is not None:
            deed = actors[running][left[own][1]]
            # An earlier deed of another actor that races with this one comes before it.
            before = next((each for each in left[:own] if actors[each[0]][each[1]].races(deed)), None)
            if before is None:
                again.append(left.pop(own))
                continue
            running = before[0]
        else:
            running = left[0][0]
    return again


def switches_of(actors: tuple[int, ...], deeds: list[list[Deed]], order: list[tuple[int, int]]) -> list[Switch]:
    """Return the switches that make a block run in an order: one where an actor stops before it is done.

    :param actors: their numbers
    :param deeds: the deeds of each
    """
    switches: list[Switch | None] = []
    for (stopped, done), (goes_on, _) in pairwise(order):
        if stopped != goes_on and done + 1 < len(deeds[stopped]):
            when: Moment = "before"
            deed = deeds[stopped][done + 1]
            if deed.point in ONLY_AFTER or deed.point == AT_ONCE:
                when, deed = "after", deeds[stopped][done]
            switches.append(deed.switch(actors[stopped], actors[goes_on], when))
    return [each for each in switches if each is not None][:MAX_SWITCHES]


def partial_order(block: Par, source: Random) -> tuple[Par, list[Switch]]:
    """Draw the switches of a block by partial-order sampling.

    :returns: the block, with the actors in the order in which they begin, and the switches
    """
    actors = block.actors
    deeds = [deeds_of([each for each in block.operations if each.cpu == actor], source) for actor in actors]
    order = with_few_turns(deeds, sampled(deeds, source))
    if not all(map(is_vcpu, actors)):
        block = block.in_order(dict.fromkeys(actors[at] for at, _ in order))
    elif order[0][0] != 0:
        # The first actor of the block begins, and gives way to another one when it has taken its fault.
        order = [(0, 0), *(each for each in order if each != (0, 0))]
    return block, switches_of(actors, deeds, order)
