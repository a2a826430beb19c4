# SPDX-License-Identifier: GPL-2.0-only
"""Given programs on given candidates: one verdict each."""

import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import candidate
from candidate import Candidate

from ..distribution import debugging
from ..execution.mistakes import CandidateMistake
from ..findings.accepted import Accepted
from ..findings.found import crash_reason, rank
from ..judging.differential import CLASSES, DIVERGENCE, REGRESSION, Differential, Finding, Verdict
from ..language.program import Program
from .sidebyside import record, render

ALL: Final = "all"
CLEAN: Final = "clean"
ERROR: Final = "error"


@dataclass(slots=True)
class Run:
    """One program on one candidate.

    :param file: name of the program
    :param verdict: None where our own code failed, as *error* says then
    :param trace: both sides' events, if asked for
    """

    file: str
    program: Program
    reference: str
    candidate: str
    verdict: Verdict | None = None
    error: str = ""
    trace: str | None = None

    @property
    def word(self) -> str:
        """The weightiest class found, ``clean`` where there is none, or ``error``."""
        if self.verdict is None:
            return ERROR
        kinds = {finding.kind for finding in self.verdict.findings}
        return next((kind for kind in CLASSES if kind in kinds), CLEAN)

    def worse(self, accepted: Accepted) -> bool:
        """Whether the candidate is worse, or differs for no known reason, and nobody accepts that."""
        worse = [finding for finding in self.findings() if finding.kind in (REGRESSION, DIVERGENCE)]
        return any(accepted.match(finding.kind, finding.signature) is None for finding in worse)

    def findings(self) -> list[Finding]:
        """The findings, the weightiest first."""
        found = self.verdict.findings if self.verdict else []
        return sorted(found, key=lambda finding: (*rank(finding.kind, finding.signature), finding.at))


def chosen(name: str, reference: Candidate) -> list[Candidate]:
    """The candidates that ``--candidate`` names: one, or with `ALL` each but the reference.

    :raises candidate.UnknownCandidate: there is none of this name
    """
    if name != ALL:
        return [candidate.get(name)]
    return [candidate.get(each) for each in candidate.names() if each != reference.name]


def run_all(
    programs: Sequence[tuple[str, Program]], reference: Candidate, candidates: Sequence[Candidate], trace: bool = False
) -> Iterator[Run]:
    """Judge each program on each candidate; an exception in our own code ends in `Run.error`.

    :param programs: names and valid programs
    :param trace: render `Run.trace` too
    :raises CandidateMistake: the Python of a version has a mistake
    """
    for file, program in programs:
        for patched in candidates:
            run = Run(file, program, reference.name, patched.name)
            try:
                run.verdict = Differential(reference, patched, measure=True).run(program)
                if trace:
                    names = (reference.name, patched.name)
                    run.trace = render(record(program, reference, patched), names, run.verdict.findings)
            except CandidateMistake:
                raise
            except Exception as error:
                if debugging():
                    traceback.print_exc()
                run.verdict = None
                run.error = crash_reason(error)
            yield run
