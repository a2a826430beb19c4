# SPDX-License-Identifier: GPL-2.0-only
"""The verdict on a program: the violations of both sides, and their differences, as findings."""

from dataclasses import replace
from typing import Final

from candidate import Candidate
from candidate.tree.lines.counts import CodeCounts
from candidate.tree.runtime.errors import TreeNotStartedError
from reference.machine.granule import Granule

from ..checkers import Violation
from ..language.operations import GuestAccess
from ..language.operations.declaration import title_of
from .cost import Comparison
from .finding import COMMON, CURED, DIVERGENCE, REGRESSION, WRONG, Finding, Key
from .known import FOLLOWS, UNMET, KnownBug, known_bugs
from .matching import Index, cause_of, concerns_same, first_deviation, may_differ_from, violations_that_count
from .versions_with_bug import has_bug, known_bug

# The signature of a difference in the result of a guest's access.
LOADED: Final = f"result: {title_of(GuestAccess)}"
# Separates the violation from which a grave one may follow.
AFTER: Final = "; before it, in the same program: "


class Verdict:
    """The findings of one program, and their consequences.

    *consequences*: violations after the first of a side, without weight, each after its side: ``reference`` or
    ``candidate``;
    *costs*: of both sides, None if they were not measured;
    *features*: of the program (`fuzz.features.features`), sorted; () if they
    were not requested; *counts*: how often the code of kernel trees ran, empty without a verdict;
    *refused*: the reason why there is no verdict, and then no finding: the program needs something that is not
    modelled, or a process could not be started; "" if there is a verdict;
    *notes*: lines for people about requests of the program that were not met;
    *causes*: a finding, and one that may have led to it: it happened earlier in the same operation, on the same pages,
    or is the violation that the reason of a grave one names;
    *same*: both sides are trees, and did the same, event for event; False also if that is not known
    """

    def __init__(self, findings: list[Finding] | None = None, refused: str = "") -> None:
        self.findings: list[Finding] = [] if findings is None else findings
        self.consequences: list[tuple[str, Violation]] = []
        self.costs: Comparison | None = None
        self.features: tuple[int, ...] = ()
        self.refused = refused
        self.counts = CodeCounts()
        self.notes: list[str] = []
        self.causes: list[tuple[Key, Key]] = []
        self.same = False

    @property
    def failed(self) -> bool:
        """True if the candidate is worse, or differs for no known reason."""
        return any(finding.kind in (REGRESSION, DIVERGENCE) for finding in self.findings)

    def titles(self) -> list[str]:
        """Return the distinct titles of the findings, sorted."""
        return sorted({finding.title for finding in self.findings})


