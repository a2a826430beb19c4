# SPDX-License-Identifier: GPL-2.0-only
"""Partial-order sampling (Yuan, Yang, Gu: Partial order aware concurrency sampling, CAV 2018), as a strategy.

The next step of each actor has a random priority. The step with the highest priority is made. Steps that race with it
then get a new priority, so that either may come first the next time. The steps are those that actors usually take
(`fuzz.scheduling.usual_steps`), not those of the run.
"""

from itertools import pairwise
from random import Random

from ..language.lock_rules import MAX_SWITCHES
from ..language.operations import ONLY_AFTER, Moment, Par, Switch, is_vcpu
from .usual_steps import ATOMIC, UsualStep, usual_steps_of


class _Actor:
    """An actor in a sample, which has made *done* of its steps.

    :param steps: all its steps, in order
    :param priority: the priority of the next one
    """

    def __init__(self, steps: list[UsualStep], priority: float) -> None:
        self.steps = steps
        self.done = 0
        self.priority = priority

    @property
    def finished(self) -> bool:
        return self.done == len(self.steps)

    @property
    def next(self) -> UsualStep:
        return self.steps[self.done]


def sampled(actors: list[list[UsualStep]], source: Random) -> list[tuple[int, int]]:
    """Draw an order of all steps.

    :param actors: the steps of each actor
    :returns: the index of the actor and the index of its step, for each step
    """
    states = [_Actor(steps, source.random()) for steps in actors]
    order: list[tuple[int, int]] = []
    while True:
        ready = [at for at, state in enumerate(states) if not state.finished]
        if not ready:
            return order
        chosen = ready[0]
        for at in ready:
            if states[at].priority > states[chosen].priority:
                chosen = at
        state = states[chosen]
        step = state.next
        order.append((chosen, state.done))
        state.done += 1
        state.priority = source.random()
        for at in ready:
            if at != chosen and states[at].next.races(step):
                states[at].priority = source.random()


def with_few_turns(actors: list[list[UsualStep]], order: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return an order that keeps the order of racing steps, and in which actors run as long as they can.

    :param order: as returned by `sampled`
    """
    left = list(order)
    again: list[tuple[int, int]] = []
    running = left[0][0]
    while left:
        own = next((at for at, (actor, _) in enumerate(left) if actor == running), None)
        if own is not None:
            step = actors[running][left[own][1]]
            # An earlier step of another actor that races with this one comes before it.
            before = next((each for each in left[:own] if actors[each[0]][each[1]].races(step)), None)
            if before is None:
                again.append(left.pop(own))
                continue
            running = before[0]
        else:
            running = left[0][0]
    return again


def switches_of(actors: tuple[int, ...], steps: list[list[UsualStep]], order: list[tuple[int, int]]) -> list[Switch]:
    """Return the switches that make a block run in an order: one where an actor stops before it is done.

    :param actors: their numbers
    :param steps: the steps of each
    """
    switches: list[Switch | None] = []
    for (stopped, done), (continues, _) in pairwise(order):
        if stopped != continues and done + 1 < len(steps[stopped]):
            when: Moment = "before"
            step = steps[stopped][done + 1]
            if step.point in ONLY_AFTER or step.point == ATOMIC:
                when, step = "after", steps[stopped][done]
            switches.append(step.switch(actors[stopped], actors[continues], when))
    return [each for each in switches if each is not None][:MAX_SWITCHES]


def partial_order(block: Par, source: Random) -> tuple[Par, list[Switch]]:
    """Draw the switches of a block by partial-order sampling.

    :returns: the block, with the actors in the order in which they begin, and the switches
    """
    actors = block.actors
    steps = [usual_steps_of([each for each in block.operations if each.cpu == actor], source) for actor in actors]
    order = with_few_turns(steps, sampled(steps, source))
    if not all(map(is_vcpu, actors)):
        block = block.in_order(dict.fromkeys(actors[at] for at, _ in order))
    elif order[0][0] != 0:
        # The first actor of the block begins, and gives way to another one when it has taken its fault.
        order = [(0, 0), *(each for each in order if each != (0, 0))]
    return block, switches_of(actors, steps, order)
