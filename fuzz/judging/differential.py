# SPDX-License-Identifier: GPL-2.0-only
"""The lockstep comparison of both sides of a program, operation by operation."""

from typing import Final

from candidate import Candidate
from candidate.tree.runtime.tree import TreeSide
from reference.vtcr import VTCR_EL2_HD

from ..checkers import Violation
from ..execution.executor import Executor, lacking
from ..features.features import Features
from ..language.operations import (
    HostAge,
    HostTestAge,
    Operation,
    Par,
    TableIsYoung,
    TableMkold,
    fail_of,
)
from ..language.operations.declaration import title_of
from ..language.program import Program, has_blocks
from ..sides.outcome import Outcome
from ..sides.pulse import CANDIDATE
from .conditions import Conditions
from .cost import Comparison, Cost
from .finding import CLASSES, COMMON, CURED, DIVERGENCE, REGRESSION, Finding
from .notes import notes_of
from .once import alike, judge_once, path_features
from .port_once import PortOnce, ports_alike
from .stretch import Stretches
from .tables import maps_differ
from .unrecorded import AgeFlags, Unrecorded
from .verdict import Judge, Verdict

__all__ = ["CLASSES", "COMMON", "CURED", "DIVERGENCE", "REGRESSION", "Differential", "Finding", "Lockstep", "Verdict"]

# The signature of a difference of VTCR_EL2.
VTCR_EL2: Final = "VTCR_EL2"
# Operations whose result is the age of pages.
AGES: Final = (HostAge, HostTestAge, TableIsYoung, TableMkold)


class Differential:
    """Runs a program on two versions, operation by operation.

    :param reference: the version that the candidate is compared with
    :param candidate: the version under test
    :param measure: whether verdicts have `Verdict.costs`; may be changed between runs
    :param features: whether verdicts have `Verdict.features`; likewise
    """

    def __init__(
        self, reference: Candidate, candidate: Candidate, measure: bool = False, features: bool = False
    ) -> None:
        self.reference = reference
        self.candidate = candidate
        self.measure = measure
        self.features = features
        # Two trees are judged once where they behave identically; if False, both are judged.
        self.once = alike(reference, candidate)
        # The same for two ports.
        self.ports = PortOnce(reference, candidate) if ports_alike(reference, candidate) else None
        # The number of programs of two trees that were judged again in full.
        self.again = 0

    def run(self, program: Program) -> Verdict:
        """Return the verdict on one valid program."""
        if lacks := lacking(self.reference, self.candidate, program):
            return Verdict(refused=lacks)
        # A twin can follow only one actor.
        if self.once and not has_blocks(program):
            verdict = judge_once(self.reference, self.candidate, program, self.measure, self.features)
            if verdict is not None:
                return verdict
            self.again += 1
        if self.ports is not None and self.ports.pays(program):
            verdict = self.ports.judge(program, self.measure, self.features)
            if verdict is not None:
                return verdict
        run = Lockstep(self, program)
        for at in range(len(program.operations)):
            run.step(at)
        return run.end()


