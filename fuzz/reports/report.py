# SPDX-License-Identifier: GPL-2.0-only
"""Reports of the commands for people; `fuzz.reports.answers` has the same data for machines."""

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Final

import candidate
from candidate.bugs import BUGS
from candidate.tree import MAKEFILES
from candidate.tree.lines.difference import Exercise

from ..checkers.registry import levels, rule_of, rules
from ..engines.summary import Summary
from ..execution.refusal import is_not_started
from ..findings.accepted import Accepted
from ..findings.found import called, known_text
from ..findings.record import FindingRecord
from ..findings.witness import STAMP_PREFIX, stamp_of
from ..judging.cost import Comparison, Total
from ..judging.differential import CLASSES, COMMON, CURED, DIVERGENCE, REGRESSION
from ..language.direct_calls import direct_call
from ..language.program import show_bytes
from ..language.text import headings
from .answers import per_second
from .runs import CLEAN, ERROR, NOT_EXERCISED, REFUSED, Run

# Maximum number of places to name.
_NAMED: Final = 8
HALF_A_TREE: Final = "it is not known whether the patch ran: that requires two kernel trees"
# Two trees that differ in code that ran, and not in what they did.
WITHOUT_EFFECT: Final = "both did the same, event for event: no effect of the lines that ran is visible"
MEANINGS: Final = {
    REGRESSION: "only the candidate is wrong",
    DIVERGENCE: "the two differ; where a rule says which one is wrong, the finding names it",
    COMMON: "{reference} is wrong too",
    CURED: "only {reference} is wrong",
}
# Labels for the fields of `fuzz.judging.cost.Costs`.
COSTS: Final = {
    "events": "events",
    "tables_walked": "tables walked",
    "entries_visited": "table entries visited",
    "longest_hold_entries": "  the most for one lock",
    "stores": "stores to entries",
    "table_pages": "table pages allocated",
    "flushes_ipa": "flushes by IPA, no hint",
    "flushes_ipa_hint": "flushes by IPA, with hint",
    "flushes_range": "flushes by range",
    "flushes_vmid": "flushes by VMID",
    "bytes_cleaned": "D-cache cleaned",
    "bytes_invalidated": "I-cache invalidated",
    "icache_flushes": "I-cache invalidated whole",
    "faults_translation": "translation faults",
    "faults_access_flag": "access flag faults",
    "faults_permission": "permission faults",
    "pages_logged": "pages marked dirty",
    "pages_over_reported": "pages logged, not written",
    "windows": "entries broken and made",
    "window_events": "  events while invalid",
    "longest_window": "    the most for one",
    "window_entries": "  entries visited then",
    "longest_window_entries": "    the most for one",
    "window_cleaned": "  D-cache cleaned then",
}
_INDENT: Final = " " * 12


