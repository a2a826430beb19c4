# SPDX-License-Identifier: GPL-2.0-only
"""Exploration of every schedule of a par block up to a number of preemptions, each judged.

A preemption is a switch: a vCPU that waits, or is done, gives way without one. The vCPUs begin in each order. Each
schedule has its switches in the order in which they take place, so no schedule is judged twice.

Reduction: schedules that differ only in the order of independent steps (`Footprints`) are judged once. Stopping a vCPU
at any of several consecutive places counts as one case, as long as its steps between them may be moved before the steps
of the others that follow. A schedule is judged together with schedules that are assumed to be equivalent. Its run shows
which of them are, on both sides. The others are judged separately.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import accumulate, permutations
from typing import NamedTuple, TypeAlias

from candidate import Candidate

from ..judging.differential import DIVERGENCE, REGRESSION, Differential, Finding, Lockstep, Verdict
from ..language.operations import Par, Switch
from ..language.program import Program, refusal
from .switch_places import SwitchPlace, SwitchPlaces


@dataclass(slots=True)
class ShownFinding:
    """A finding that schedules show.

    :param program: the first one with the fewest switches
    :param schedules: the number of schedules that show it
    :param programs: the number of programs that show it
    """

    finding: Finding
    program: Program
    schedules: int = 0
    programs: int = 1


@dataclass(slots=True)
class ExplorationResult:
    """The result of exploring a program, or several.

    :param programs: the number of programs
    :param schedules: the numbers of schedules, indexed by their number of preemptions
    :param judged: the number of schedules that were judged; the others are equivalent to one of these
    :param shown: the findings, keyed by class and signature
    :param refused: why there is no verdict, "" if there is one
    :param whole: False if the time ran out
    :param interrupted: stopped by Ctrl-C, or by a signal that ends s2fuzz
    """

    schedules: list[int] = field(default_factory=list)
    judged: int = 0
    shown: dict[tuple[str, str], ShownFinding] = field(default_factory=dict)
    refused: str = ""
    whole: bool = True
    programs: int = 1
    interrupted: bool = False

    def add(self, other: "ExplorationResult") -> None:
        """Add the result of other programs, explored with the same maximum number of preemptions."""
        self.programs += other.programs
        self.schedules = [ours + theirs for ours, theirs in zip(self.schedules, other.schedules, strict=True)]
        self.judged += other.judged
        self.refused = other.refused
        self.whole = self.whole and other.whole
        self.interrupted = self.interrupted or other.interrupted
        for key, found in other.shown.items():
            known = self.shown.setdefault(key, found)
            if known is not found:
                known.schedules += found.schedules
                known.programs += found.programs

    @property
    def worse(self) -> bool:
        """True if the candidate is worse, or differs for no known reason."""
        return any(kind in (REGRESSION, DIVERGENCE) for kind, _ in self.shown)


def block_of(program: Program) -> int:
    """Return the index of the block of a program.

    :raises fuzz.language.program.ProgramError: it has no block, or several
    """
    found = [at for at, operation in enumerate(program.operations) if isinstance(operation, Par)]
    if len(found) != 1:
        raise refusal(f"{len(found)} par blocks" if found else "no par block", "exactly one")
    return found[0]


def orders(block: Par) -> Iterator[Par]:
    """Yield the block, without its switches, with its vCPUs in each order."""
    yield from map(block.in_order, permutations(block.actors))


class PlacedSwitch(NamedTuple):
    """A switch of a schedule.

    :param at: the number of steps of its vCPU before it, on the sides of reference and candidate (`SwitchPlace.at`);
        -1: the reference does not reach it
    """

    switch: Switch
    at: tuple[int, int]


# The possible places of one switch, in the order in which its vCPU reaches them.
Places: TypeAlias = tuple[PlacedSwitch, ...]


class Batch(NamedTuple):
    """Schedules that are assumed to be equivalent: one is judged for all.

    :param begun: the block without switches
    :param places: the possible places of each switch. All `ordered` combinations are schedules of the batch; the first
        places make the schedule that is judged
    """

    begun: Par
    places: tuple[Places, ...] = ()

    @property
    def first(self) -> tuple[PlacedSwitch, ...]:
        """The schedule that is judged."""
        return tuple(each[0] for each in self.places)

    def schedules(self) -> int:
        """Return the number of schedules: those in which each vCPU reaches its places in the order of the switches."""
        total = 1
        for cpu in {each[0].switch.cpu for each in self.places}:
            # The possible positions of the vCPU's last switch, and the number of ways to reach each or an earlier one.
            ends, ways = [-1], [0, 1]
            for places in self.places:
                if places[0].switch.cpu == cpu:
                    here = [ways[bisect_left(ends, each.at[1])] for each in places]
                    ends, ways = [each.at[1] for each in places], [0, *accumulate(here)]
            total *= ways[-1]
        return total

    def ordered(self) -> "Batch":
        """Return the same schedules such that the first places make one of them."""
        last: dict[int, int] = {}
        kept: list[Places] = []
        for places in self.places:
            cpu = places[0].switch.cpu
            left = tuple(each for each in places if each.at[1] > last.get(cpu, -1))
            if not left:
                return Batch(self.begun)
            last[cpu] = left[0].at[1]
            kept.append(left)
        return Batch(self.begun, tuple(kept))


class JudgedSchedule:
    """A finished run of a schedule on both sides.

    :param batch: the schedule, with others
    :param sides: the places of reference and candidate
    """

    def __init__(self, batch: Batch, sides: tuple[SwitchPlaces, SwitchPlaces]) -> None:
        self.batch = batch
        self.sides = sides
        self.numbers = {cpu: number for number, cpu in enumerate(batch.begun.actors, 1)}

    @property
    def places(self) -> list[SwitchPlace]:
        """The places of the candidate after the last switch."""
        return self.sides[1].found

    def split(self) -> tuple[Batch, list[Batch]]:
        """Split the batch.

        :returns: the schedules that differ only in the order of independent steps, and all others
        """
        same: list[Places] = []
        others: list[Batch] = []
        for number, places in enumerate(self.batch.places):
            first = places[0]
            actor = self.numbers[first.switch.cpu]
            reach = [side.footprints.reach(number, actor, at) for side, at in zip(self.sides, first.at, strict=True)]
            near: list[PlacedSwitch] = [first]
            far: list[PlacedSwitch] = []
            for each in places[1:]:
                moves = zip(first.at, each.at, reach, strict=True)
                (near if all(0 <= here < there <= end for here, there, end in moves) else far).append(each)
            if far:
                rest = Batch(self.batch.begun, (*same, tuple(far), *self.batch.places[number + 1 :]))
                others.append(rest.ordered())
            same.append(tuple(near))
        return Batch(self.batch.begun, tuple(same)), [each for each in reversed(others) if each.places]

    def next_places(self, apart: bool) -> Iterator[Places]:
        """Yield the places of one more switch, grouped where they may be equivalent.

        :param apart: do not group
        """
        there = {place.switch.anchor: place.at for place in self.sides[0].found}
        taken = {each.switch.anchor for each in self.batch.first}
        open_lists: dict[int, list[PlacedSwitch]] = {}
        lists: list[list[PlacedSwitch]] = []
        last = -1
        for place in self.places:
            if place.switch.anchor in taken:
                continue
            if apart or place.switch.cpu != last:
                open_lists.clear()
            last = place.switch.cpu
            at = there.get(place.switch.anchor, -1), place.at
            for cpu in place.others:
                placed = PlacedSwitch(replace(place.switch, to=cpu), at)
                if cpu in open_lists:
                    open_lists[cpu].append(placed)
                else:
                    open_lists[cpu] = [placed]
                    lists.append(open_lists[cpu])
        yield from map(tuple, lists)


class Explorer:
    """Explores and judges the schedules of a program.

    :param reference: the version that the candidate is compared with
    :param candidate: the version whose run determines the places at which there may be a switch
    :param program: a valid program with one block
    :param preemptions: maximum number of preemptions
    :param out_of_time: called after each schedule; True: the time is up
    :param reduction: judge equivalent schedules once; the findings are the same either way
    """

    def __init__(
        self,
        reference: Candidate,
        candidate: Candidate,
        program: Program,
        preemptions: int,
        out_of_time: Callable[[], bool] = lambda: False,
        reduction: bool = True,
    ) -> None:
        self.differential = Differential(reference, candidate)
        self.program = program
        self.at = block_of(program)
        self.preemptions = preemptions
        self.out_of_time = out_of_time
        self.reduction = reduction
        self.explored = ExplorationResult([0] * (preemptions + 1))

    def run(self) -> ExplorationResult:
        """Judge all schedules. Ctrl-C ends that, and returns the result so far."""
        try:
            self.judge_all()
        except KeyboardInterrupt:
            self.explored.whole, self.explored.interrupted = False, True
        return self.explored

    def judge_all(self) -> None:
        """Judge all schedules, while there is time and each has a verdict."""
        block = self.program.operations[self.at]
        assert isinstance(block, Par)
        for begun in orders(block):
            left = [Batch(begun)]
            while left:
                if self.out_of_time():
                    self.explored.whole = False
                    return
                # The last one first, so that schedules are judged in the order of the run.
                left += reversed(self.judge(left.pop()))
                if self.explored.refused:
                    return

    def judge(self, batch: Batch) -> list[Batch]:
        """Judge the first schedule of a batch for all equivalent ones. Return the batches to be judged next."""
        schedule = replace(batch.begun, switches=tuple(each.switch for each in batch.first))
        operations = (*self.program.operations[: self.at], schedule, *self.program.operations[self.at + 1 :])
        program = replace(self.program, operations=operations)
        run = Lockstep(self.differential, program)
        judged = JudgedSchedule(batch, (SwitchPlaces(run.left), SwitchPlaces(run.right)))
        for at in range(len(operations)):
            run.step(at)
        verdict = run.end()
        self.explored.refused = verdict.refused
        same, others = judged.split()
        count = same.schedules()
        self.explored.judged += 1
        self.explored.schedules[len(batch.places)] += count
        self.record(program, verdict, count)
        further: list[Batch] = []
        if len(batch.places) < self.preemptions:
            further += [Batch(batch.begun, (*same.places, each)) for each in judged.next_places(not self.reduction)]
        return further + others

    def record(self, program: Program, verdict: Verdict, schedules: int) -> None:
        """Record the verdict on a program that stands for this number of schedules."""
        for finding in verdict.findings:
            key = (finding.kind, finding.signature)
            shown = self.explored.shown.setdefault(key, ShownFinding(finding, program))
            shown.schedules += schedules
            if switches(program, self.at) < switches(shown.program, self.at):
                shown.program, shown.finding = program, finding


def switches(program: Program, at: int) -> int:
    """Return the number of switches of the block at an index."""
    block = program.operations[at]
    return len(block.switches) if isinstance(block, Par) else 0
