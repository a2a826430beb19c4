# SPDX-License-Identifier: GPL-2.0-only
"""Minimising within a bound of runs: repeatable, replayed, and only for findings that are worth it."""

from pathlib import Path

import pytest

from fuzz.engines.summary import Keeper, Summary
from fuzz.findings.accepted import Accepted, Entry
from fuzz.findings.finding_files import ALTERNATIVES
from fuzz.findings.found import CRASH, comments_of
from fuzz.findings.record import FindingRecord, record_of
from fuzz.judging.finding import Finding
from fuzz.language.text import load, parse
from fuzz.minimizing.bounded import smaller
from fuzz.minimizing.minimize import Minimized

from ..console import MISSING_CLEAN
from ..replaying import Here

LARGE = parse(MISSING_CLEAN + "cpu0 read a+0\nhost age a+0 4K\ncpu1 read a+2M\n")
SIGNATURE = "dcache: stage2_map_walker: table->block after a translation fault, not cleaned L2"
SILENT = "progress: stage2_map_walker: does not return"


def large(kind: str = "regression", signature: str = SIGNATURE) -> FindingRecord:
    return record_of(Finding(kind, signature, "why", 3), LARGE, 7, 1)


def test_the_small_program_has_been_replayed() -> None:
    replayer = Here()
    small = smaller(large(), "original", "rfc-v1-3", replayer)
    assert len(small.program.operations) == 3
    assert replayer.asked == [small.text]
    assert small.minimized == "7 operations to 3"
    assert (small.number, small.seed, small.signature) == (7, 1, SIGNATURE)
    # The operation is that of the small program.
    assert small.where().startswith("operation 3: ")
    assert smaller(large(), "original", "rfc-v1-3", Here()).text == small.text


def test_the_bound_is_kept() -> None:
    one = smaller(large(), "original", "rfc-v1-3", Here(), runs=2)
    assert len(one.program.operations) > 3
    assert smaller(large(), "original", "rfc-v1-3", Here(), runs=2).text == one.text


@pytest.mark.parametrize(
    ("kind", "signature"), [(CRASH, "KeyError in f"), ("regression", SILENT), ("regression", "leak: f: not shown")]
)
def test_a_slow_or_missing_finding_keeps_its_program(kind: str, signature: str) -> None:
    record = large(kind, signature)
    replayer = Here()
    assert smaller(record, "original", "rfc-v1-3", replayer) is record
    assert replayer.asked == []


def test_a_program_that_does_not_replay_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    record, replayer = large(), Here()
    monkeypatch.setattr(replayer, "shows", lambda *_: [])
    assert smaller(record, "original", "rfc-v1-3", replayer) is record


def test_ctrl_c_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fuzz.minimizing.bounded.minimized", lambda *_: Minimized(LARGE, 1, 0.1, False, True))
    with pytest.raises(KeyboardInterrupt):
        smaller(large(), "original", "rfc-v1-3", Here())


def test_a_session_keeps_the_small_and_the_original_program(tmp_path: Path) -> None:
    summary = Summary("original", "rfc-v1-3", 1)
    keeper = Keeper(summary, tmp_path, Here())
    keeper.take(large())
    keeper.update()
    place = summary.findings[0].path or Path()
    assert load(place) == LARGE
    keeper.minimize()
    (after,) = summary.findings
    assert after.path == place
    text = place.read_text()
    assert len(load(place).operations) == 3
    assert comments_of(text)["minimized"] == "7 operations to 3"
    assert comments_of(text)["seed"] == "1, program 7"
    assert after.count == 1
    (kept,) = (tmp_path / ALTERNATIVES).glob("*.s2")
    assert load(kept) == LARGE
    # The next session finds the small program in its file.
    again = Keeper(Summary("original", "rfc-v1-3", 2), tmp_path, Here())
    again.take(large())
    again.update()
    again.minimize()
    assert place.read_text() == text


def test_findings_that_do_not_count_are_not_minimised() -> None:
    """Check accepted findings, findings of the reference, and all findings without time or after Ctrl-C."""
    entries = (Entry(1, f"regression {SIGNATURE}", "it is meant"),)
    cases = (Accepted("k.toml", entries), None, False), (Accepted(), 0.0, False), (Accepted(), None, True)
    for accepted, seconds, interrupted in cases:
        summary = Summary("original", "rfc-v1-3", 1, accepted=accepted, interrupted=interrupted)
        keeper = Keeper(summary, None, Here())
        keeper.take(large())
        keeper.update()
        keeper.minimize(seconds)
        assert [found.program for found in summary.findings] == [LARGE]


def test_ctrl_c_leaves_the_summary(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> FindingRecord:
        raise KeyboardInterrupt

    monkeypatch.setattr("fuzz.engines.summary.smaller", interrupted)
    summary = Summary("original", "rfc-v1-3", 1)
    keeper = Keeper(summary, None, Here())
    keeper.take(large())
    keeper.update()
    keeper.minimize()
    assert summary.interrupted
    assert [found.program for found in summary.findings] == [LARGE]
