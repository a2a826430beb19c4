# SPDX-License-Identifier: GPL-2.0-only
"""Answers of the commands with ``--json``: one object. Existing keys stay; new ones may be added.

Every object has ``s2fuzz`` (version) and ``form`` (how the code runs).

``exit_code`` is in the answers of ``run``, ``explore``, ``fuzz``, ``campaign``, ``status`` and ``minimize``. Any
command answers with ``exit_code`` and ``error`` (``kind``: ``candidate`` or ``no verdict``; ``message``) if a candidate
is refused, has a mistake in its Python, or is a kernel tree that cannot be built (2), or if there is no verdict (4).
``run``, ``explore`` and ``fuzz`` add this ``error`` to their answers if they end with 4 but judged some programs.
``changes`` is in the answers of ``run``, ``fuzz``, ``campaign`` and ``minimize``. For each candidate it has
``candidate``, ``on`` (the versions that its classes derive from), ``overrides`` and ``adds`` (names of methods),
``sets`` (names of constants), and ``same`` (its code is that of the reference).

``list``: ``default_reference``; ``versions``: for each ``name``, ``origin``. With ``--bugs`` instead: ``bugs``: for
each ``name``, ``origin``, ``reference`` (the version to run it against), ``signature`` (of its own regression).
With ``--checkers`` instead: ``checkers``: for each ``name`` (the prefix of its signatures), ``rule``, ``why`` (it
matters), ``severity``, and ``finer``: for each ``pattern`` of signatures their own ``severity``; the first match
counts.

``run``: ``results``, one for each program and candidate: ``program``, ``reference``, ``candidate``, ``verdict`` (the
weightiest class, ``clean``, ``not exercised``, ``error`` or ``no verdict``), ``findings`` (``class``, ``signature``,
``reason``, ``at``: index of the operation, -1 at creation, ``operation``: its text, ``severity``: a word of
`fuzz.findings.severity`, ``known``, ``real``, ``accepted``), ``consequences`` (``side``, ``signature``, ``reason``,
``at``), ``notes`` (switches that did not take place, as text), ``costs`` (``reference`` and ``candidate``, each with
the fields of `fuzz.judging.cost.Costs`, and ``complete``: both sides ran to the end; or null), ``exercise`` (of two
kernel trees, else null: ``lines``, the number of lines that differ; ``ran``, how many of them ran in programs with a
verdict; ``missing`` and ``codeless``: places; ``unjudged``: those of ``missing`` that programs without a verdict ran;
``uncalled``: functions with places in ``missing`` or ``codeless`` that no operation can call;
``functions``: those that ran and whose machine code differs because of a change without a counter;
``unknown``: why none of this is known, or ""; and ``uncompiled``: files of KVM that differ and are not compiled),
``error`` (why there is no verdict, or null) and ``trace`` (text or null);
``known_findings``: the entries of the user's file, for each ``pattern``, ``reason``, ``who``, ``link``, ``matches``
(number of distinct findings that it accepted); with ``--qemu`` also ``qemu`` (`fuzz.hardware.report`).

``explore``: ``program``, ``reference``, ``candidate``, ``schedules`` (number judged with 0, 1, ... preemptions),
``whole`` (all schedules were judged), ``findings`` (``class``, ``signature``, ``reason``, ``schedules``: number that
show it, ``program``: text of the first with the fewest preemptions), ``refused`` (why there is no verdict, or null).

``compare``: ``reference``, ``candidate``, ``workload``, ``block``, ``seed``; ``figures``: for each number of vCPUs
``cpus``, ``reference`` and ``candidate`` (the fields of `fuzz.comparing.measuring.Figures`).

``fuzz``: ``reference``, ``candidate``, ``seed``, ``programs``, ``operations``,
``seconds`` (of judging), ``elapsed`` (seconds of the whole session, with replays and minimising),
``programs_per_second`` and ``operations_per_second`` (of judging), ``interrupted``;
``costs`` (``programs``: size of the sample; ``reference``, ``candidate``); ``exercise`` as in ``run``;
``findings``, ``crashes`` and ``unreplayed``: for each ``class``, ``signature``, ``reason``,
``count`` (programs that showed it), ``severity`` (null for a crash), ``known``, ``real``, ``accepted``,
and for the smallest of these programs ``program`` (its number, from 1, or null if it comes from an existing
file), ``operations``, ``operation`` (where it shows the finding, or null), ``file`` (or null), ``text``;
``refused`` (reason -> programs without a verdict); ``blocks`` (programs with a par block) and ``repeated`` (number of
them that were run again and behaved the same); ``same`` (programs in which two kernel trees did the same, event for
event; those with a par block are not compared in this way); ``trouble`` (why files were not written, or null);
``known_findings`` as in ``run``.

``minimize``: ``program``, ``reference``, ``candidate``, ``class``, ``signature``,
``operations`` and ``slots`` (before and after), ``runs``, ``seconds``, ``finished``
(nothing more can be done), ``interrupted``, ``file`` (or null) and ``text``.

``report``: ``program``, ``reference``, ``candidate``, ``headline``, ``class``, ``signature``, ``reason``, ``severity``
(null for a crash), ``rule`` and ``why`` (null for a divergence), ``operation``; ``calls``, outermost first: for each
``function``, ``file``, ``line``, ``own`` (code of the candidate); ``exact`` (they were running when the rule was
broken); ``events`` (the last ones before it), ``only_reference`` and ``only_candidate`` (events of one side), as text,
and ``apart`` (index of the operation of these two); ``entries`` (entry -> in words); ``versions`` (name -> whether it
shows the finding, or null); ``changed`` (versions whose code has changed since the finding was filed); ``known``;
``accepted``; ``real``; ``text``: the program.

``promote``: ``file``, ``text``.

``bench``: the result of `fuzz.benchmark.bench.measure`; with ``--find`` the fields of
`fuzz.benchmark.effort.Benchmark`, with ``--trees`` the result of `fuzz.benchmark.pair.measure`.

``build``: ``message``, one line on what was done.

``corpus``: for ``add``, ``merge`` and ``import``: ``corpus``, ``added`` (digests), ``there`` (number already there),
``refused`` (a line each). For ``show``: ``corpus``, ``programs``, ``operations`` (``all``, ``median``, ``most``),
``bytes``, ``kinds`` (for each ``operations`` and ``programs``), ``absent``, ``settings`` (programs for each value),
``features`` (``versions``, ``programs``, ``features``), ``bad``; for one program ``digest``, ``file``, ``text``. For
``export``: ``corpus``, ``target``, ``written``, ``there``, ``bad``. For ``minimize``: ``corpus``, ``reference``,
``candidate``, ``dry_run``, ``programs`` and ``operations`` (``before``, ``after``), ``observed`` (programs that were
run), ``features``, ``removed`` (digests), ``troubled`` (digest -> why it could not be observed, and is kept),
``bad``.

``cover``: ``versions``, ``programs``, ``files`` (for each ``summary``, ``missing_lines``, ``missing_branches``, as in
coverage.py), ``totals``; with ``--line``: ``file``, ``line``, ``at_import``, ``programs`` (the smallest first). For a
kernel tree there are no ``totals``, and ``files`` has for each ``lines`` (number with code), ``missing_lines``,
``reached_lines`` (line -> the smallest program that reaches it).

``known`` is null or the known bug of the reference with this signature: ``id``, ``reason``, ``link``. ``accepted`` is
null or the matching entry of the user's file of accepted findings: ``pattern``, ``reason``, ``who``, ``link``.
``real`` is null or the stamp in the finding's file: whether a real kernel confirmed the finding.
"""

