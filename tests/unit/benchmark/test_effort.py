# SPDX-License-Identifier: GPL-2.0-only
"""The time that engines take to find planted bugs: trials, their evaluation, and the peers."""

import json
import os
import re
from concurrent.futures import CancelledError
from pathlib import Path
from threading import Event
from typing import Any, Final

import pytest

from candidate.bugs import BUGS
from fuzz.benchmark import effort, ranking
from fuzz.benchmark.effort import BenchmarkTrial, Task, tasks
from fuzz.benchmark.ranking import Benchmark, BenchmarkRow, Rank
from fuzz.command_line import cli
from fuzz.engines import registry
from fuzz.engines.supervisor import EngineError, run_unit
from fuzz.engines.unit import Result, Unit
from fuzz.engines.unit_run import UnitRun
from fuzz.language.program import Program

from ..run_here import run_here

# A bug found soon, but not at once.
SHALLOW: Final = next(bug for bug in BUGS if bug.name == "bug-exec-clean")
# A bug found after about a thousand random programs.
DEEP: Final = BUGS[-1]
# Seconds; far more than any test here takes on any machine.
PLENTY: Final = 500.0
BARE_HYPOTHESIS, BARE_ATHERIS = registry.PEERS
needs_atheris = pytest.mark.skipif(registry.engine_of("atheris").missing() != "", reason="atheris is not installed")


def trial(seed: int, found: bool, seconds: float, programs: int, engine: str = "e") -> BenchmarkTrial:
    return BenchmarkTrial("b", engine, seed, 9.0, found, 2 * seconds, seconds, programs, 10 * programs, 0, "c", "f")


def test_a_row_has_median_and_worst() -> None:
    trials = [trial(1, True, 3.0, 30), trial(2, True, 1.0, 90), trial(3, True, 2.0, 60)]
    assert ranking.row(trials) == BenchmarkRow("b", "e", 3, 3, 9.0, 2.0, 3.0, 60, 90)


def test_a_trial_without_finding_ranks_last() -> None:
    trials = [trial(1, True, 3.0, 30), trial(2, False, 9.0, 500), trial(3, True, 2.0, 60)]
    assert ranking.row(trials) == BenchmarkRow("b", "e", 3, 2, 9.0, 3.0, None, 60, None)
    lost = BenchmarkRow("b", "e", 3, 1, 9.0, None, None, None, None)
    assert ranking.row([*trials[:2], trial(3, False, 9.0, 400)]) == lost


def test_engines_rank_by_bugs_found_then_by_time() -> None:
    trials = {
        "slow": [trial(1, True, 8.0, 9, "slow"), trial(2, True, 2.0, 9, "slow")],
        "lame": [trial(1, False, 7.0, 9, "lame"), trial(2, True, 4.0, 9, "lame")],
        "fast": [trial(1, True, 1.0, 9, "fast"), trial(2, False, 7.0, 9, "fast")],
    }
    ranks = ranking.ranked([ranking.rank(each) for each in trials.values()])
    assert ranks == [Rank("slow", 2, 2, 4.0), Rank("fast", 2, 1, 3.0), Rank("lame", 2, 1, 6.0)]


def test_the_table_shows_missing_findings_and_missing_runs() -> None:
    first = BenchmarkRow("b", "x", 5, 5, 9.0, 1.25, 3.0, 20, 41)
    rows = [first, BenchmarkRow("b", "y", 5, 3, 9.0, 2.0, None, 7.5, None)]
    ranks = [Rank("x", 5, 5, 1.5), Rank("y", 5, 3, 4.0)]
    text = ranking.text(Benchmark(1, 2, "3.11", ["z"], False, [], rows, ranks))
    lines = [line.split() for line in text.splitlines()]
    assert ["x", "5/5", "1.2", "3.0", "20", "41"] in lines
    assert ["y", "3/5", "2.0", ">9", "8", "-"] in lines
    assert lines[-2:] == [["x", "5/5", "1.5"], ["y", "3/5", "4.0"]]
    assert "not run, package not installed: z\n" in text


def running() -> list[str]:
    """Return the live processes that this process has started."""
    children = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    return [number for path in children for number in path.read_text().split()]


def here(unit: Unit) -> Result:
    result = Result(unit)
    run_here(unit, result.record)
    return result


def test_a_trial_ends_with_the_program_that_shows_the_bug() -> None:
    seen: list[tuple[BenchmarkTrial, int]] = []
    todo = tasks([SHALLOW], ["random"], 1, PLENTY)
    (one,), interrupted = effort.measure(todo, 1, lambda trial, left: seen.append((trial, left)))
    assert seen == [(one, 0)]
    assert not interrupted
    assert (one.bug, one.engine, one.seed, one.found, one.accidents) == (SHALLOW.name, "random", 1, True, 0)
    assert one.cpu_seconds > 0
    before = here(Unit("random", SHALLOW.base, SHALLOW.name, 1, programs=one.programs - 1))
    assert not any(title.startswith(f"regression {SHALLOW.checker}: ") for title in before.found)
    assert running() == []


def test_a_trial_ends_with_its_time() -> None:
    (one,), _ = effort.measure(tasks([DEEP], ["random"], 1, 0.2), 1)
    assert not one.found
    assert 0.2 <= one.cpu_seconds < PLENTY
    assert one.programs > 0


