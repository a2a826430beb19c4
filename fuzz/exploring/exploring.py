# SPDX-License-Identifier: GPL-2.0-only
"""Every schedule of a par block with so many preemptions, judged.

A preemption is a switch: a vCPU that waits, or is done, gives way without one. The vCPUs begin in each order. Each
schedule has its switches in the order in which they take place, so none is judged twice.

Reduction: schedules that differ only in the order of steps that have nothing to do with each other (`Footprints`) are
judged once. A vCPU that is stopped at one of several places in a row is one case as long as its steps between them
may as well come before those of the others that follow. A schedule is judged together with those that are thought to
be the same; its run shows which of them are, on both sides, and the others are judged by themselves.
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
from .places import SwitchPlace, SwitchPlaces


@dataclass(slots=True)
class Shown:
    """A finding that schedules show.

    :param program: the first with the fewest switches
    :param schedules: how many show it
    :param programs: how many programs do
    """

    finding: Finding
    program: Program
    schedules: int = 0
    programs: int = 1


@dataclass(slots=True)
class Explored:
    """The outcome of exploring a program, or several.

    :param programs: how many
    :param schedules: how many there are, by their number of preemptions
    :param judged: how many were judged; the others are the same as one of these
    :param shown: the findings, by class and signature
    :param refused: why there is no verdict, "" if there is one
    :param whole: False if there was no more time
    :param interrupted: there was Ctrl-C, or a signal that ends s2fuzz
    """

    schedules: list[int] = field(default_factory=list)
    judged: int = 0
    shown: dict[tuple[str, str], Shown] = field(default_factory=dict)
    refused: str = ""
    whole: bool = True
    programs: int = 1
    interrupted: bool = False

    def add(self, other: "Explored") -> None:
        """Add what came of other programs, with as many preemptions at most."""
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

    :raises fuzz.language.program.ProgramError: it has none, or several
    """
    found = [at for at, operation in enumerate(program.operations) if isinstance(operation, Par)]
    if len(found) != 1:
        raise refusal(f"{len(found)} par blocks" if found else "no par block", "exactly one")
    return found[0]


def orders(block: Par) -> Iterator[Par]:
    """Yield the block, without its switches, with its vCPUs in each order."""
    yield from map(block.in_order, permutations(block.actors))


class Placed(NamedTuple):
    """A switch of a schedule.

    :param at: the steps of its vCPU before it, of reference and candidate (`SwitchPlace.at`); -1: the reference does
        not come there
    """

    switch: Switch
    at: tuple[int, int]


# The places of one switch, in the order in which its vCPU comes to them.
Places: TypeAlias = tuple[Placed, ...]


class Batch(NamedTuple):
    """Schedules that are thought to be the same: one is judged for all.

    :param begun: the block without switches
    :param places: of each switch, those that it may have, each with each of the others, as far as they are `ordered`;
        the first of each make the schedule that is judged
    """

    begun: Par
    places: tuple[Places, ...] = ()

    @property
    def first(self) -> tuple[Placed, ...]:
        """The schedule that is judged."""
        return tuple(each[0] for each in self.places)

    def schedules(self) -> int:
        """The number of schedules: those in which each vCPU comes to its places in the order of the switches."""
        total = 1
        for cpu in {each[0].switch.cpu for each in self.places}:
            # Where the last switch of the vCPU may be, and in how many ways it comes there or further up.
            ends, ways = [-1], [0, 1]
            for places in self.places:
                if places[0].switch.cpu == cpu:
                    here = [ways[bisect_left(ends, each.at[1])] for each in places]
                    ends, ways = [each.at[1] for each in places], [0, *accumulate(here)]
            total *= ways[-1]
        return total

    def ordered(self) -> "Batch":
        """The same schedules, of which the first is one."""
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


