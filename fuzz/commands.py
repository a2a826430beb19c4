# SPDX-License-Identifier: GPL-2.0-only
"""The subcommands ``list``, ``run`` and ``fuzz``: what they do, as objects for --json.

`fuzz.report` has the same for people.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import candidate
from candidate import Candidate

from .differential import CLASSES, Differential, Finding, Verdict
from .distribution import VERSION, form
from .engine import Engine, Summary, crash_reason
from .findings import Found
from .known import known_bug
from .program import Program
from .sidebyside import headings, record, render
from .text import print_program

CLEAN: Final = "clean"
ALL: Final = "all"

Json = dict[str, Any]


class UnwritableOut(Exception):
    """The output directory cannot be made or written; the message is one line."""


@dataclass(slots=True)
class Run:
    """One program on one candidate: a verdict, or the error that our own code made."""

    file: str
    program: Program
    reference: Candidate
    candidate: Candidate
    verdict: Verdict | None = None
    error: str = ""
    trace: str | None = None

    @property
    def word(self) -> str:
        """The weightiest class found, or ``clean``, or ``error``."""
        if self.verdict is None:
            return "error"
        kinds = {finding.kind for finding in self.verdict.findings}
        return next((kind for kind in CLASSES if kind in kinds), CLEAN)

    def in_order(self) -> list[Finding]:
        """The findings, the weightiest first."""
        found = self.verdict.findings if self.verdict else []
        return sorted(found, key=lambda finding: (CLASSES.index(finding.kind), finding.at, finding.signature))


def chosen(name: str, reference: Candidate) -> list[Candidate]:
    """The candidates of ``--candidate``: one, or all but the reference.

    :raises candidate.UnknownCandidate: there is none of this name
    """
    if name != ALL:
        return [candidate.get(name)]
    return [candidate.get(each) for each in candidate.names() if each != reference.name]


def judge(file: str, program: Program, reference: Candidate, patched: Candidate, trace: bool) -> Run:
    """Run a program on both; an exception of our own code ends in `Run.error`."""
    run = Run(file, program, reference, patched)
    run.verdict = Differential(reference, patched).run(program)
    if trace:
        run.trace = render(record(program, reference, patched), (reference.name, patched.name), run.verdict.findings)
    return run


def make_out(out: Path) -> None:
    """See now, not after an hour, that findings can be written.

    :raises UnwritableOut: they cannot
    """
    probe = out / ".s2fuzz-probe"
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except (OSError, ValueError) as error:
        wrong = getattr(error, "strerror", None) or str(error)
        raise UnwritableOut(f"--out {out}: {wrong}; allowed: a directory that can be made and written") from None


def list_json() -> Json:
    """``s2fuzz list``"""
    versions = [candidate.get(name) for name in candidate.names()]
    return head() | {"default_reference": versions[0].name, "versions": [
        {"name": version.name, "origin": version.origin} for version in versions
    ]}


def run_json(runs: list[Run]) -> Json:
    """``s2fuzz run``"""
    return head() | {"results": [one_run_json(run) for run in runs]}


def one_run_json(run: Run) -> Json:
    names = headings(run.program)
    consequences = run.verdict.consequences if run.verdict else []
    return {
        "program": run.file,
        "reference": run.reference.name,
        "candidate": run.candidate.name,
        "verdict": run.word,
        "findings": [
            {
                "class": finding.kind,
                "signature": finding.signature,
                "reason": finding.reason,
                "at": finding.at,
                "operation": names[finding.at + 1],
                "known": known_json(finding.signature),
            }
            for finding in run.in_order()
        ],
        "consequences": [
            {"side": side, "signature": each.signature, "reason": each.reason, "at": each.at}
            for side, each in consequences
        ],
        "error": run.error or None,
        "trace": run.trace,
    }


def fuzz_json(summary: Summary) -> Json:
    """``s2fuzz fuzz``"""
    return head() | {
        "reference": summary.reference,
        "candidate": summary.candidate,
        "seed": summary.seed,
        "programs": summary.programs,
        "operations": summary.operations,
        "seconds": round(summary.seconds, 3),
        "programs_per_second": per_second(summary.programs, summary.seconds),
        "operations_per_second": per_second(summary.operations, summary.seconds),
        "interrupted": summary.interrupted,
        "findings": [found_json(found) for found in summary.findings],
        "behind": [found_json(found) for found in summary.behind],
        "crashes": [found_json(found) for found in summary.crashes],
        "trouble": summary.trouble or None,
    }


def found_json(found: Found) -> Json:
    return {
        "class": found.kind,
        "signature": found.signature,
        "reason": found.reason,
        "count": found.count,
        "program": found.number,
        "operations": len(found.program.operations),
        "known": known_json(found.signature),
        "file": str(found.path) if found.path else None,
        "text": print_program(found.program),
    }


def known_json(signature: str) -> Json | None:
    bug = known_bug(signature)
    return {"id": bug.id, "reason": bug.reason, "link": bug.link} if bug else None


def head() -> Json:
    """What every answer begins with."""
    return {"s2fuzz": VERSION, "form": form()}


def per_second(count: int, seconds: float) -> float:
    """A rate; 0 where no time has passed."""
    return round(count / seconds, 1) if seconds > 0 else 0.0