from dataclasses import asdict
from typing import Any, Final

import candidate
from candidate.bugs import BUGS

from ..checkers.registry import rules
from ..distribution import VERSION, form
from ..engines.summary import Summary
from ..execution.refusal import unmodelled
from ..exploring.exploring import ExplorationResult
from ..findings.accepted import Accepted, Entry
from ..findings.found import CRASH, known_of
from ..findings.record import FindingRecord
from ..findings.severity import severity
from ..findings.witness import stamp_of
from ..judging.known import KnownBug
from ..language.text import headings, print_program
from .account import Account
from .runs import Run

Json = dict[str, Any]
# The kind of `error` if there is no verdict.
NO_VERDICT: Final = "no verdict"


def head() -> Json:
    """Return the keys that every answer begins with."""
    return {"s2fuzz": VERSION, "form": form()}


def no_verdict_answer(message: str) -> Json:
    """Return the keys of an answer without a verdict; *message* gives the reason."""
    return {"error": {"kind": NO_VERDICT, "message": message}}


def per_second(count: int, seconds: float) -> float:
    """Return a rate; 0 if no time has passed."""
    return round(count / seconds, 1) if seconds > 0 else 0.0


def list_answer() -> Json:
    """Return the answer with all versions."""
    names = candidate.names()
    versions = [{"name": name, "origin": candidate.origin(name)} for name in names]
    return {**head(), "default_reference": names[0], "versions": versions}


def bugs_answer() -> Json:
    """Return the answer with all planted bugs."""
    bugs = [{"name": bug.name, "origin": bug.origin, "reference": bug.base, "signature": bug.signature} for bug in BUGS]
    return {**head(), "bugs": bugs}


def checkers_answer() -> Json:
    """Return the answer with the rules of the checkers, the weightiest first."""
    found = [
        {
            "name": rule.name,
            "rule": rule.holds,
            "why": rule.why,
            "severity": rule.severity.name.lower(),
            "finer": [
                {"pattern": pattern, "severity": severity.name.lower()} for pattern, severity, _ in rule.grades()[:-1]
            ],
        }
        for rule in rules()
    ]
    return {**head(), "checkers": found}


def run_answer(runs: list[Run], accepted: Accepted) -> Json:
    """Return the answer with the verdicts."""
    return {**head(), "results": [_run(run, accepted) for run in runs], "known_findings": _entries(accepted)}


