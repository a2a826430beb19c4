# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz demo``: the story matches the behaviour of the versions, with and without a corpus."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import candidate
from fuzz.command_line import cli, story
from fuzz.engines.unit import Unit
from fuzz.judging.differential import Differential
from fuzz.language.program import show_bytes
from fuzz.language.text import load, parse

from ..console import ROOT


def told(name: str, out: str) -> str:
    """Return the part of the story about one candidate, as one line."""
    return " ".join(out.split(f"\n{name} against original: ")[1].split("\n\n")[0].split())


def test_the_review(capsys: pytest.CaptureFixture[str]) -> None:
    story.review()
    out = capsys.readouterr().out
    assert told(story.SERIES, out).startswith("regression dcache: stage2_map_walker: table->block after a translation")
    assert told(story.REPAIR, out).startswith("clean The repair")
    for name in (story.SERIES, story.REPAIR):
        costs = (
            Differential(candidate.get("original"), candidate.get(name), measure=True).run(parse(story.PROGRAM)).costs
        )
        assert costs is not None
        for side in (costs.reference, costs.candidate):
            assert f" {show_bytes(side.bytes_cleaned)}" in told(name, out)
    assert max(map(len, out.splitlines())) <= 100


def test_the_program_is_in_the_corpus() -> None:
    assert parse(story.PROGRAM) == load(ROOT / "corpus" / "regressions" / "dcache-logging-route.s2")


@pytest.mark.parametrize(
    ("part", "name", "wrong"),
    [("SERIES", "original", "original shows clean, not regression"), ("REPAIR", "rfc-v1", "rfc-v1 shows regression")],
)
def test_a_story_that_the_versions_contradict_is_an_internal_error(
    part: str, name: str, wrong: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(story, part, name)
    assert cli.main(["demo"]) == 3
    assert f"s2fuzz: a mistake of s2fuzz: {wrong}" in capsys.readouterr().err


def test_findings_are_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert story.fuzz(Unit("random", "original", story.WHOLE, 1, programs=40)) == 0
    out = capsys.readouterr().out
    lines = re.findall(r"^ +[\d.]+ s  (\w+ +\w.*)$", out, re.MULTILINE)
    assert any(line.startswith("regression  ") for line in lines)
    assert len(set(lines)) == len(lines)
    assert f"\n{len(lines)} findings in 40 programs\n" in out


def test_the_demo_writes_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    story.review()
    story.fuzz(Unit("random", "original", story.WHOLE, 1, programs=5))
    assert list(tmp_path.iterdir()) == []


def test_the_demo_needs_only_the_packages(tmp_path: Path) -> None:
    """Run in an ordinary installation: no corpus/, no checkout."""
    for name in ("reference", "candidate", "fuzz"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    code = "from fuzz.command_line import story; from fuzz.engines.unit import Unit; story.review(); "
    code += f"raise SystemExit(story.fuzz(Unit('random', 'original', {story.WHOLE!r}, 1, programs=5)))"
    environment = {"PYTHONPATH": str(tmp_path), "S2FUZZ_PURE": "1", "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, cwd=tmp_path, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{story.SERIES} against original: regression" in done.stdout
    assert "in 5 programs" in done.stdout
