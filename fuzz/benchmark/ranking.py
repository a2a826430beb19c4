# SPDX-License-Identifier: GPL-2.0-only
"""The evaluation of trials of planted bugs: rows by bug and engine, ranks of engines, a text and a page."""

import os
import platform
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf

from candidate.bugs import BUGS

from ..engines.registry import PEERS, PUBLIC
from .effort import BenchmarkTrial


@dataclass(frozen=True, slots=True)
class BenchmarkRow:
    """Trials of one engine with one bug, one per seed; medians are None if at least half missed it, worsts if any did.

    :param found: number of trials that found it
    :param cap: upper bound of CPU seconds per trial
    """

    bug: str
    engine: str
    trials: int
    found: int
    cap: float
    median_cpu_seconds: float | None
    worst_cpu_seconds: float | None
    median_programs: float | None
    worst_programs: int | None


@dataclass(frozen=True, slots=True)
class Rank:
    """All trials of one engine.

    :param mean_cpu_seconds: geometric mean; a bug that was not found counts with the whole time
    """

    engine: str
    trials: int
    found: int
    mean_cpu_seconds: float


@dataclass(frozen=True, slots=True)
class Benchmark:
    """All results of a measurement.

    :param missing: engines left out because their package is not installed
    :param workers: number of parallel trials
    :param interrupted: Ctrl-C ended it; only complete trials count
    """

    workers: int
    cores: int
    python: str
    missing: list[str]
    interrupted: bool
    trials: list[BenchmarkTrial]
    rows: list[BenchmarkRow]
    ranks: list[Rank]


def evaluated(trials: Sequence[BenchmarkTrial], workers: int, missing: list[str], interrupted: bool) -> Benchmark:
    """Evaluate trials.

    :param trials: trials whose bugs and engines exist; the other parameters are those of `Benchmark`
    """
    there = ordered(trials)
    return Benchmark(
        *(workers, os.cpu_count() or 1, platform.python_version(), missing, interrupted, there),
        [row(each) for each in grouped(there, lambda trial: (trial.bug, trial.engine))],
        ranked([rank(each) for each in grouped(there, lambda trial: trial.engine)]),
    )


def ordered(trials: Sequence[BenchmarkTrial]) -> list[BenchmarkTrial]:
    """Sort trials by bug and engine, each in its usual order, and seed; drop trials whose bug or engine is gone."""
    bugs = [bug.name for bug in BUGS]
    engines = [*PUBLIC, *PEERS]
    there = [trial for trial in trials if trial.bug in bugs and trial.engine in engines]
    return sorted(there, key=lambda trial: (bugs.index(trial.bug), engines.index(trial.engine), trial.seed))


def grouped(trials: list[BenchmarkTrial], key: Callable[[BenchmarkTrial], object]) -> list[list[BenchmarkTrial]]:
    """Group trials by a key, in the order of first occurrence."""
    groups: dict[object, list[BenchmarkTrial]] = {}
    for trial in trials:
        groups.setdefault(key(trial), []).append(trial)
    return list(groups.values())


def row(trials: list[BenchmarkTrial]) -> BenchmarkRow:
    """Combine the trials of one engine with one bug."""
    found = [trial for trial in trials if trial.found]
    lost = [inf] * (len(trials) - len(found))
    seconds = statistics.median([*(trial.cpu_seconds for trial in found), *lost])
    programs = statistics.median([*(trial.programs for trial in found), *lost])
    return BenchmarkRow(
        *(trials[0].bug, trials[0].engine, len(trials), len(found), max(trial.cap for trial in trials)),
        None if seconds == inf else round(seconds, 3),
        None if lost else max(trial.cpu_seconds for trial in found),
        None if programs == inf else programs,
        None if lost else max(trial.programs for trial in found),
    )


def rank(trials: list[BenchmarkTrial]) -> Rank:
    """Combine all trials of one engine."""
    seconds = [max(trial.cpu_seconds, 0.001) if trial.found else trial.cap for trial in trials]
    found = sum(trial.found for trial in trials)
    return Rank(trials[0].engine, len(trials), found, round(statistics.geometric_mean(seconds), 3))


def ranked(ranks: list[Rank]) -> list[Rank]:
    """Sort the engines by the number of bugs found, then by speed, the best first."""
    return sorted(ranks, key=lambda each: (-each.found / each.trials, each.mean_cpu_seconds, each.engine))


def text(found: Benchmark) -> str:
    """Return the benchmark as text."""
    lines = [f"planted bugs, {found.workers} trials at a time on {found.cores} cores, Python {found.python}"]
    lines += [f"not run, package not installed: {engine}" for engine in found.missing]
    lines += ["", f"{'':<20}{'found':>7}{'CPU seconds: median':>21}{'worst':>9}{'programs: median':>19}{'worst':>9}"]
    bug = ""
    for each in found.rows:
        if each.bug != bug:
            bug = each.bug
            lines.append(bug)
        more = f">{each.cap:g}"
        seconds = f"{shown(each.median_cpu_seconds, 1, more):>21}{shown(each.worst_cpu_seconds, 1, more):>9}"
        programs = f"{shown(each.median_programs, 0, '-'):>19}{shown(each.worst_programs, 0, '-'):>9}"
        lines.append(f"  {each.engine:<18}{f'{each.found}/{each.trials}':>7}{seconds}{programs}")
    lines.append("all bugs, best engine first; a bug not found counts as the whole time limit in the geometric mean")
    for best in found.ranks:
        mean = f"{best.mean_cpu_seconds:.1f}"
        lines.append(f"  {best.engine:<18}{f'{best.found}/{best.trials}':>7}{mean:>21}")
    return "\n".join(lines) + "\n"


def shown(value: float | None, digits: int, none: str) -> str:
    """Return a number as text, or the replacement for a missing one."""
    return none if value is None else f"{value:.{digits}f}"