def explore_answer(file: str | None, reference: str, candidate: str, explored: ExplorationResult) -> Json:
    """Return the answer with the schedules of a program, or of all programs of a length."""
    findings = [
        {
            "class": shown.finding.kind,
            "signature": shown.finding.signature,
            "reason": shown.finding.reason,
            "schedules": shown.schedules,
            "programs": shown.programs,
            "program": print_program(shown.program),
        }
        for shown in explored.shown.values()
    ]
    return {
        **head(),
        "program": file,
        "reference": reference,
        "candidate": candidate,
        "programs": explored.programs,
        "schedules": explored.schedules,
        "judged": explored.judged,
        "whole": explored.whole,
        "interrupted": explored.interrupted,
        "findings": findings,
        "refused": explored.refused or None,
    }


def session_head(summary: Summary) -> Json:
    """Return the head of the answer of a session: its settings and the number of programs judged."""
    return {
        **head(),
        "reference": summary.reference,
        "candidate": summary.candidate,
        "seed": summary.seed,
        "programs": summary.programs,
        "operations": summary.operations,
    }


def fuzz_answer(summary: Summary) -> Json:
    """Return the answer of a session."""
    return {
        **session_head(summary),
        "seconds": round(summary.seconds, 3),
        "elapsed": round(summary.elapsed, 3),
        "programs_per_second": per_second(summary.programs, summary.seconds),
        "operations_per_second": per_second(summary.operations, summary.seconds),
        "interrupted": summary.interrupted,
        "costs": asdict(summary.costs),
        "findings": [_found(found, summary.accepted, summary.reference) for found in summary.findings],
        "crashes": [_found(found, summary.accepted, summary.reference) for found in summary.crashes],
        "unreplayed": [_found(found, summary.accepted, summary.reference) for found in summary.unreplayed],
        "known_findings": _entries(summary.accepted),
        "exercise": None if summary.exercise is None else asdict(summary.exercise),
        "refused": summary.refused,
        "blocks": summary.blocks,
        "repeated": summary.repeated,
        "same": summary.same,
        "trouble": summary.trouble or None,
    }


def account_answer(account: Account) -> Json:
    """Return the answer with the account of a finding."""
    finding, trail, rule = account.finding, account.trail, account.rule
    return {
        **head(),
        "program": account.file,
        "reference": account.reference,
        "candidate": account.candidate,
        "headline": account.headline,
        "class": finding.kind,
        "signature": finding.signature,
        "reason": finding.reason,
        "severity": None if finding.kind == CRASH else severity(finding.signature).name.lower(),
        "rule": rule.broken(finding.signature) if rule else None,
        "why": rule.reason(finding.signature) if rule else None,
        "operation": account.where or None,
        "calls": [each._asdict() for each in trail.calls],
        "exact": trail.exact,
        "events": trail.events,
        "apart": trail.apart,
        "only_reference": trail.reference,
        "only_candidate": trail.candidate,
        "entries": dict(account.entries()),
        "versions": account.shows,
        "changed": account.changed,
        "known": _known(known_of(finding, account.reference)),
        "accepted": _entry(account.accepted) if account.accepted else None,
        "real": account.stamp or None,
        "text": print_program(account.program),
    }


def _run(run: Run, accepted: Accepted) -> Json:
    names = headings(run.program)
    findings = [
        {
            "class": finding.kind,
            "signature": finding.signature,
            "reason": finding.reason,
            "at": finding.at,
            "operation": names[finding.at + 1],
            "severity": severity(finding.signature).name.lower(),
            "known": _known(known_of(finding, run.reference)),
            "real": stamp_of(run.file, finding.signature) or None,
            "accepted": _accepted(accepted, finding.kind, finding.signature),
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
        "notes": run.verdict.notes if run.verdict else [],
        "costs": asdict(run.verdict.costs) if run.verdict and run.verdict.costs else None,
        "exercise": None if run.exercise is None else asdict(run.exercise),
        "error": run.error or (unmodelled(run.refused) if run.refused else None),
        "trace": run.trace,
    }


def _found(found: FindingRecord, accepted: Accepted, reference: str) -> Json:
    return {
        "class": found.kind,
        "signature": found.signature,
        "reason": found.reason,
        "count": found.count,
        "severity": None if found.kind == CRASH else severity(found.signature).name.lower(),
        "known": _known(known_of(found.finding, reference)),
        "real": (stamp_of(found.path, found.signature) or None) if found.path else None,
        "accepted": _accepted(accepted, found.kind, found.signature),
        "program": found.number or None,
        "operations": found.operations,
        "operation": found.where() or None,
        "file": str(found.path) if found.path else None,
        "text": found.text,
    }


def _entries(accepted: Accepted) -> list[Json]:
    return [{**_entry(each), "matches": each.count} for each in accepted.entries]


def _entry(entry: Entry) -> Json:
    return {"pattern": entry.pattern, "reason": entry.reason, "who": entry.who, "link": entry.link}


def _accepted(accepted: Accepted, kind: str, signature: str) -> Json | None:
    entry = accepted.match(kind, signature)
    return _entry(entry) if entry else None


def _known(bug: KnownBug | None) -> Json | None:
    return {"id": bug.id, "reason": bug.reason, "link": bug.link} if bug else None
