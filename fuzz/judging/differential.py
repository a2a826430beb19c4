# SPDX-License-Identifier: GPL-2.0-only
"""Both sides of a program side by side, and what the difference means."""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from typing import Final

from candidate import Candidate
from reference.machine.descriptor import describe
from reference.machine.granule import Granule
from reference.machine.stage1 import describe_stage1

from ..checkers import Checkers, Outcome, Violation
from ..checkers.places import Places, Range
from ..checkers.shadow import Table
from ..execution.executor import Executor
from ..language.operations import Operation, fail_of
from ..language.program import Program
from .cost import Comparison, Cost
from .features import Features
from .known import known_bug
from .stretch import Stretches

REGRESSION: Final = "regression"
CURED: Final = "cured"
COMMON: Final = "common"
DIVERGENCE: Final = "divergence"

CACHE_CHECKERS: Final = ("dcache", "icache")

# In the order of weight.
CLASSES: Final = (REGRESSION, DIVERGENCE, COMMON, CURED)


@dataclass(frozen=True)
class Finding:
    """What one program says about a candidate.

    :param kind: regression, cured, common or divergence
    :param signature: checker, kernel function, event, level; the key for dedup
    :param reason: one line for people
    :param at: index of the operation; -1 at creation, the number of operations at destruction
    """

    kind: str
    signature: str
    reason: str
    at: int


