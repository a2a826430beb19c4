# SPDX-License-Identifier: GPL-2.0-only
"""Every schedule of a par block with so many preemptions, judged.

A preemption is a switch: a vCPU that waits, or is done, gives way without one. The vCPUs begin in each order. Each
schedule has its switches in the order in which they take place, so none is judged twice.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import permutations

from candidate import Candidate

from ..judging.differential import DIVERGENCE, REGRESSION, Differential, Finding, Lockstep, Verdict
from ..language.operations import Par
from ..language.program import Program, refusal
from .places import SwitchPlace, SwitchPlaces


@dataclass(slots=True)
class Shown:
    """A finding that schedules show.

    :param program: the first with the fewest switches
    :param schedules: how many show it
    """

    finding: Finding
    program: Program
    schedules: int = 0


@dataclass(slots=True)
class Explored:
    """The outcome of exploring one program.

    :param schedules: how many were judged, by their number of preemptions
    :param shown: the findings, by class and signature
    :param refused: why there is no verdict, "" if there is one
    :param whole: False if there was no more time
    """

    schedules: list[int] = field(default_factory=list)
    shown: dict[tuple[str, str], Shown] = field(default_factory=dict)
    refused: str = ""
    whole: bool = True

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


class Explorer:
    """Judges schedules.

    :param reference: the version that counts as the original
    :param candidate: the version whose run says at which places there may be a switch
    :param program: a valid one, with one block
    :param preemptions: at most so many
    :param over: asked after each; True: there is no more time
    """

    def __init__(
        self,
        reference: Candidate,
        candidate: Candidate,
        program: Program,
        preemptions: int,
        over: Callable[[], bool] = lambda: False,
    ) -> None:
        self.differential = Differential(reference, candidate)
        self.program = program
        self.at = block_of(program)
        self.preemptions = preemptions
        self.over = over
        self.explored = Explored([0] * (preemptions + 1))

    def run(self) -> Explored:
        """Judge all of them."""
        block = self.program.operations[self.at]
        assert isinstance(block, Par)
        for begun in orders(block):
            left = [begun]
            while left:
                if self.over():
                    self.explored.whole = False
                    return self.explored
                schedule = left.pop()
                places = self.judge(schedule)
                if self.explored.refused:
                    return self.explored
                if len(schedule.switches) < self.preemptions:
                    # The last one first, so that they are judged in the order of the run.
                    left += reversed(list(longer(schedule, places)))
        return self.explored

    def judge(self, schedule: Par) -> list[SwitchPlace]:
        """Judge one schedule; return the places behind its last switch."""
        operations = (*self.program.operations[: self.at], schedule, *self.program.operations[self.at + 1 :])
        program = replace(self.program, operations=operations)
        run = Lockstep(self.differential, program)
        places = SwitchPlaces(run.right)
        for at in range(len(operations)):
            run.step(at)
        verdict = run.end()
        self.explored.refused = verdict.refused
        self.explored.schedules[len(schedule.switches)] += 1
        self.take(program, verdict)
        return places.found

    def take(self, program: Program, verdict: Verdict) -> None:
        """Take in the verdict on one schedule."""
        for finding in verdict.findings:
            key = (finding.kind, finding.signature)
            shown = self.explored.shown.setdefault(key, Shown(finding, program))
            shown.schedules += 1
            if switches(program, self.at) < switches(shown.program, self.at):
                shown.program, shown.finding = program, finding


def switches(program: Program, at: int) -> int:
    """The number of switches of the block at an index."""
    block = program.operations[at]
    return len(block.switches) if isinstance(block, Par) else 0


def longer(schedule: Par, places: list[SwitchPlace]) -> Iterator[Par]:
    """Yield the schedules with one more switch, behind those that there are."""
    taken = {each.anchor for each in schedule.switches}
    for place in places:
        if place.switch.anchor not in taken:
            for cpu in place.others:
                yield replace(schedule, switches=(*schedule.switches, replace(place.switch, to=cpu)))
