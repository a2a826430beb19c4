# SPDX-License-Identifier: GPL-2.0-only
"""Summaries: a session that shows a difference of two trees exercised it; one with too few verdicts has none."""

import pytest

from candidate.tree.lines.difference import Exercise
from fuzz.command_line.session_code import session_code
from fuzz.engines.summary import Summary
from fuzz.exit_codes import FINE, NO_VERDICT, WORSE
from fuzz.findings.record import record_of
from fuzz.gate.outcome import Gate
from fuzz.gate.summary import verdict
from fuzz.judging.finding import CLASSES, COMMON, Finding
from fuzz.language.text import parse
from fuzz.reports.report import fuzz_text

PROGRAM = parse("s2fuzz 1\nvm\nslot a size=64K backing=anon\n")
NOTHING_RAN = Exercise(1, 0, ["arch/arm64/kvm/mmu.c:1"], [])
SAID = "not exercised: none of the code"


def session(*kinds: str) -> Summary:
    summary = Summary("original", "rfc-v1", 1, programs=2, exercise=NOTHING_RAN)
    summary.findings = [record_of(Finding(kind, "a: b", "why", 0), PROGRAM, 1) for kind in kinds]
    return summary


def test_idle_if_nothing_ran() -> None:
    assert session().idle
    assert SAID in fuzz_text(session())


@pytest.mark.parametrize("kind", CLASSES)
def test_idle_with_findings(kind: str) -> None:
    """Check that a common finding does not count as exercising the lines that differ."""
    summary = session(kind)
    assert summary.idle == (kind == COMMON)
    assert (SAID in fuzz_text(summary)) == summary.idle


@pytest.mark.parametrize(
    ("ran", "same", "blocks", "said"),
    [
        (1, 8, 0, "no effect of the lines that ran is visible in 8 programs\n"),
        (1, 5, 3, "no effect of the lines that ran is visible in 5 programs, except perhaps in par blocks\n"),
        # In one program the two behaved differently; or nothing ran; or all programs have par blocks.
        (1, 4, 3, ""),
        (0, 8, 0, ""),
        (1, 0, 8, ""),
    ],
)
def test_lines_that_ran_without_effect(ran: int, same: int, blocks: int, said: str) -> None:
    """Two programs have no verdict."""
    found = Exercise(1, ran, [], [])
    summary = Summary("a", "b", 1, programs=10, exercise=found, refused={"memunmap": 2}, blocks=blocks, same=same)
    text = fuzz_text(summary)
    assert said in text
    assert ("event for event" in text) == bool(said)


@pytest.mark.parametrize(("refused", "code"), [(0, FINE), (5, FINE), (6, NO_VERDICT), (10, NO_VERDICT)])
def test_programs_without_a_verdict(refused: int, code: int) -> None:
    """Check that a session has no verdict if most of its programs have none."""
    summary = Summary("original", "rfc-v1", 1, programs=10, refused={"memunmap": refused} if refused else {})
    unknown = code == NO_VERDICT
    assert session_code(summary, failed=False) == code
    assert (f"no verdict: {refused} of 10 programs could not be judged" in fuzz_text(summary)) == unknown
    assert ("nothing found" in fuzz_text(summary)) == (not unknown)
    assert verdict(Gate(summary, [])) == ("without a verdict" if unknown else "passed")
    assert bool(Gate(summary, []).troubles) == unknown
    # Findings of the other programs count.
    assert session_code(summary, failed=True) == WORSE