class Lockstep:
    """Both sides of a program, stepped together.

    :param differential: the versions, and the options of the comparison
    :param program: a valid program; it may grow while it runs
    """

    def __init__(self, differential: Differential, program: Program) -> None:
        self.differential = differential
        self.left = Executor(differential.reference, program)
        self.right = Executor(differential.candidate, program, CANDIDATE)
        self.right.side.hold_to(differential.reference)
        self.judge = Judge(differential.reference, differential.candidate, self.left.side.granule)
        self.conditions = (Conditions(self.left), Conditions(self.right))
        self.flags = AgeFlags(Unrecorded(self.left), Unrecorded(self.right))
        self.costs = (Cost(self.left), Cost(self.right)) if differential.measure else None
        self.features = Features(self.left, self.right) if differential.features else None
        self.stretches = Stretches(self.left, self.right)
        self.held_long: dict[str, Finding] = {}
        self.differences: dict[str, Finding] = {}
        self.notes: list[str] = []
        # No par block has run, no mapping depended on the age of a leaf, and the same writes have taken faults: the
        # program determines what is mapped.
        self.ordered = True
        self.found: tuple[list[Violation], list[Violation]] = ([], [])
        self.take(self.left.create(), self.right.create())
        self.compare_registers()
        self.compare(-1, None)
        if self.features is not None:
            self.features.compare(None, None, self.found)

    @property
    def program(self) -> Program:
        return self.left.program

    @property
    def dead(self) -> bool:
        """True if the kernel code of a side crashed or ran away: nothing can run on it any more."""
        return self.left.dead or self.right.dead

    def take(self, ours: list[Violation], theirs: list[Violation]) -> None:
        """Add the violations of the two sides, explained by known bugs."""
        for side, more in enumerate((ours, theirs)):
            if more:
                self.conditions[side].explain(more)
                self.found[side].extend(more)

    def step(self, at: int) -> None:
        """Run operation number *at* on both sides, unless one is dead."""
        if self.dead:
            return
        a, ours = self.left.step(at)
        b, theirs = self.right.step(at)
        if self.left.refused or self.right.refused:
            return
        self.take(ours, theirs)
        self.notes += notes_of(at, a, b)
        self.compare(at, (a, b))
        held = self.stretches.compare()
        if held is not None:
            kind = REGRESSION if held.candidate else CURED
            self.held_long.setdefault(held.signature, Finding(kind, held.signature, held.reason, at))
        if self.features is not None:
            self.features.compare(self.program.operations[at], (a, b), (ours, theirs))

    def compare_registers(self) -> None:
        """Add the first difference between the VTCR_EL2 that the two sides' trees composed."""
        for left, right in zip(self.left.side.guests, self.right.side.guests, strict=True):
            a, b = left.kvm.composed_vtcr, right.kvm.composed_vtcr
            # The checkers judge how a side uses the dirty state that the hardware manages.
            if a and b and (a ^ b) & ~VTCR_EL2_HD:
                names = self.differential
                text = f"{names.reference.name}: {a:#x}; {names.candidate.name}: {b:#x}"
                self.differences[VTCR_EL2] = Finding(DIVERGENCE, VTCR_EL2, text, -1)
                return

    def compare(self, at: int, outcomes: tuple[Outcome, Outcome] | None) -> None:
        """Add the differences between the sides at this quiet point; each signature only once."""
        differences = self.differences
        mapped_over = False
        if outcomes is not None:
            a, b = outcomes
            op = self.program.operations[at]
            mapped_over = self.flags.maps_over(op)
            if not a.same_as(b):
                signature = f"result: {title_of(type(op))}"
                # The age of pages depends on which actor came first, as the map does.
                asked_for = fail_of(op) is not None or (not self.ordered and isinstance(op, AGES))
                if signature not in differences and not asked_for and not mapped_over and not self.flags.answer(op):
                    names = self.differential
                    text = f"{names.reference.name}: {a}; {names.candidate.name}: {b}"
                    differences[signature] = Finding(DIVERGENCE, signature, text, at)
        # After a block, the tables may show the order in which vCPUs mapped: legal schedules differ in the age, size
        # and presence of what both map. The checkers judge frames and rights, on each side.
        # The same holds for mappings over leaves whose age the hardware need not have recorded.
        # A fault may change the size of a mapping, so it also holds if one side takes no fault where the other does.
        fewer_faults = self.left.side.dirtied != self.right.side.dirtied
        if at >= 0 and (isinstance(self.program.operations[at], Par) or mapped_over or fewer_faults):
            self.ordered = False
        if self.ordered and "map" not in differences:
            text = maps_differ(self.left.checkers, self.right.checkers, self.flags)
            if text:
                differences["map"] = Finding(DIVERGENCE, "map", text, at)
        self.flags.settle()

    def add(self, operation: Operation) -> None:
        """Append an operation, legal at the end of the program, and run it."""
        program = self.program
        self.left.program = self.right.program = Program(program.vm, program.slots, (*program.operations, operation))
        self.step(len(program.operations))

    def verdict(self) -> Verdict:
        """Return the verdict so far, without costs and features."""
        refused = self.left.refused or self.right.refused
        if refused:
            return Verdict(refused=refused)
        verdict = self.judge.judge(self.found[0], self.found[1], list(self.differences.values()))
        verdict.findings += self.held_long.values()
        verdict.notes += self.notes
        return verdict

    def end(self) -> Verdict:
        """Destroy both sides, and return the whole verdict."""
        crashed = self.dead
        for conditions in self.conditions:
            conditions.before_operation(None)
        ours, theirs = self.left.destroy(), self.right.destroy()
        self.take(ours, theirs)
        verdict = self.verdict()
        if verdict.refused:
            self.costs = self.features = None
        if self.costs is not None:
            verdict.costs = Comparison(self.costs[0].totals(), self.costs[1].totals(), not crashed)
        if self.features is not None:
            self.features.compare(None, None, (ours, theirs))
        trees = self.left.tree, self.right.tree
        for side in (self.left, self.right):
            side.dismantle()
        # The counters of a tree's code are available once its program is over.
        for tree in trees:
            if tree is not None and verdict.refused:
                tree.leave_unjudged()
            elif tree is not None:
                verdict.counts.add(tree.counted, tree.counters)
        if self.features is not None:
            verdict.features = self.features.total((tree_path_features(trees[0]), tree_path_features(trees[1])))
        return verdict


def tree_path_features(tree: TreeSide | None) -> set[int]:
    """Return the features of the tree code that ran; none for a port."""
    return set() if tree is None else path_features(tree.counted, tree.counters)