@dataclass
class Verdict:
    """The findings of one program, and what followed from them.

    *consequences*: violations after the first of a side, without weight;
    *costs*: of both sides, None where they were not measured;
    *features*: what is new about the program is told by (`fuzz.judging.features`),
    sorted; () where they were not asked for
    """

    findings: list[Finding] = field(default_factory=list)
    consequences: list[tuple[str, Violation]] = field(default_factory=list)
    costs: Comparison | None = None
    features: tuple[int, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether the candidate is worse, or differs for no known reason."""
        return any(finding.kind in (REGRESSION, DIVERGENCE) for finding in self.findings)

    def kinds(self) -> list[str]:
        """The distinct (kind, signature) pairs as text, sorted."""
        return sorted({f"{finding.kind} {finding.signature}" for finding in self.findings})


class Index:
    """The violations of one side, for matching those of the other against them.

    :param violations: in the order they happened
    """

    def __init__(self, violations: list[Violation]) -> None:
        ranges: dict[tuple[str, int], list[Range]] = {}
        self.events: set[tuple[str, int, str]] = set()
        for violation in violations:
            ranges.setdefault((violation.checker, violation.at), []).extend(violation.places.ranges)
            self.events.add((violation.checker, violation.at, violation.what))
        self.places = {key: Places(found) for key, found in ranges.items()}

    def shares(self, violation: Violation) -> bool:
        """Whether this side broke the same rule too, for the same pages, at the same point.

        Functions are not compared: the two sides often do it in different
        ones. Where no pages are concerned it must be the same event.
        """
        if violation.places:
            there = self.places.get((violation.checker, violation.at))
            return there is not None and violation.places.within(there)
        return (violation.checker, violation.at, violation.what) in self.events


def weighty(violations: list[Violation], others: Index) -> list[Violation]:
    """The violations of one side that count, each signature once.

    What comes after a violation that taints may follow from it. Where the
    other side shares that violation, the two still stand alike: then only
    what they share is left out, and what they do not counts. Pages whose
    caches were not maintained once stay so: the same checker's later word on
    the same pages follows from the first.
    """
    found: list[Violation] = []
    seen: set[str] = set()
    spoiled = {checker: Places() for checker in CACHE_CHECKERS}
    tainted = False
    for violation in violations:
        shared = others.shares(violation)
        pages = spoiled.get(violation.checker)
        if pages is not None:
            follows = bool(violation.places) and violation.places.within(pages)
            spoiled[violation.checker] = pages.joined(violation.places)
            if follows:
                continue
        if violation.signature in seen or (shared and tainted):
            continue
        seen.add(violation.signature)
        found.append(violation)
        if violation.taints:
            if not shared:
                break
            tainted = True
    return found


def astray(violations: list[Violation], others: Index) -> float:
    """The operation from which on a side alone had gone wrong, so that what it does not do proves nothing."""
    return min([v.at for v in violations if v.taints and not others.shares(v)], default=inf)


def explains(violations: list[Violation], others: Index) -> float:
    """The operation from which on what one side did wrong can be why the two differ.

    Caches that were not maintained can, on both sides; what harms nothing
    cannot, nor what both did alike.
    """
    return min([astray(violations, others), *[v.at for v in violations if v.checker in CACHE_CHECKERS]])


def compare_tables(
    a: Table | None, b: Table | None, granule: Granule, show: Callable[[int, int, Granule], str] = describe
) -> str:
    """The first difference between two live tables, as text; "" if they map alike.

    :param show: decodes an entry
    """
    if a is None or b is None:
        table = a or b
        return f"only one side maps by pages from {table.base:#x}" if table is not None and table.has_leaves() else ""
    for index in sorted(a.leaves.keys() | b.leaves.keys()) if a.leaves != b.leaves else ():
        left, right = a.leaves.get(index, 0), b.leaves.get(index, 0)
        if left != right:
            ipa = a.base + (index << granule.level_shift(a.level))
            return f"{ipa:#x}, level {a.level}: {show(left, a.level, granule)}; {show(right, a.level, granule)}"
    if a.children or b.children:
        indices = sorted(a.children)
        if indices != sorted(b.children):
            indices = sorted(a.children.keys() | b.children.keys())
        for index in indices:
            text = compare_tables(a.children.get(index), b.children.get(index), granule, show)
            if text:
                return text
    return ""


class Differential:
    """Runs a program on two versions, operation by operation.

    :param reference: the version that counts as the original
    :param candidate: the version under test
    :param measure: whether verdicts have `Verdict.costs`; may be changed between runs
    :param features: whether they have `Verdict.features`; likewise
    """

    def __init__(
        self, reference: Candidate, candidate: Candidate, measure: bool = False, features: bool = False
    ) -> None:
        self.reference = reference
        self.candidate = candidate
        self.measure = measure
        self.features = features

    def run(self, program: Program) -> Verdict:
        """The verdict on one valid program."""
        run = Run(self, program)
        for at in range(len(program.operations)):
            run.step(at)
        return run.end()

    def compare(
        self,
        left: Executor,
        right: Executor,
        at: int,
        outcomes: tuple[Outcome, Outcome] | None,
        differences: dict[str, Finding],
    ) -> None:
        """Add what can be told apart at this quiet point, each signature the first time only."""
        if outcomes is not None:
            a, b = outcomes
            op = left.program.operations[at]
            signature = f"result: {type(op).__name__}"
            asked_for = fail_of(op) is not None
            if signature not in differences and not asked_for and not a.same_as(b):
                text = f"{self.reference.name}: {a}; {self.candidate.name}: {b}"
                differences[signature] = Finding(DIVERGENCE, signature, text, at)
        if "map" not in differences:
            text = self.maps_differ(left.checkers, right.checkers)
            if text:
                differences["map"] = Finding(DIVERGENCE, "map", text, at)

    def maps_differ(self, left: Checkers, right: Checkers) -> str:
        """The first difference between what the two sides map, as text.

        There was none before this operation: tables that neither side wrote to since are alike.
        """
        for number, a in enumerate(left.shadows):
            b = right.shadows[number]
            if not a.touched and not b.touched:
                continue
            for root_a, root_b in zip(a.roots, b.roots, strict=False):
                text = compare_tables(root_a, root_b, a.granule)
                if text:
                    return f"VM {a.guest.number}: {text}" if a.guest.number else text
        if not left.hyp.touched and not right.hyp.touched:
            return ""
        text = compare_tables(left.hyp.root, right.hyp.root, left.hyp.granule, describe_stage1)
        return f"hyp: {text}" if text else ""

    def judge(self, original: list[Violation], patched: list[Violation], differences: list[Finding]) -> Verdict:
        """Classes of findings from both sides' violations, in order, and the differences seen."""
        verdict = Verdict()
        by_original, by_patched = Index(original), Index(patched)
        ours = weighty(original, by_patched)
        theirs = weighty(patched, by_original)
        # From then on the original is not put to what meets its known bugs here.
        parted = min([difference.at for difference in differences if difference.signature == "map"], default=inf)
        original_astray, patched_astray = astray(original, by_patched), astray(patched, by_original)
        for violation in theirs:
            common = by_original.shares(violation)
            if not common and (violation.at >= original_astray or violation.at > parted):
                common = known_bug(violation.signature, self.reference.name) is not None
            verdict.findings.append(self.finding(COMMON if common else REGRESSION, violation))
        told = Index(theirs)
        for violation in ours:
            if not by_patched.shares(violation):
                if violation.at < patched_astray:
                    verdict.findings.append(self.finding(CURED, violation))
            elif not told.shares(violation):
                verdict.findings.append(self.finding(COMMON, violation))
        for side, violations, first in (("original", original, ours), ("candidate", patched, theirs)):
            verdict.consequences += [(side, violation) for violation in violations if violation not in first]
        explained = min(explains(original, by_patched), explains(patched, by_original))
        for difference in differences:
            if difference.at < explained:
                verdict.findings.append(difference)
        return verdict

    def finding(self, kind: str, violation: Violation) -> Finding:
        return Finding(kind, violation.signature, violation.reason, violation.at)


class Run:
    """Both sides of a program, stepped together.

    :param differential: says what is compared
    :param program: a valid one; it may grow while it runs
    """

    def __init__(self, differential: Differential, program: Program) -> None:
        self.differential = differential
        self.left = Executor(differential.reference, program)
        self.right = Executor(differential.candidate, program)
        self.costs = (Cost(self.left), Cost(self.right)) if differential.measure else None
        self.features = Features(self.left, self.right) if differential.features else None
        self.stretches = Stretches(self.left, self.right)
        self.held_long: dict[str, Finding] = {}
        self.differences: dict[str, Finding] = {}
        self.found = (self.left.create(), self.right.create())
        differential.compare(self.left, self.right, -1, None, self.differences)
        if self.features is not None:
            self.features.compare(None, None, self.found)

    @property
    def program(self) -> Program:
        return self.left.program

    @property
    def dead(self) -> bool:
        """Whether the kernel code of a side crashed or ran away: nothing can run after it."""
        return self.left.dead or self.right.dead

    def step(self, at: int) -> None:
        """Run operation number *at* on both sides, unless one is dead."""
        if self.dead:
            return
        a, ours = self.left.step(at)
        b, theirs = self.right.step(at)
        self.found[0].extend(ours)
        self.found[1].extend(theirs)
        self.differential.compare(self.left, self.right, at, (a, b), self.differences)
        held = self.stretches.compare()
        if held is not None:
            kind = REGRESSION if held.candidate else CURED
            self.held_long.setdefault(held.signature, Finding(kind, held.signature, held.reason, at))
        if self.features is not None:
            self.features.compare(self.program.operations[at], (a, b), (ours, theirs))

    def add(self, operation: Operation) -> None:
        """Let the program go on with an operation, legal where it now ends, and run that."""
        program = self.program
        self.left.program = self.right.program = Program(program.vm, program.slots, (*program.operations, operation))
        self.step(len(program.operations))

    def verdict(self) -> Verdict:
        """What was seen so far, without costs and features."""
        verdict = self.differential.judge(self.found[0], self.found[1], list(self.differences.values()))
        verdict.findings += self.held_long.values()
        return verdict

    def end(self) -> Verdict:
        """Destroy both sides; the whole verdict."""
        crashed = self.dead
        ours, theirs = self.left.destroy(), self.right.destroy()
        self.found[0].extend(ours)
        self.found[1].extend(theirs)
        verdict = self.verdict()
        if self.costs is not None:
            verdict.costs = Comparison(self.costs[0].totals(), self.costs[1].totals(), not crashed)
        if self.features is not None:
            self.features.compare(None, None, (ours, theirs))
            verdict.features = self.features.total()
        # What is large goes now: the rest is in cycles, and waits for the collector.
        for side in (self.left, self.right):
            side.side.kernel.arena.words.clear()
        return verdict
