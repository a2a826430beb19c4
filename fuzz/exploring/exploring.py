# SPDX-License-Identifier: GPL-2.0-only
"""Every schedule of a par block with so many preemptions, judged.

A preemption is a switch: a vCPU that waits, or is done, gives way without one. The vCPUs begin in each order. Each
schedule has its switches in the order in which they take place, so none is judged twice.

Reduction: schedules that differ only in the order of steps that have nothing to do with each other (`Footprints`) are
judged once. A vCPU that is stopped at one of several places in a row is one case as long as its steps between them
may as well come before those of the others that follow. A schedule is judged together with those that are thought to
be the same; its run shows which of them are, on both sides, and the others are judged by themselves.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import permutations
from typing import Final, NamedTuple, TypeAlias

from candidate import Candidate

from ..judging.differential import DIVERGENCE, REGRESSION, Differential, Finding, Lockstep, Verdict
from ..language.operations import Par, Switch
from ..language.program import Program, refusal
from .places import SwitchPlace, SwitchPlaces

# A schedule is judged together with at most so many others.
_MOST_ALIKE: Final = 20000


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
    """

    schedules: list[int] = field(default_factory=list)
    judged: int = 0
    shown: dict[tuple[str, str], Shown] = field(default_factory=dict)
    refused: str = ""
    whole: bool = True
    programs: int = 1

    def add(self, other: "Explored") -> None:
        """Add what came of other programs, with as many preemptions at most."""
        self.programs += other.programs
        self.schedules = [ours + theirs for ours, theirs in zip(self.schedules, other.schedules, strict=True)]
        self.judged += other.judged
        self.refused = other.refused
        self.whole = self.whole and other.whole
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
    yield from map(block.in_order, permutations(block.cpus))


class Placed(NamedTuple):
    """A switch of a schedule.

    :param at: the steps of its vCPU before it, of reference and candidate (`SwitchPlace.at`); -1: the reference does
        not come there
    """

    switch: Switch
    at: tuple[int, int]


Schedule: TypeAlias = tuple[Placed, ...]


class Batch(NamedTuple):
    """Schedules that are thought to be the same.

    :param begun: the block without switches
    :param first: the schedule that is judged
    :param others: may be judged by it
    """

    begun: Par
    first: Schedule = ()
    others: Sequence[Schedule] = ()


class Judged:
    """The run of a schedule on both sides, once it is over.

    :param batch: the schedule, and others
    :param sides: the places of reference and candidate
    """

    def __init__(self, batch: Batch, sides: tuple[SwitchPlaces, SwitchPlaces]) -> None:
        self.batch = batch
        self.sides = sides
        self.numbers = {cpu: number for number, cpu in enumerate(batch.begun.cpus, 1)}
        self.known: dict[tuple[int, tuple[int, int]], bool] = {}

    @property
    def places(self) -> list[SwitchPlace]:
        """The places of the candidate behind the last switch."""
        return self.sides[1].found

    def same(self, other: Schedule) -> bool:
        """Tell whether another schedule differs only in the order of independent steps."""
        return all(
            ours == theirs or self.moves(number, ours, theirs.at)
            for number, (ours, theirs) in enumerate(zip(self.batch.first, other, strict=True))
        )

    def moves(self, number: int, ours: Placed, at: tuple[int, int]) -> bool:
        """Tell whether a switch may as well come later: *at* as of `Placed`."""
        found = self.known.get((number, at))
        if found is None:
            actor = self.numbers[ours.switch.cpu]
            found = all(
                0 <= first < end and side.footprints.can_move(number, actor, first, end)
                for side, first, end in zip(self.sides, ours.at, at, strict=True)
            )
            self.known[number, at] = found
        return found

    def next_places(self, apart: bool) -> Iterator[list[Placed]]:
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
        yield from lists


class Explorer:
    """Judges schedules.

    :param reference: the version that counts as the original
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
        """Judge all of them."""
        block = self.program.operations[self.at]
        assert isinstance(block, Par)
        for begun in orders(block):
            left = [Batch(begun)]
            while left:
                if self.over():
                    self.explored.whole = False
                    return self.explored
                # The last one first, so that they are judged in the order of the run.
                left += reversed(self.judge(left.pop()))
                if self.explored.refused:
                    return self.explored
        return self.explored

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
        same = [batch.first]
        other: list[Schedule] = []
        for each in batch.others:
            (same if judged.same(each) else other).append(each)
        self.explored.judged += 1
        self.explored.schedules[len(batch.first)] += len(same)
        self.take(program, verdict, len(same))
        further: list[Batch] = []
        if len(batch.first) < self.preemptions:
            for places in judged.next_places(not self.reduction):
                further += longer(batch.begun, same, places)
        if other:
            further.append(Batch(batch.begun, other[0], other[1:]))
        return further

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


def longer(begun: Par, same: Sequence[Schedule], places: Sequence[Placed]) -> Iterator[Batch]:
    """Yield the schedules with one more switch.

    :param begun: the block
    :param same: schedules that are the same, the one that has run first
    :param places: those that the switch may have, the first one of the run first
    """
    alike = max(_MOST_ALIKE // len(same), 1)
    for start in range(0, len(places), alike):
        few = places[start : start + alike]
        all_of_them = [(*each, place) for place in few for each in same if each is same[0] or behind(each, place)]
        yield Batch(begun, all_of_them[0], all_of_them[1:])


def behind(schedule: Schedule, place: Placed) -> bool:
    """Tell whether a vCPU comes to a place when all switches of a schedule have taken place."""
    for each in reversed(schedule):
        if each.switch.cpu == place.switch.cpu:
            return place.at[1] > each.at[1]
    return True
