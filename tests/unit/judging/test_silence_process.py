# SPDX-License-Identifier: GPL-2.0-only
"""Kernel code that does not return, in each kind of process that judges, in the available form."""

import json
import os
import resource
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from fuzz.corpus.observing import observe
from fuzz.coverage import shares
from fuzz.engines.supervisor import run_unit
from fuzz.engines.unit import Result, Unit
from fuzz.judging import hurry, silence
from fuzz.judging.silence import SECONDS, hangs
from fuzz.language.text import parse

from ..console import ROOT, process
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


def test_a_session_hurries_once_its_time_is_over(tmp_path: Path) -> None:
    """Without that, three processes spend 10 s of CPU time each: two that judge, and one that replays."""
    (tmp_path / "loop.py").write_text(
        """\
from candidate import Candidate
from reference.mmu import Mmu
from reference.pgtable import Pgtable


class PgtableLoop(Pgtable):
    def stage2_map_walker_try_leaf(self, addr, end, level, ptep, data):
        while True:
            pass


CANDIDATE = Candidate("loop", PgtableLoop, Mmu, "a test")
"""
    )
    arguments = ("--candidate", "./loop.py", "--seconds", "1", "--workers", "2")
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = process("fuzz", *arguments, cwd=tmp_path, stdout=subprocess.PIPE)
    spent = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    assert done.returncode == 1, done.stderr
    assert "./loop.py: no event for 2 s of CPU time in kvm_handle_guest_abort" in done.stdout
    assert spent < 22.0


def test_only_the_end_of_the_time_lowers_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(hurry.VARIABLE, raising=False)
    with hurry.hurry_after(None):
        assert hurry.limit(10.0) == 10.0
    with hurry.hurry_after(1000.0):
        assert hurry.limit(10.0) == 10.0
    with hurry.hurry_after(-2.0):
        assert (hurry.limit(10.0), hurry.limit(1.0)) == (hurry.HURRIED, 1.0)
    assert hurry.VARIABLE not in os.environ


def test_minimising_leaves_out_programs_that_hang() -> None:
    """Each run would take the whole limit."""
    assert hangs(SIGNATURE)
    assert hangs("contract: kvm_set_memory_region: oops does not return in stage2_unmap_put_pte")
    assert not hangs("contract: kvm_set_memory_region: oops BUG() in stage2_unmap_put_pte")


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
    monkeypatch.setattr(silence, "SECONDS", 0.5)
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
