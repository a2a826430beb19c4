# SPDX-License-Identifier: GPL-2.0-only
"""Progress of fuzz: findings are printed when they are found; the progress line appears on terminals only."""

import pytest

from fuzz.command_line.commands.fuzz import ProgressLine
from fuzz.engines.summary import Summary
from fuzz.findings.record import FindingRecord, record_of
from fuzz.judging.finding import Finding
from fuzz.language.text import parse

PROGRAM = parse("s2fuzz 1\nvm\nslot a size=64K backing=anon\n")
RENEW = "\r\x1b[K"
ONE = "s2fuzz: program 3: regression a: b\n"
OTHER = "s2fuzz: program 5: common c: d\n"


@pytest.fixture
def summary() -> Summary:
    return Summary("original", "rfc-v1", 1, programs=9, seconds=1.0)


def found(kind: str, signature: str, number: int) -> FindingRecord:
    return record_of(Finding(kind, signature, "why", 0), PROGRAM, number)


def session(summary: Summary, progress: ProgressLine) -> None:
    """Show no finding, then one finding, the same one with a smaller program, and another one."""
    progress.show()
    one, smaller, other = found("regression", "a: b", 3), found("regression", "a: b", 4), found("common", "c: d", 5)
    summary.first[one.finding.key] = one
    summary.findings = [one]
    progress.show()
    summary.first[other.finding.key] = other
    summary.findings = [other, smaller]
    progress.print_new()
    progress.clear()


def test_each_finding_once_and_no_line_without_a_terminal(summary: Summary, capsys: pytest.CaptureFixture[str]) -> None:
    session(summary, ProgressLine(summary, terminal=False))
    assert capsys.readouterr() == ("", ONE + OTHER)


def test_findings_between_renewals_of_the_line(summary: Summary, capsys: pytest.CaptureFixture[str]) -> None:
    session(summary, ProgressLine(summary, terminal=True))
    out, err = capsys.readouterr()
    start, line, one, again, other, end = err.split(RENEW)
    assert "9 programs" in line
    assert "9 programs" in again
    assert (out, start, one, other, end) == ("", "", ONE, OTHER, "")


def test_json_output_has_no_progress_line(summary: Summary, capsys: pytest.CaptureFixture[str]) -> None:
    session(summary, ProgressLine(summary, terminal=True, quiet=True))
    assert capsys.readouterr() == ("", "")
