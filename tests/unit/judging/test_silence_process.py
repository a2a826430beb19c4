# SPDX-License-Identifier: GPL-2.0-only
"""Kernel code that does not return, in each kind of process that judges, in the available form."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from fuzz.corpus.observing import Worker, observe
from fuzz.coverage import shares
from fuzz.engines.supervisor import run_unit
from fuzz.engines.unit import Result, Unit
from fuzz.judging.silence import SECONDS
from fuzz.language.text import parse

from ..console import ROOT
from ..processes import LONG, Started, environment

LOOP = "s2fuzz 1\nvm\nslot a size=2M backing=anon\ncpu0 write a+0\ncpu0 write a+4K\nhost discard a+0 2M\n"
FINE = "s2fuzz 1\nvm\nslot a size=4K backing=anon\ncpu0 write a+0\n"
SIGNATURE = "progress: stage2_unmap_walker: does not return"


@pytest.fixture
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the test candidates known to processes started from here."""
    monkeypatch.setenv("PYTHONPATH", environment(tmp_path)["PYTHONPATH"])


def test_run_names_operation_and_program(tmp_path: Path) -> None:
    for name, text in (("loop.s2", LOOP), ("fine.s2", FINE)):
        (tmp_path / name).write_text(text)
    run = Started(tmp_path, "run", "loop.s2", "fine.s2", "--candidate", "eventless-loop", "--json")
    code, out, err = run.end(seconds=LONG)
    assert code == 1, err
    loop, fine = json.loads(out)["results"]
    (found,) = loop["findings"]
    assert (loop["program"], found["class"], found["signature"]) == ("loop.s2", "regression", SIGNATURE)
    assert (found["at"], found["operation"]) == (2, "operation 3: host discard a+0 2M")
    assert found["severity"] == "hang"
    assert fine["verdict"] == "clean"


@pytest.mark.parametrize("page", ["architecture.md", "findings.md"])
def test_the_pages_state_the_time_limit(page: str) -> None:
    assert f"runs for {SECONDS:g} s of CPU time without an event" in (ROOT / "docs" / page).read_text()


@pytest.mark.parametrize("workers", [1, 2])
def test_fuzz_ends_after_its_time_with_the_finding(tmp_path: Path, workers: int) -> None:
    """Check that although nearly every program hangs, one is found, replayed and filed before the session ends."""
    arguments = ("--candidate", "eventless-loop", "--seconds", "3", "--workers", str(workers), "--json")
    code, out, err = Started(tmp_path, "fuzz", *arguments).end(seconds=LONG)
    assert code == 1, err
    answer = json.loads(out)
    (found,) = [each for each in answer["findings"] if each["signature"] == SIGNATURE]
    assert found["class"] == "regression"
    assert (tmp_path / found["file"]).read_text().endswith(found["text"])
    assert (answer["crashes"], answer["unreplayed"]) == ([], [])
    # The first program takes at least two of the seconds even on a fast machine; no worker begins a third one.
    assert found["count"] <= 2 * workers


@pytest.mark.usefixtures("known")
def test_a_unit_continues_after_a_hang() -> None:
    result = run_unit(Unit("random", "original", "eventless-loop", 1, programs=6), seconds=0.5)
    found = result.found[f"regression {SIGNATURE}"]
    assert found.count == result.state.counts[found.finding.title] >= 2
    assert found.finding.at >= 0
    assert "the last walker stage2_unmap_walker" in found.reason
    assert parse(found.text)
    assert result.accidents == []


@pytest.mark.usefixtures("known")
def test_a_unit_ends_early_in_a_hang_that_is_known() -> None:
    """End the time during a second program in a known place, where waiting for its patience would take too long."""
    unit = Unit("random", "original", "eventless-loop", 1, seconds=3.0)
    found = run_unit(replace(unit, programs=6, seconds=None), seconds=0.5).found
    assert f"regression {SIGNATURE}" in found

    def watch(result: Result) -> None:
        for key, record in found.items():
            result.found.setdefault(key, record)

    assert run_unit(unit, watch, seconds=3600.0).found.keys() == found.keys()


@pytest.mark.usefixtures("known")
def test_features_of_other_programs_are_observed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Worker.__init__, "__defaults__", (0.5,))
    jobs = [("loop", LOOP), ("fine", FINE)]
    seen = {each.digest: each for each in observe(jobs, "original", "eventless-loop", 1)}
    assert seen["fine"].features
    assert seen["loop"].features is None
    assert "for 0.5 s of CPU time without an event, twice" in seen["loop"].trouble


@pytest.mark.usefixtures("known")
def test_coverage_of_other_programs_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("coverage")
    monkeypatch.setattr(shares.Share.__init__, "__defaults__", (2.0,))
    programs = [("loop", parse(LOOP)), ("fine", parse(FINE))]
    (answer,) = shares.run(programs, ["eventless-loop"], 1, tmp_path)
    assert list(answer["troubled"]) == ["loop"]
    assert "stage2_unmap_walker, at operation 3: host discard a+0 2M" in answer["troubled"]["loop"]
    assert (tmp_path / "0").exists()