class Judge:
    """Makes verdicts on a candidate.

    :param reference: the version that the candidate is compared with
    :param candidate: the version under test
    :param granule: the granule of the program
    """

    def __init__(self, reference: Candidate, candidate: Candidate, granule: Granule) -> None:
        self.reference = reference
        self.candidate = candidate
        self.granule = granule

    def known(self, violation: Violation) -> KnownBug | None:
        """Return the known bug of the reference that explains a violation and whose condition held, if any."""
        bugs = [known_bugs()[number] for number in violation.known]
        return next((bug for bug in bugs if has_bug(self.reference, bug)), None)

    def is_explained(self, violation: Violation) -> bool:
        """Return whether a known bug that both versions have explains a violation."""
        bugs = [known_bugs()[number] for number in violation.known]
        return any(has_bug(self.reference, bug) and has_bug(self.candidate, bug) for bug in bugs)

    def is_alone(self, violation: Violation, others: Index) -> bool:
        """Return whether a violation is of one side alone: neither shared nor explained.

        :param others: the other side's violations
        """
        return not others.shares(violation) and not self.is_explained(violation)

    def judge(self, reference: list[Violation], candidate: list[Violation], differences: list[Finding]) -> Verdict:
        """Return the verdict for both sides' violations, in order, and the differences between the sides.

        There is no verdict if a tree cannot be asked now whether it has a known bug.
        """
        try:
            return self.judged(reference, candidate, differences)
        except TreeNotStartedError as error:
            return Verdict(refused=str(error))

    def judged(self, reference: list[Violation], candidate: list[Violation], differences: list[Finding]) -> Verdict:
        """Do the work of `judge`.

        :raises TreeNotStartedError: as `fuzz.judging.versions_with_bug.has_bug`
        """
        verdict = Verdict()
        by_reference, by_candidate = Index(reference), Index(candidate)
        ours = violations_that_count(reference, by_candidate, self.is_explained)
        theirs = violations_that_count(candidate, by_reference, self.is_explained)
        candidate_deviation = first_deviation(candidate, by_reference)
        for violation in theirs:
            verdict.findings.append(self.of_candidate(violation, candidate, by_reference))
        verdict.causes += self.causes(theirs, verdict.findings)
        others = Index(theirs)
        for violation in ours:
            if not by_candidate.shares(violation):
                if violation.at < candidate_deviation:
                    verdict.findings.append(self.finding(CURED, violation, reference))
            elif not others.shares(violation):
                verdict.findings.append(self.finding(COMMON, violation, reference))
        for side, violations, first in (("reference", reference, ours), ("candidate", candidate, theirs)):
            verdict.consequences += [(side, violation) for violation in violations if violation not in first]
        for difference in differences:
            loaded = difference.signature == LOADED
            ours_from = may_differ_from(reference, by_candidate, loaded)
            theirs_from = may_differ_from(candidate, by_reference, loaded)
            if difference.at < min(ours_from, theirs_from):
                rule = self.broken_at(difference.at, (reference, candidate), (by_candidate, by_reference))
                verdict.findings.append(replace(difference, reason=difference.reason + rule))
        return verdict

    def causes(self, violations: list[Violation], findings: list[Finding]) -> list[tuple[Key, Key]]:
        """Return each finding with those before it that may have led to it, as in `Verdict.causes`.

        :param violations: those that count, of one side, in the order they happened
        :param findings: likewise
        """
        pairs = list(zip(violations, findings, strict=True))
        return [
            (finding.key, earlier.key)
            for number, (violation, finding) in enumerate(pairs)
            for cause, earlier in pairs[:number]
            if earlier.kind == finding.kind
            if finding.reason.endswith(AFTER + cause.signature)
            or (cause.at == violation.at and concerns_same(cause, violation, self.granule))
        ]

    def broken_at(self, at: int, sides: tuple[list[Violation], ...], others: tuple[Index, ...]) -> str:
        """Return a text for the rule that only one side breaks at an operation where the two differ; "": none."""
        texts: list[str] = []
        for version, violations, other in zip((self.reference, self.candidate), sides, others, strict=True):
            first = next((each for each in violations if each.at == at and self.is_alone(each, other)), None)
            if first is not None:
                texts.append(f"{version.name} breaks a rule at this operation, {first.signature}")
        return WRONG + "; ".join(texts) if texts else ""

    def of_candidate(self, violation: Violation, candidate: list[Violation], by_reference: Index) -> Finding:
        """Return the finding for a violation of the candidate that counts.

        It is common if the reference shares it, or if a known bug that both versions have
        explains it or its cause; otherwise it is a regression.
        """
        shared = by_reference.shares(violation)
        common = shared or self.is_explained(violation)
        if not common and violation.grave:
            common = cause_of(violation, candidate, self.is_explained, self.granule) is not None
        if common:
            return self.finding(COMMON, violation, candidate)
        reason = violation.reason
        if violation.grave:
            first = self.first_wrong(candidate[: candidate.index(violation)], by_reference)
            reason += f"{AFTER}{first.signature}" if first is not None else ""
        return Finding(REGRESSION, violation.signature, reason, violation.at)

    def first_wrong(self, violations: list[Violation], others: Index) -> Violation | None:
        """Return the first violation in a list that taints and is this side's alone."""
        return next((each for each in violations if each.taints and self.is_alone(each, others)), None)

    def finding(self, kind: str, violation: Violation, violations: list[Violation]) -> Finding:
        """Return a finding, with the known bug that explains it, if any.

        :param violations: all violations of its side
        """
        known, reason = self.known(violation), violation.reason
        if known is None and violation.grave:
            cause = cause_of(violation, violations, lambda each: self.known(each) is not None, self.granule)
            if cause is not None:
                known = self.known(cause)
                reason += FOLLOWS + cause.signature
        if known is None and (unmet := known_bug(violation.signature, self.reference)) is not None:
            reason += f"{UNMET}{unmet.id} did not hold"
        return Finding(kind, violation.signature, reason, violation.at, known.id if known else "")