def plural(count: int, noun: str) -> str:
    """Return ``1 program``, ``2 programs``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def legend(kinds: Iterable[str], reference: str) -> str:
    """Return explanations of the classes in *kinds*, relative to the version *reference*."""
    there = set(kinds)
    name = called(reference)
    return "; ".join(f"{kind}: {MEANINGS[kind].format(reference=name)}" for kind in CLASSES if kind in there)


def list_text() -> str:
    """Return a text with one line per version."""
    names = candidate.names()
    width = max(map(len, names))
    lines = ["reference (default; --reference also accepts any version below)"]
    for name in names:
        lines.append(f"  {name:<{width}}  {candidate.origin(name)}")
        if name == names[0]:
            lines += ["", "candidates"]
    return "\n".join(lines)


def bugs_text() -> str:
    """Return a text with two lines per planted bug."""
    width = max(len(bug.name) for bug in BUGS)
    lines = ["planted bugs (run each against the version that it is planted in)"]
    for bug in BUGS:
        lines += [f"  {bug.name:<{width}}  {bug.origin}", f"  {'':<{width}}  --reference {bug.base}: {bug.signature}"]
    return "\n".join(lines)


def checkers_text() -> str:
    """Return a text with the rules of the checkers, the weightiest first."""
    lines = ["checkers (each judges one side alone)"]
    for rule in rules():
        lines += ["", f"{rule.name}: {levels(rule)}"]
        lines += textwrap.wrap(f"rule: {rule.holds}", 110, initial_indent="  ", subsequent_indent="        ")
        lines += textwrap.wrap(f"why: {rule.why}", 110, initial_indent="  ", subsequent_indent="        ")
    return "\n".join(lines)


def run_text(run: Run, cost: bool, accepted: Accepted | None) -> str:
    """Return the verdict on one program and candidate; with *cost*, the cost of each side."""
    lines = [f"{run.file}: {run.candidate} against {run.reference}: {run.word}"]
    if run.word == CLEAN:
        lines[0] += ", no rule is broken and the two do not differ"
    if run.idle and run.word != NOT_EXERCISED:
        lines.append(f"  {not_exercised(run.exercise)}")
    if run.exercise is not None and run.exercise.differs:
        lines += [f"  {each}" for each in exercise_lines(run.exercise)]
    if run.without_effect:
        lines.append(f"  {WITHOUT_EFFECT} here")
    names = headings(run.program)
    for finding in run.findings():
        lines.append(f"{finding.kind:<10}  {finding.signature}")
        lines.append(f"{_INDENT}{finding.reason}")
        lines.append(f"{_INDENT}at {names[finding.at + 1]}")
        if note := direct_call(run.program, finding.at):
            lines.append(f"{_INDENT}({note})")
        lines += rule_lines(finding.signature)
        if known := known_text(finding, run.reference):
            lines.append(f"{_INDENT}{known}")
        if stamp := stamp_of(run.file, finding.signature):
            lines.append(f"{_INDENT}{STAMP_PREFIX}{stamp}")
        lines += accepted_lines(accepted, finding.kind, finding.signature)
    lines += [f"{_INDENT}{note}" for note in run.verdict.notes] if run.verdict else []
    consequences = len(run.verdict.consequences) if run.verdict else 0
    if consequences:
        lines.append(f"{_INDENT}and {plural(consequences, 'consequence')}, not counted")
    costs = run.verdict.costs if run.verdict else None
    if cost and costs is not None:
        until = "" if costs.complete else ", until a side crashed or hung"
        lines += ["", *cost_lines("cost" + until, costs, (run.reference, run.candidate))]
    if run.trace is not None:
        lines += ["", run.trace.rstrip("\n")]
    return "\n".join(lines) + "\n"


def rule_lines(signature: str) -> Iterator[str]:
    """Yield the rule that a finding breaks, and why that matters, if there is one."""
    if rule := rule_of(signature):
        yield f"{_INDENT}rule: {rule.broken(signature)}"
        yield f"{_INDENT}why: {rule.reason(signature)}"


def not_exercised(found: Exercise | None) -> str:
    """Return the line that says that no judged program ran the code in which two kernel trees differ."""
    if found is not None and found.unjudged:
        return "not exercised: only programs without a verdict ran the code in which the two differ"
    return "not exercised: none of the code in which the two differ ran, so nothing is known about it"


def exercise_lines(found: Exercise) -> Iterator[str]:
    """Yield how many of the lines that differ between two kernel trees ran, and which did not."""
    if found.unknown:
        yield f"it is not known whether the patch ran: {found.unknown}"
        return
    if not found.differs:
        yield "the two differ only in comments, if at all: both sides run the same code"
        return
    if found.lines:
        judged = " in programs with a verdict" if found.unjudged else ""
        yield f"{found.ran} of {plural(found.lines, 'differing line')} ran{judged}"
        if found.unjudged:
            yield f"ran only in programs without a verdict: {shortened(found.unjudged)}"
        if idle := [place for place in found.missing if place not in found.unjudged]:
            yield f"did not run: {shortened(idle)}"
        if found.codeless:
            yield f"no code of their own in this build, so not measured: {shortened(found.codeless)}"
    elif found.codeless:
        yield f"the differing lines have no code of their own in this build: {shortened(found.codeless)}"
    if found.functions:
        verb = "ran, and its" if len(found.functions) == 1 else "ran, and their"
        yield f"{shortened([f'{name}()' for name in found.functions])} {verb} machine code differs"
    if found.uncalled:
        yield f"no operation can call {shortened([f'{name}()' for name in found.uncalled])}"
    rules = [name for name in found.uncompiled if name.endswith("Kconfig")]
    lists = [name for name in found.uncompiled if name in MAKEFILES]
    rest = [name for name in found.uncompiled if name not in (*rules, *lists)]
    if rest:
        yield f"{shortened(rest)} {'differs, but is' if len(rest) == 1 else 'differ, but are'} not compiled here"
    if rules:
        verb = "differs" if len(rules) == 1 else "differ"
        yield f"{shortened(rules)} {verb}: the build follows its `select` lines, but does not count them"
    if lists:
        verb = "differs" if len(lists) == 1 else "differ"
        yield f"{shortened(lists)} {verb}: the build takes further files from its lists, but does not count them"


def shortened(names: list[str]) -> str:
    """Return the first few names, and the number of the rest."""
    rest = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {rest} more (`--json` names them)" if rest > 0 else "")


def accepted_lines(accepted: Accepted | None, kind: str, signature: str) -> Iterator[str]:
    """Yield the line for the entry in the user's file that accepts a finding, if there is one."""
    entry = accepted.match(kind, signature) if accepted else None
    if accepted and entry:
        yield f"{_INDENT}accepted by {accepted.file}, entry {entry.number}: {entry.text}"