class Judged:
    """The run of a schedule on both sides, once it is over.

    :param batch: the schedule, and others
    :param sides: the places of reference and candidate
    """

    def __init__(self, batch: Batch, sides: tuple[SwitchPlaces, SwitchPlaces]) -> None:
        self.batch = batch
        self.sides = sides
        self.numbers = {cpu: number for number, cpu in enumerate(batch.begun.actors, 1)}

    @property
    def places(self) -> list[SwitchPlace]:
        """The places of the candidate behind the last switch."""
        return self.sides[1].found

    def parted(self) -> tuple[Batch, list[Batch]]:
        """Part the batch.

        :returns: the schedules that differ only in the order of independent steps, and all others
        """
        same: list[Places] = []
        others: list[Batch] = []
        for number, places in enumerate(self.batch.places):
            first = places[0]
            actor = self.numbers[first.switch.cpu]
            reach = [side.footprints.reach(number, actor, at) for side, at in zip(self.sides, first.at, strict=True)]
            near: list[Placed] = [first]
            far: list[Placed] = []
            for each in places[1:]:
                moves = zip(first.at, each.at, reach, strict=True)
                (near if all(0 <= here < there <= end for here, there, end in moves) else far).append(each)
            if far:
                rest = Batch(self.batch.begun, (*same, tuple(far), *self.batch.places[number + 1 :]))
                others.append(rest.ordered())
            same.append(tuple(near))
        return Batch(self.batch.begun, tuple(same)), [each for each in reversed(others) if each.places]

    def next_places(self, apart: bool) -> Iterator[Places]:
        """Yield the places of one more switch, those together that may be the same.

        :param apart: each by itself
        """
        there = {place.switch.anchor: place.at for place in self.sides[0].found}
        taken = {each.switch.anchor for each in self.batch.first}
        open_lists: dict[int, list[Placed]] = {}
        lists: list[list[Placed]] = []
        last = -1
        for place in self.places:
            if place.switch.anchor in taken:
                continue
            if apart or place.switch.cpu != last:
                open_lists.clear()
            last = place.switch.cpu
            at = there.get(place.switch.anchor, -1), place.at
            for cpu in place.others:
                placed = Placed(replace(place.switch, to=cpu), at)
                if cpu in open_lists:
                    open_lists[cpu].append(placed)
                else:
                    open_lists[cpu] = [placed]
                    lists.append(open_lists[cpu])
        yield from map(tuple, lists)


class Explorer:
    """Judges schedules.

    :param reference: the version that the candidate is compared with
    :param candidate: the version whose run says at which places there may be a switch
    :param program: a valid one, with one block
    :param preemptions: at most so many
    :param over: asked after each; True: there is no more time
    :param reduction: judge schedules once that are the same; what is found is the same either way
    """

    def __init__(
        self,
        reference: Candidate,
        candidate: Candidate,
        program: Program,
        preemptions: int,
        over: Callable[[], bool] = lambda: False,
        reduction: bool = True,
    ) -> None:
        self.differential = Differential(reference, candidate)
        self.program = program
        self.at = block_of(program)
        self.preemptions = preemptions
        self.over = over
        self.reduction = reduction
        self.explored = Explored([0] * (preemptions + 1))

    def run(self) -> Explored:
        """Judge all of them; Ctrl-C ends that, and what was judged by then is returned."""
        try:
            self.judge_all()
        except KeyboardInterrupt:
            self.explored.whole, self.explored.interrupted = False, True
        return self.explored

    def judge_all(self) -> None:
        """Judge all of them, while there is time and each can be judged."""
        block = self.program.operations[self.at]
        assert isinstance(block, Par)
        for begun in orders(block):
            left = [Batch(begun)]
            while left:
                if self.over():
                    self.explored.whole = False
                    return
                # The last one first, so that they are judged in the order of the run.
                left += reversed(self.judge(left.pop()))
                if self.explored.refused:
                    return

    def judge(self, batch: Batch) -> list[Batch]:
        """Judge the first schedule of a batch, and those that are the same; return what is to be judged then."""
        schedule = replace(batch.begun, switches=tuple(each.switch for each in batch.first))
        operations = (*self.program.operations[: self.at], schedule, *self.program.operations[self.at + 1 :])
        program = replace(self.program, operations=operations)
        run = Lockstep(self.differential, program)
        judged = Judged(batch, (SwitchPlaces(run.left), SwitchPlaces(run.right)))
        for at in range(len(operations)):
            run.step(at)
        verdict = run.end()
        self.explored.refused = verdict.refused
        same, others = judged.parted()
        count = same.schedules()
        self.explored.judged += 1
        self.explored.schedules[len(batch.places)] += count
        self.take(program, verdict, count)
        further: list[Batch] = []
        if len(batch.places) < self.preemptions:
            further += [Batch(batch.begun, (*same.places, each)) for each in judged.next_places(not self.reduction)]
        return further + others

    def take(self, program: Program, verdict: Verdict, schedules: int) -> None:
        """Take in the verdict on a schedule, which so many show."""
        for finding in verdict.findings:
            key = (finding.kind, finding.signature)
            shown = self.explored.shown.setdefault(key, Shown(finding, program))
            shown.schedules += schedules
            if switches(program, self.at) < switches(shown.program, self.at):
                shown.program, shown.finding = program, finding


def switches(program: Program, at: int) -> int:
    """The number of switches of the block at an index."""
    block = program.operations[at]
    return len(block.switches) if isinstance(block, Par) else 0
