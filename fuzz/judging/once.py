# SPDX-License-Identifier: GPL-2.0-only
"""Judge a pair of kernel trees once where both behave identically.

Most programs do not reach the lines by which a patch changes a tree. Then the records of both trees are the same, and
so is everything that checkers see. The reference is judged; the candidate runs beside it as a twin, and digests of
everything that it does are compared. At the first difference the program is judged again in full. If both trees behave
identically and there is something to report, the candidate is also judged alone, because its violations name its own
functions and lines.
"""

from candidate import Candidate
from candidate.tree.lines.code import code_lines
from candidate.tree.runtime.errors import TwinDiffersError
from candidate.tree.runtime.tree import TreeSide
from candidate.tree.runtime.versions import TreePgtable
from reference.zero_runs import DECLARATION

from ..checkers import Violation
from ..execution.executor import Executor
from ..features.features import Features
from ..language.program import Program
from ..sides.pulse import CANDIDATE, REFERENCE
from .conditions import Conditions
from .cost import Comparison, Cost
from .verdict import Judge, Verdict


def alike(reference: Candidate, candidate: Candidate) -> bool:
    """Return whether both are trees of which checkers require the same."""
    return reference.is_tree and candidate.is_tree and declare_the_same(reference, candidate)


def declare_the_same(reference: Candidate, candidate: Candidate) -> bool:
    """Return whether checkers require the same of two versions."""
    return all(
        declared(ours) == declared(theirs)
        for ours, theirs in (
            (reference.pgtable, candidate.pgtable),
            (reference.mmu, candidate.mmu),
            (reference.tlb, candidate.tlb),
            (reference.main, candidate.main),
        )
    )


def declared(version: type[object]) -> dict[str, object]:
    """Return what a version declares, by name, except the declaration that only makes it faster."""
    return {name: getattr(version, name) for name in dir(version) if name.isupper() and name != DECLARATION}


class SideAlone:
    """One side of a program, judged on its own.

    *found*: its violations so far, with the known bugs that explain them

    :param number: as in `fuzz.execution.executor.Executor`
    """

    def __init__(self, version: Candidate, program: Program, number: int) -> None:
        self.executor = Executor(version, program, number)
        self.conditions = Conditions(self.executor)
        tree = self.executor.tree
        assert tree is not None
        self.tree: TreeSide = tree
        self.found: list[Violation] = []

    def run(self, seen: Features | None = None) -> bool:
        """Run the program to its end; return whether it got that far.

        :param seen: collects features, with this side as both sides
        :raises TwinDiffersError: the twin behaves differently
        """
        executor = self.executor
        found = self.record(executor.create())
        if seen is not None:
            seen.compare(None, None, (found, found))
        for at, operation in enumerate(executor.program.operations):
            if executor.dead:
                return False
            outcome, violations = executor.step(at)
            found = self.record(violations)
            if seen is not None:
                seen.compare(operation, (outcome, outcome), (found, found))
        if executor.dead:
            return False
        self.conditions.before_operation(None)
        found = self.record(executor.destroy())
        if seen is not None:
            seen.compare(None, None, (found, found))
        return not executor.dead

    def record(self, found: list[Violation]) -> list[Violation]:
        """Record violations and explain them by known bugs; return them."""
        if found:
            self.conditions.explain(found)
            self.found += found
        return found

    def dismantle(self) -> None:
        """Release the executor after the run."""
        self.executor.dismantle()


def judge_once(
    reference: Candidate, candidate: Candidate, program: Program, measure: bool, features: bool
) -> Verdict | None:
    """Return the verdict on a program on which two trees behave identically; None if they do not, or without a verdict.

    :param measure: as in `fuzz.judging.differential.Differential`
    :param features: likewise
    """
    left = SideAlone(reference, program, REFERENCE)
    assert issubclass(candidate.pgtable, TreePgtable)
    tree = left.tree
    tree.twin_library = candidate.pgtable.library
    costs = Cost(left.executor) if measure else None
    seen = Features(left.executor, left.executor) if features else None
    same = False
    try:
        if left.run(seen):
            tree.settle()
            same = True
    except TwinDiffersError:
        pass
    finally:
        left.dismantle()
    verdict: Verdict | None = None
    if same:
        verdict = judged(reference, candidate, left)
    if verdict is None or verdict.refused:
        tree.withdraw()
        return None
    verdict.same = True
    if costs is not None:
        verdict.costs = Comparison(costs.totals(), costs.totals(), True)
    # The counters of a tree's code are available once its program is over.
    verdict.counts.add(tree.counted, tree.counters)
    verdict.counts.add(tree.twin_counted, tree.twin_counters)
    if seen is not None:
        ours = path_features(tree.counted, tree.counters)
        same = tree.twin_counted == tree.counted and tree.twin_counters == tree.counters
        theirs = ours if same else path_features(tree.twin_counted, tree.twin_counters)
        verdict.features = seen.total((ours, theirs))
    return verdict


def judged(reference: Candidate, candidate: Candidate, left: SideAlone) -> Verdict | None:
    """Return the findings if the candidate did what the reference did; None: their violations differ.

    :param left: the reference, whose run is over
    """
    if not left.found:
        return Verdict()
    theirs = left.found
    if left.tree.twin_counted != left.tree.counted:
        right = SideAlone(candidate, left.executor.program, CANDIDATE)
        right.executor.side.hold_to(reference)
        try:
            ended = right.run()
        finally:
            right.dismantle()
        # The tree was already counted as a twin.
        right.tree.withdraw()
        theirs = right.found
        if not ended or [each.signature for each in theirs] != [each.signature for each in left.found]:
            return None
    return Judge(reference, candidate, left.executor.side.granule).judge(left.found, theirs, [])


def path_features(library: str, counters: bytes) -> set[int]:
    """Return the features of a tree's code that ran: each path through it that was counted."""
    return set(code_lines(library).features(counters)) if library else set()