def accepted_text(accepted: Accepted) -> str:
    """Return how often the entries of the file matched; an entry without a match may be stale."""
    counts = [entry.count for entry in accepted.entries]
    lines = [f"{accepted.file}: {plural(sum(counts), 'finding')} accepted by {sum(map(bool, counts))} of"]
    lines[0] += f" {len(counts)} entr{'y' if len(counts) == 1 else 'ies'}"
    lines += [f"  entry {entry.number} matched nothing: {entry.pattern}" for entry in accepted.stale()]
    return "\n".join(lines) + "\n"


def cost_lines(title: str, costs: Comparison | Total, names: tuple[str, str]) -> Iterator[str]:
    """Yield a table of both sides and their difference; rows that are zero on both sides are left out."""
    left, right = asdict(costs.reference), asdict(costs.candidate)
    rows = [(title, *names, "difference")]
    for field, label in COSTS.items():
        one, other = left[field], right[field]
        if one or other:
            show = show_bytes if field.startswith("bytes_") or field.endswith("_cleaned") else str
            change = other - one
            sign = "+" if change > 0 else "-"
            rows.append((label, show(one), show(other), sign + show(abs(change)) if change else "="))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        cells = "  ".join(f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))
        yield f"{row[0]:<{widths[0]}}  {cells}"


def run_summary(runs: list[Run]) -> str:
    """Return the number of verdicts by class."""
    words = Counter(run.word for run in runs)
    counts = [f"{words[word]} {word}" for word in (*CLASSES, CLEAN, NOT_EXERCISED, ERROR, REFUSED) if words[word]]
    meaning = legend(words, runs[0].reference)
    return f"{plural(len(runs), 'verdict')}: {', '.join(counts)}" + (f"\n({meaning})" if meaning else "")