def test_peers_have_one_seed_and_a_short_time() -> None:
    made = tasks([SHALLOW], ["random", BARE_HYPOTHESIS], 3, 60.0)
    assert made == [
        *(Task(SHALLOW, "random", seed, 60.0) for seed in (1, 2, 3)),
        Task(SHALLOW, BARE_HYPOTHESIS, 1, 20.0),
    ]


def test_ctrl_c_ends_all_trials_and_keeps_complete_ones() -> None:
    def interrupt(trial: BenchmarkTrial, left: int) -> None:
        raise KeyboardInterrupt

    made, interrupted = effort.measure(tasks([SHALLOW, DEEP], ["random"], 1, PLENTY), 2, interrupt)
    assert interrupted
    assert [each.bug for each in made] == [SHALLOW.name]
    assert running() == []


def test_an_engine_that_does_not_run_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Declare an engine whose process cannot import its driver."""
    monkeypatch.setattr(registry, "ENGINES", (*registry.ENGINES, registry.Engine("no-such", "no_such:drive")))
    with pytest.raises(EngineError, match="engine no-such"):
        effort.measure(tasks([SHALLOW], ["no-such"], 1, PLENTY), 1)
    assert running() == []


def test_an_engine_without_its_package_is_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(registry, "find_spec", lambda name: None)
    engines = ("atheris", "hypothesis", *registry.PEERS)
    assert effort.missing_engines(["random", *engines]) == list(engines)
    assert cli.main(["bench", "--find", "--engine", "atheris"]) == 2
    assert "bench --engine atheris: no such package" in capsys.readouterr().err


class Judged:
    """Records the programs that are judged."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.programs: list[Program] = []
        judge = UnitRun.judge

        def note(unit_run: UnitRun, program: Program) -> object:
            self.programs.append(program)
            return judge(unit_run, program)

        monkeypatch.setattr(UnitRun, "judge", note)

    def of(self, seed: int) -> list[Program]:
        """Return the programs of a unit of two programs."""
        self.programs.clear()
        here(Unit(BARE_HYPOTHESIS, SHALLOW.base, SHALLOW.name, seed, programs=2))
        return self.programs[:]


def test_bare_hypothesis_draws_programs_from_its_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    judged = Judged(monkeypatch)
    first = judged.of(1)
    assert len(first) == 2
    assert any(len(program.operations) > 1 for program in first)
    assert judged.of(1) == first
    assert judged.of(2) != first


@needs_atheris
def test_bare_atheris_runs_in_plain_python_until_its_budget_is_spent() -> None:
    result = run_unit(Unit(BARE_ATHERIS, SHALLOW.base, SHALLOW.name, 1, programs=3))
    assert result.state.programs == 3
    assert result.accidents == []


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ("--seeds 2", "bench --seeds without --find"),
        ("--full", "bench --full without --find"),
        ("--find --programs 3", "bench --programs with --find"),
        ("--find --trees original rfc-v1", "bench --trees with --find"),
        ("--campaign --trees original rfc-v1", "bench --campaign with --find, --programs or --trees"),
        ("--trees original rfc-v0", "rfc-v0"),
        ("--memory 1 --find", "bench --memory with --find, --programs, --trees or --campaign"),
        ("--find --bug fly", "bench --bug fly: no such bug; allowed: bug-never-cacheable, "),
        ("--find --deepest 3 --full", "bench --full, --deepest and --bug together"),
        ("--find --markdown page.md", "bench --markdown without --trials"),
        ("--find --trials /nowhere/trials.json", "--trials /nowhere/trials.json: No such file or directory"),
        ("--find --engine none", "bench --engine none: no such engine; allowed: random, "),
        ("--find --cap 0", "--cap: '0'; allowed: more than 0"),
        ("--find --workers 0", "--workers: '0'; allowed: a whole number from 1"),
    ],
)
def test_wrong_options_are_refused(options: str, wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code: Any = cli.main(["bench", *options.split()])
    except SystemExit as end:
        code = end.code
    shown = capsys.readouterr()
    assert code == 2
    assert shown.out == ""
    assert wrong in shown.err
    assert shown.err.count("\n") == 1


def test_the_command_answers_with_json(capsys: pytest.CaptureFixture[str]) -> None:
    options = f"--find --json --engine random --bug {SHALLOW.name} --seeds 1 --cap {PLENTY}"
    assert cli.main(["bench", *options.split()]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["trials"][0]["found"]
    assert answer["rows"][0]["engine"] == "random"
    assert (answer["trials"][0]["cap"], answer["interrupted"]) == (PLENTY, False)


def test_the_command_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    options = f"--find --engine random --bug {SHALLOW.name} --seeds 2 --cap 0.001 --workers 1"
    assert cli.main(["bench", *options.split()]) == 0
    shown = capsys.readouterr()
    assert re.search(rf"^{SHALLOW.name}\n  random +0/2 +>0\.001 +>0\.001 ", shown.out, re.MULTILINE)
    assert re.search(rf"^{SHALLOW.name}, random, seed 2: not found after [01] programs?, ", shown.err, re.MULTILINE)


def test_a_cancelled_trial_does_not_count() -> None:
    stop = Event()
    stop.set()
    with pytest.raises(CancelledError):
        effort.attempt(Task(BUGS[-1], "random", 1, PLENTY), stop)
