# SPDX-License-Identifier: GPL-2.0-only
"""What the commands answer with ``--json``: one object; keys stay, more may come.

Every object has ``s2fuzz`` (version) and ``form`` (how the code runs).

``list``: ``default_reference``; ``versions``: of each ``name``, ``origin``.

``run``: ``results``, one for each program and candidate: ``program``,
``reference``, ``candidate``, ``verdict`` (the weightiest class, ``clean`` or
``error``), ``findings`` (``class``, ``signature``, ``reason``, ``at``: index of
the operation, -1 at creation, ``operation``: its text, ``known``), ``consequences``
(``side``, ``signature``, ``reason``, ``at``), ``costs`` (``reference`` and
``candidate``, each with the fields of `fuzz.judging.cost.Costs`, and ``complete``: both
sides ran to the end; or null), ``error`` and ``trace`` (text or null).

``fuzz``: ``reference``, ``candidate``, ``seed``, ``programs``, ``operations``,
``seconds``, ``programs_per_second``, ``operations_per_second``, ``interrupted``;
``costs`` (``programs``: how many are in, a sample; ``reference``, ``candidate``);
``findings`` and ``crashes``: of each ``class``, ``signature``, ``reason``,
``count`` (programs that showed it), ``known``, and of the smallest of those
``program`` (its number, from 1, or null: its file had it already), ``operations``, ``operation`` (where it shows, or
null), ``file`` (or null), ``text``;
``trouble`` (why files were not written, or null).

``build``: ``message``, one line on what was done.

``known`` is null or the known bug of the original that has this signature:
``id``, ``reason``, ``link``.
"""

from dataclasses import asdict
from typing import Any

import candidate

from ..distribution import VERSION, form
from ..engines.summary import Summary
from ..findings.found import Found
from ..judging.known import known_bug
from ..language.text import headings, print_program
from .runs import Run

Json = dict[str, Any]


def head() -> Json:
    """What every answer begins with."""
    return {"s2fuzz": VERSION, "form": form()}


def per_second(count: int, seconds: float) -> float:
    """A rate; 0 where no time has passed."""
    return round(count / seconds, 1) if seconds > 0 else 0.0


def list_answer() -> Json:
    """All versions."""
    names = candidate.names()
    versions = [{"name": name, "origin": candidate.get(name).origin} for name in names]
    return {**head(), "default_reference": names[0], "versions": versions}


def run_answer(runs: list[Run]) -> Json:
    """The verdicts."""
    return {**head(), "results": [_run(run) for run in runs]}


def fuzz_answer(summary: Summary) -> Json:
    """A session."""
    return {
        **head(),
        "reference": summary.reference,
        "candidate": summary.candidate,
        "seed": summary.seed,
        "programs": summary.programs,
        "operations": summary.operations,
        "seconds": round(summary.seconds, 3),
        "programs_per_second": per_second(summary.programs, summary.seconds),
        "operations_per_second": per_second(summary.operations, summary.seconds),
        "interrupted": summary.interrupted,
        "costs": asdict(summary.costs),
        "findings": [_found(found) for found in summary.findings],
        "crashes": [_found(found) for found in summary.crashes],
        "trouble": summary.trouble or None,
    }


def _run(run: Run) -> Json:
    names = headings(run.program)
    findings = [
        {
            "class": finding.kind,
            "signature": finding.signature,
            "reason": finding.reason,
            "at": finding.at,
            "operation": names[finding.at + 1],
            "known": _known(finding.signature),
        }
        for finding in run.findings()
    ]
    consequences = [
        {"side": side, "signature": each.signature, "reason": each.reason, "at": each.at}
        for side, each in (run.verdict.consequences if run.verdict else ())
    ]
    return {
        "program": run.file,
        "reference": run.reference,
        "candidate": run.candidate,
        "verdict": run.word,
        "findings": findings,
        "consequences": consequences,
        "costs": asdict(run.verdict.costs) if run.verdict and run.verdict.costs else None,
        "error": run.error or None,
        "trace": run.trace,
    }


def _found(found: Found) -> Json:
    return {
        "class": found.kind,
        "signature": found.signature,
        "reason": found.reason,
        "count": found.count,
        "known": _known(found.signature),
        "program": found.number or None,
        "operations": len(found.program.operations),
        "operation": found.where() or None,
        "file": str(found.path) if found.path else None,
        "text": print_program(found.program),
    }


def _known(signature: str) -> Json | None:
    bug = known_bug(signature)
    return {"id": bug.id, "reason": bug.reason, "link": bug.link} if bug else None