def fuzz_text(summary: Summary) -> str:
    """Return the text for a session: rates, then each finding once."""
    judged = f"{plural(summary.programs, 'program')} and {plural(summary.operations, 'operation')} judged"
    ended = ", interrupted" if summary.interrupted else ""
    rates = [per_second(count, summary.seconds) for count in (summary.programs, summary.operations)]
    lines = [f"{summary.candidate} against {summary.reference}, seed {summary.seed}:"]
    lines[0] += f" {judged} in {summary.seconds:.1f} s, all done in {summary.elapsed:.1f} s{ended}"
    lines += [f"{rates[0]} programs/s, {rates[1]} operations/s", ""]
    for found in summary.findings:
        lines += found_lines(found, summary)
    if not summary.programs:
        lines.append("nothing was judged: interrupted before the first verdict")
    elif summary.unknown:
        lines += [""] * bool(summary.findings) + [no_verdict(summary.programs, summary.refused)]
    elif not summary.findings and not summary.idle:
        where = ", in the programs that could be judged" if summary.crashes or summary.refused else ""
        where += f", in {plural(summary.programs, 'program')} before the interruption" if summary.interrupted else ""
        lines.append(f"nothing found: no rule was broken and the two did not differ{where}")
    if summary.findings:
        counts = Counter(found.kind for found in summary.findings)
        each = ", ".join(f"{counts[kind]} {kind}" for kind in CLASSES if counts[kind])
        lines += ["", f"{plural(len(summary.findings), 'finding')}: {each}", f"({legend(counts, summary.reference)})"]
    if summary.programs and summary.idle:
        lines.append(not_exercised(summary.exercise))
    if summary.exercise is not None:
        lines += ["", *exercise_lines(summary.exercise)]
        if summary.without_effect:
            where = ", except perhaps in par blocks" if summary.blocks else ""
            lines.append(f"{WITHOUT_EFFECT} in {plural(summary.same, 'program')}{where}")
    elif summary.only_one_is_tree:
        lines += ["", HALF_A_TREE]
    if summary.blocks:
        times = f"{summary.repeated} of them run again on each side, with the same events"
        lines += ["", f"{plural(summary.blocks, 'program')} with par blocks, {times}"]
    if summary.refused:
        lines += ["", *refused_lines(summary.refused)]
    if summary.accepted.entries:
        lines += ["", accepted_text(summary.accepted).rstrip("\n")]
    if summary.costs.programs:
        title = f"cost of {summary.costs.programs} of {plural(summary.programs, 'program')}"
        lines += ["", *cost_lines(title, summary.costs, (summary.reference, summary.candidate))]
    if summary.crashes:
        lines += ["", "Mistakes of s2fuzz, not of the candidate; please report them with the file:"]
        for found in summary.crashes:
            lines += found_lines(found, summary)
    return "\n".join(lines) + "\n"


def no_verdict(programs: int, refused: Mapping[str, int]) -> str:
    """Return a line saying that most programs have no verdict.

    :param programs: number of programs that ran
    :param refused: what is not modelled, or why no process could be started -> programs without a verdict
    """
    count = sum(refused.values())
    share = f"{count} of {plural(programs, 'program')}"
    unmodelled = not all(map(is_not_started, refused))
    why = "they need something that is not modelled" if unmodelled else "no process of a kernel tree could be started"
    return f"no verdict: {share} could not be judged; {why}"


def refused_lines(refused: Mapping[str, int]) -> Iterator[str]:
    """Yield what programs need that is not modelled, or why no process ran them, the most frequent first."""
    for reason, count in sorted(refused.items(), key=lambda each: (-each[1], each[0])):
        what = reason if is_not_started(reason) else f"not modelled: {reason}"
        yield f"{plural(count, 'program')} without a verdict; {what}"


def found_lines(found: FindingRecord, summary: Summary) -> Iterator[str]:
    """Yield the lines of a finding: class, signature, reason, where it is kept."""
    yield f"{found.kind:<10}  {found.signature}"
    yield f"{_INDENT}{found.reason}"
    kept = str(found.path) if found.path else f"program {found.number} of seed {summary.seed}"
    times = f"{plural(found.count, 'program')}, the smallest of {plural(found.operations, 'operation')}"
    yield f"{_INDENT}{times}: {kept}"
    if note := found.note():
        yield f"{_INDENT}({note})"
    if known := known_text(found.finding, summary.reference):
        yield f"{_INDENT}{known}"
    if found.path and (stamp := stamp_of(found.path, found.signature)):
        yield f"{_INDENT}{STAMP_PREFIX}{stamp}"
    yield from accepted_lines(summary.accepted, found.kind, found.signature)


def progress_text(summary: Summary) -> str:
    """Return the session so far in one line of less than 80 columns."""
    return (
        f"{summary.seconds:6.0f} s  {summary.programs} programs  "
        f"{per_second(summary.operations, summary.seconds)} operations/s  {plural(len(summary.findings), 'finding')}"
    )
