# SPDX-License-Identifier: GPL-2.0-only
"""Runs of given programs on given candidates, with one verdict each."""

from dataclasses import dataclass
from typing import Final

import candidate
from candidate import Candidate
from candidate.tree.lines.difference import Exercise

from ..execution.refusal import unmodelled
from ..findings.accepted import Accepted
from ..findings.found import rank
from ..judging.differential import CLASSES, COMMON, DIVERGENCE, REGRESSION, Finding, Verdict
from ..language.program import Program

ALL: Final = "all"
CLEAN: Final = "clean"
ERROR: Final = "error"
REFUSED: Final = "no verdict"
# No finding, and no run reached the code in which the two versions differ.
NOT_EXERCISED: Final = "not exercised"


@dataclass(slots=True)
class Run:
    """One program on one candidate.

    :param file: name of the program
    :param verdict: None if there is none; *error* or *refused* then gives the reason
    :param trace: both sides' events, if asked for
    :param traceback: of a failure of our own code
    :param refused: what the program needs and is not modelled; then there is no verdict
    :param exercise: how much of the difference of two kernel trees ran; None if not known
    :param killed: the process that judged it was killed from outside, or memory ran out; else *error* is a mistake of
      ours
    """

    file: str
    program: Program
    reference: str
    candidate: str
    verdict: Verdict | None = None
    error: str = ""
    trace: str | None = None
    traceback: str = ""
    killed: bool = False
    refused: str = ""
    exercise: Exercise | None = None

    @property
    def word(self) -> str:
        """The weightiest class found, ``clean`` or ``not exercised``; without a verdict ``error`` or ``no verdict``."""
        if self.verdict is None:
            return REFUSED if self.refused else ERROR
        kinds = {finding.kind for finding in self.verdict.findings}
        return next((kind for kind in CLASSES if kind in kinds), NOT_EXERCISED if self.idle else CLEAN)

    @property
    def idle(self) -> bool:
        """True if both behaved the same and, as far as is known, no code in which two kernel trees differ ran."""
        if self.verdict is None or any(finding.kind != COMMON for finding in self.verdict.findings):
            return False
        return self.exercise is not None and not self.exercise.exercised

    @property
    def without_effect(self) -> bool:
        """True if lines in which two kernel trees differ ran, and both sides did the same."""
        ran = self.exercise is not None and self.exercise.ran > 0
        return ran and self.verdict is not None and self.verdict.same

    @property
    def trouble(self) -> str:
        """The reason why there is no verdict; "" if there is one."""
        if self.refused:
            return f"no verdict: {unmodelled(self.refused)}"
        if not self.error:
            return ""
        if self.killed:
            return f"no verdict: {self.error}; try: free memory, or look for the killer in `dmesg`"
        return f"a mistake of s2fuzz, not of the candidate: {self.error}"

    def worse(self, accepted: Accepted) -> bool:
        """Tell whether the candidate is worse, or differs for no known reason, and the user has not accepted that."""
        worse = [finding for finding in self.findings() if finding.kind in (REGRESSION, DIVERGENCE)]
        return any(accepted.match(finding.kind, finding.signature) is None for finding in worse)

    def findings(self) -> list[Finding]:
        """Return the findings, the weightiest first, each after the findings that may have led to it."""
        if self.verdict is None:
            return []
        found = self.verdict.findings
        left = sorted(found, key=lambda finding: (*rank(finding)[:2], finding.at, finding.signature))
        ordered: list[Finding] = []
        while left:
            self.move(left[0], left, ordered)
        return ordered

    def move(self, finding: Finding, left: list[Finding], ordered: list[Finding]) -> None:
        """Move a finding from *left* to the end of *ordered*; before it, the findings that may have led to it."""
        left.remove(finding)
        while cause := next((each for each in left if self.caused(each, finding)), None):
            self.move(cause, left, ordered)
        ordered.append(finding)

    def caused(self, cause: Finding, finding: Finding) -> bool:
        """Return whether a finding happened before another and may have led to it."""
        causes = self.verdict.causes if self.verdict else []
        return cause.at <= finding.at and (finding.key, cause.key) in causes


def chosen(name: str, reference: Candidate) -> list[Candidate]:
    """Return the candidates that ``--candidate`` names: one, or with `ALL` every version but the reference.

    :raises candidate.UnknownCandidateError: there is no version with this name
    """
    if name != ALL:
        return [candidate.get(name)]
    return [candidate.get(each) for each in candidate.names() if each != reference.name]
