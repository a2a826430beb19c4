# SPDX-License-Identifier: GPL-2.0-only
"""Stored trials of planted bugs: trials that are repeated, files that are refused, and the page."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

import pytest

from candidate.bugs import BUGS
from fuzz.benchmark.bank import TrialsError, TrialsFile, loaded, page
from fuzz.benchmark.effort import BenchmarkTrial, Task
from fuzz.benchmark.halves import halves
from fuzz.benchmark.ranking import grouped, ordered, row
from fuzz.command_line import cli
from fuzz.findings.digests import code_text

DOCS: Final = Path(__file__).parents[3] / "docs"
FIRST: Final = BUGS[0]
LAST: Final = BUGS[-1]
FOUND: Final = BenchmarkTrial(
    FIRST.name, "random", 1, 9.0, True, 3.0, 1.5, 40, 400, 0, code_text(FIRST.base, FIRST.name), "plain"
)
LOST: Final = replace(FOUND, seed=2, found=False, cpu_seconds=9.0, programs=900)


def kept(path: Path, *trials: BenchmarkTrial) -> TrialsFile:
    file = TrialsFile(str(path))
    for trial in trials:
        file.add(trial)
    return file


def test_a_later_run_continues(tmp_path: Path) -> None:
    """Check that trials that found the bug are not repeated, and the others only with more time."""
    path = tmp_path / "trials.json"
    kept(path, LOST, FOUND)
    again = TrialsFile(str(path))
    assert again.all() == [FOUND, LOST]
    todo = [Task(FIRST, "random", seed, 9.0) for seed in (1, 2, 3)]
    assert [task.seed for task in again.remaining(todo)] == [3]
    assert [task.seed for task in again.remaining([replace(task, cap=60.0) for task in todo])] == [2, 3]
    again.add(replace(LOST, found=True))
    assert [trial.found for trial in loaded(str(path))] == [True, True]


def test_trials_of_other_code_are_known(tmp_path: Path) -> None:
    other = replace(FOUND, seed=7, code="x")
    assert kept(tmp_path / "trials.json", FOUND, other).outdated() == [other]


def test_a_removed_bug_no_longer_counts(tmp_path: Path) -> None:
    file = kept(tmp_path / "trials.json", FOUND, replace(FOUND, bug="bug-gone"))
    assert file.all() == [FOUND]
    assert "bug-gone" not in page(file.all())


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        ("[]", "not a file of trials of `bench --find`"),
        ("{", "not a file of trials of `bench --find`"),
        ('{"trials": [{"bug": "x"}]}', "a trial has the fields bug; it must have bug, engine, seed, "),
    ],
)
def test_other_files_are_refused(content: str, wrong: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "trials.json"
    path.write_text(content)
    with pytest.raises(TrialsError):
        TrialsFile(str(path))
    assert cli.main(["bench", "--find", "--trials", str(path)]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith(f"s2fuzz: --trials {path}: {wrong}")
    assert shown.count("\n") == 1
    assert path.read_text() == content


def test_the_page_has_each_bug_with_its_measurements() -> None:
    lines = page([FOUND, LOST, replace(LOST, bug=LAST.name), replace(LOST, engine="hypothesis")]).splitlines()
    for bug in BUGS:
        assert f"| {bug.name} | {bug.base} | {bug.checker} | {bug.origin} |" in lines
    assert "| bug | random | hypothesis |" in lines
    assert f"| {FIRST.name} | 1/2, - of 9 s | 0/1, - of 9 s |" in lines
    assert f"| {LAST.name} | 0/1, - of 9 s | not measured |" in lines
    assert f"| {BUGS[1].name} | not measured | not measured |" in lines
    assert "| random | 1/3 | 5.0 |" in lines
    assert f"| {FIRST.name} | 1/1, 1.5 s, 40 |" in page([FOUND]).splitlines()


def test_the_command_keeps_its_trials_and_writes_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Check that a second run only writes the page again."""
    trials, markdown = tmp_path / "trials.json", tmp_path / "page.md"
    options = f"--find --engine random --bug {FIRST.name} --seeds 1 --trials {trials} --markdown {markdown}"
    assert cli.main(["bench", *options.split()]) == 0
    first = capsys.readouterr()
    assert f"{FIRST.name}, random, seed 1: found after " in first.err
    (trial,) = json.loads(trials.read_text())["trials"]
    assert trial == asdict(loaded(str(trials))[0])
    written = markdown.read_text()
    assert f"| {FIRST.name} | 1/1, " in written
    markdown.unlink()
    assert cli.main(["bench", *options.split()]) == 0
    second = capsys.readouterr()
    assert "seed 1" not in second.err
    assert second.out == first.out
    assert markdown.read_text() == written


def test_the_page_of_this_repository_matches_its_trials() -> None:
    assert (DOCS / "bug-bank.md").read_text() == page(ordered(loaded(str(DOCS / "bug-bank.json"))))


def test_halves_compare_medians_with_those_of_random_programs() -> None:
    other = replace(FOUND, engine="hypothesis", programs=80, cpu_seconds=6.0)
    second = replace(other, bug=BUGS[1].name, programs=30, cpu_seconds=1.0)
    third = replace(other, bug=BUGS[2].name)
    deep = replace(other, bug=LAST.name, programs=10, cpu_seconds=0.75)
    trials = [FOUND, replace(FOUND, bug=BUGS[1].name, programs=60, cpu_seconds=4.0), replace(FOUND, bug=LAST.name)]
    trials += [other, second, third, deep]
    rows = [row(each) for each in grouped(trials, lambda trial: (trial.bug, trial.engine))]
    shallow, last = halves(rows, "hypothesis")
    # Twice and half the programs, four times and a quarter of the seconds; the third bug is not measured with both.
    assert (shallow.bugs, round(shallow.programs, 6), round(shallow.cpu_seconds, 6)) == (2, 1.0, 1.0)
    assert (last.bugs, last.programs, last.cpu_seconds) == (1, 0.25, 0.5)
    assert "| hypothesis | 1.00 | 1.00 | 0.25 | 0.50 |" in page(trials).splitlines()
    assert "Against random programs" not in page([FOUND])
    assert "| hypothesis | - | - | - | - |" in page([FOUND, deep]).splitlines()


def test_the_bank_is_measured_and_in_order() -> None:
    """Check that some engine found each bug on four of five seeds, and that bugs are ordered by programs of random."""
    trials = loaded(str(DOCS / "bug-bank.json"))
    rows = [row(each) for each in grouped(ordered(trials), lambda trial: (trial.bug, trial.engine))]
    for bug in BUGS:
        assert any(each.found >= 4 for each in rows if each.bug == bug.name and each.trials == 5), bug.name
    programs = [each.median_programs for each in rows if each.engine == "random"]
    assert len(programs) == len(BUGS)
    assert programs == sorted(programs, key=lambda each: each or 0)
