# SPDX-License-Identifier: GPL-2.0-only
"""Judge a pair of ports once where both behave identically.

As with kernel trees (`fuzz.judging.once`), only the reference is judged while both make the same events. The
candidate runs without checkers. At the first difference the program is judged again in full.
"""

from collections.abc import Callable
from typing import Final

from candidate import Candidate
from candidate.tree.runtime.errors import TwinDiffersError

from ..checkers import Violation
from ..execution.executor import Executor
from ..features.features import Features
from ..language.operations import Operation, TableRelax
from ..language.program import Program, has_blocks
from ..sides.outcome import Outcome
from ..sides.pulse import CANDIDATE
from .conditions import Conditions
from .cost import Comparison, Cost
from .notes import notes_of
from .once import declare_the_same
from .stream import Stream
from .verdict import Judge, Verdict

# `PATIENCE` programs may be judged again for free. After that, each needs `OUTWEIGH` programs judged once.
PATIENCE: Final = 8
OUTWEIGH: Final = 2


def ports_alike(reference: Candidate, candidate: Candidate) -> bool:
    """Return whether both are ports of which checkers require the same."""
    return not (reference.is_tree or candidate.is_tree) and declare_the_same(reference, candidate)


class PortOnce:
    """Judges programs on two ports, as long as most need no second judgement.

    :param reference: a port
    :param candidate: another port; `ports_alike` holds for the two
    """

    def __init__(self, reference: Candidate, candidate: Candidate) -> None:
        self.reference = reference
        self.candidate = candidate
        self.patience = PATIENCE
        # The numbers of programs that were judged once, and that had to be judged again.
        self.once = 0
        self.again = 0

    def pays(self, program: Program) -> bool:
        """Return whether to judge a program this way: the versions seldom differ, and it needs no checker to run."""
        if self.again > self.patience + self.once // OUTWEIGH or has_blocks(program):
            return False
        return not any(isinstance(operation, TableRelax) for operation in program.operations)

    def judge(self, program: Program, measure: bool, features: bool) -> Verdict | None:
        """Return the verdict on a program on which both behave identically; None if they do not.

        :param measure: as in `fuzz.judging.differential.Differential`; likewise *features*
        """
        pair = PortPair(self.reference, self.candidate, program, measure, features)
        try:
            same = pair.run()
        except TwinDiffersError:
            same = False
        finally:
            pair.dismantle()
        if not same:
            self.again += 1
            return None
        self.once += 1
        return pair.verdict()


class PortPair:
    """A judged reference and an unjudged candidate beside it, running one program.

    :param measure: as in `PortOnce.judge`; likewise *features*
    """

    def __init__(
        self, reference: Candidate, candidate: Candidate, program: Program, measure: bool, features: bool
    ) -> None:
        self.program = program
        self.left = Executor(reference, program)
        self.right = Executor(candidate, program, CANDIDATE, judged=False)
        self.right.side.hold_to(reference)
        self.judge = Judge(reference, candidate, self.left.side.granule)
        self.conditions = Conditions(self.left)
        self.costs = Cost(self.left) if measure else None
        self.features = Features(self.left, self.left) if features else None
        self.streams = Stream(self.left.side.kernel), Stream(self.right.side.kernel)
        self.found: list[Violation] = []
        self.notes: list[str] = []

    def run(self) -> bool:
        """Run the program to its end; return whether both got that far, and did the same.

        :raises TwinDiffersError: the candidate does more
        """
        if not self.both(self.left.create, self.right.create):
            return False
        for at, operation in enumerate(self.program.operations):
            outcome, found = self.left.step(at)
            self.limit()
            other, _ = self.right.step(at)
            if not self.in_step() or not equal(outcome, other):
                return False
            self.notes += notes_of(at, outcome, other)
            self.take(operation, outcome, found)
        self.conditions.before_operation(None)
        return self.both(self.left.destroy, self.right.destroy)

    def both(self, left: Callable[[], list[Violation]], right: Callable[[], list[Violation]]) -> bool:
        """Create or destroy the VMs of both sides; return whether both continue, and did the same."""
        found = left()
        self.limit()
        right()
        if not self.in_step():
            return False
        self.take(None, None, found)
        return True

    def limit(self) -> None:
        """Limit the candidate to the number of events of the reference, because it could run forever."""
        ours, theirs = self.streams
        theirs.most = ours.count

    def in_step(self) -> bool:
        """Return whether both sides continue and have done the same so far."""
        left, right = self.left, self.right
        if left.dead or right.dead or left.refused or right.refused:
            return False
        return self.streams[0].same_as(self.streams[1])

    def take(self, operation: Operation | None, outcome: Outcome | None, found: list[Violation]) -> None:
        """Record the violations and features of an operation, for both sides.

        :param operation: None: the creation or destruction of the VMs
        """
        if found:
            self.conditions.explain(found)
            self.found += found
        if self.features is not None:
            outcomes = None if outcome is None else (outcome, outcome)
            self.features.compare(operation, outcomes, (found, found))

    def verdict(self) -> Verdict:
        """Return the verdict, after the end."""
        verdict = self.judge.judge(self.found, self.found, [])
        verdict.notes += self.notes
        if self.costs is not None:
            verdict.costs = Comparison(self.costs.totals(), self.costs.totals(), True)
        if self.features is not None:
            verdict.features = self.features.total()
        return verdict

    def dismantle(self) -> None:
        """Release both executors after the run."""
        for side in (self.left, self.right):
            side.dismantle()


def equal(one: Outcome, other: Outcome) -> bool:
    """Return whether two outcomes are the same in every attribute."""
    return (
        one.same_as(other)
        and one.value == other.value
        and one.faults == other.faults
        and one.predictable == other.predictable
        and one.detail == other.detail
        and one.answers == other.answers
        and all(equal(mine, theirs) for mine, theirs in zip(one.parts, other.parts, strict=True))
    )
