# SPDX-License-Identifier: GPL-2.0-only
"""The outcome of a gate as Markdown, for the page of a CI run or a comment."""

from collections.abc import Iterator

from ..checkers.registry import rule_of
from ..distribution import VERSION
from ..language.text import print_program
from ..reports.account_text import escaped
from ..reports.report import exercise_lines, plural, refused_lines
from .outcome import NEW, Gate, GateFinding
from .wording import known_line, place_text


def markdown(gate: Gate) -> str:
    """Return the outcome as the text of a file."""
    return "\n".join(lines(gate)) + "\n"


def verdict(gate: Gate) -> str:
    """Return one line: passed or failed, and why."""
    reasons = [plural(len(gate.new), "new finding" if gate.compared else "finding")] if gate.new else []
    if gate.strict and gate.stale:
        reasons.append(f"{len(gate.stale)} stale entr{'y' if len(gate.stale) == 1 else 'ies'} of accepted findings")
    if reasons:
        return f"failed: {', '.join(reasons)}"
    if gate.summary.unknown:
        return "without a verdict"
    return "not complete" if gate.troubles else "passed"


def lines(gate: Gate) -> Iterator[str]:
    """Yield the lines of the file."""
    summary = gate.summary
    yield f"# s2fuzz gate {verdict(gate)}"
    yield ""
    judged = f"{plural(summary.programs, 'program')} of seed {summary.seed}, {plural(summary.operations, 'operation')}"
    yield f"`{summary.candidate}` against `{summary.reference}`: {judged} (s2fuzz {VERSION})."
    for each in gate.troubles:
        yield ""
        yield f"**{escaped(each)}**"
    if summary.exercise is not None:
        yield ""
        yield from (f"* {escaped(each)}" for each in exercise_lines(summary.exercise))
    if gate.new:
        yield from table("New in this change" if gate.compared else "Findings", gate.new)
        for number, found in enumerate(gate.new, 1):
            yield from detail(number, found)
    known = [each for each in gate.findings if each.state != NEW]
    yield from listed("Known before", [known_line(each) for each in known])
    yield from listed("Gone since the baseline", [" ".join(key) for key in gate.gone])
    stale = [f"entry {entry.number}: {entry.pattern} ({entry.text})" for entry in gate.stale]
    yield from listed("Accepted findings that match nothing", stale)
    for line in refused_lines(summary.refused):
        yield ""
        yield escaped(f"{line}.")
    others = ", ".join(f"{count} {kind}" for kind, count in sorted(gate.others.items()))
    if others:
        yield ""
        yield f"Not counted: {others} (the reference shows these)."


def table(heading: str, findings: list[GateFinding]) -> Iterator[str]:
    """Yield a table of the findings that fail the gate, one row each."""
    yield from ("", f"## {heading}", "", "| # | class | finding | severity | where |", "|---|---|---|---|---|")
    for number, each in enumerate(findings, 1):
        record = each.record
        cells = [str(number), record.kind, escaped(record.signature), each.severity, escaped(place_text(each))]
        yield f"| {' | '.join(cells)} |"


def detail(number: int, found: GateFinding) -> Iterator[str]:
    """Yield a section with all details of a finding."""
    record, rule = found.record, rule_of(found.record.signature)
    yield from ("", f"### {number}. {escaped(record.signature)}", "", escaped(f"{record.reason}."))
    if rule is not None:
        yield from (
            "",
            f"* Rule: {escaped(rule.broken(record.signature))}.",
            f"* Why: {escaped(rule.reason(record.signature))}.",
        )
    note = record.note()
    yield from ("", escaped(f"At {record.where()}{f' ({note})' if note else ''}:"), "", "```text")
    yield from print_program(record.program).splitlines()
    yield "```"


def listed(heading: str, texts: list[str]) -> Iterator[str]:
    """Yield a list under a heading, unless the list is empty."""
    if texts:
        yield from ("", f"## {heading}", "")
        yield from (f"* {escaped(each)}" for each in texts)
