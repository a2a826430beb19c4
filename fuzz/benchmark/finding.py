# SPDX-License-Identifier: GPL-2.0-only
"""The time in which engines find planted bugs, by which they are ranked.

A trial is one engine, one planted bug (`candidate.bugs`) and one seed, judged
against the version that the bug is planted in until the bug's own regression is
seen, or the time is over. It has a process of its own; its time includes that
process' start, and is that of the clock on the wall. Some bugs show on programs
of corpus/seeds/, where engines begin otherwise: here all begin with `NOTHING`.
"""

import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from math import inf
from threading import Event
from typing import Final

from candidate.bugs import BUGS, Bug

from ..engines.registry import engine_of
from ..engines.supervisor import run_unit
from ..engines.unit import Result, Unit
from ..judging.differential import REGRESSION

SEEDS: Final = 5
# Seconds that a trial may take, and the bugs that are worth it then.
CAP: Final = 5.0
SHALLOW: Final = tuple(bug.name for bug in BUGS[:5])
FULL_CAP: Final = 300.0
# The corpus of every trial.
NOTHING: Final = "s2fuzz 1\nvm\nslot a size=4K backing=anon\n"


@dataclass(frozen=True, slots=True)
class BenchmarkTrial:
    """The outcome of a trial.

    :param found: whether the bug was
    :param seconds: until then, or until the end
    :param programs: judged until then, that one included
    :param operations: of those
    :param accidents: deaths of the engine's process
    """

    bug: str
    engine: str
    seed: int
    found: bool
    seconds: float
    programs: int
    operations: int
    accidents: int


@dataclass(frozen=True, slots=True)
class BenchmarkRow:
    """Trials of one engine with one bug, one for each seed; None: at least half of them, or one, did not find it.

    :param found: so many found it
    """

    bug: str
    engine: str
    trials: int
    found: int
    median_seconds: float | None
    worst_seconds: float | None
    median_programs: float | None
    worst_programs: int | None


@dataclass(frozen=True, slots=True)
class Rank:
    """All trials of one engine.

    :param mean_seconds: geometric mean; a bug that is not found counts as found at the end of the time
    """

    engine: str
    trials: int
    found: int
    mean_seconds: float


@dataclass(frozen=True, slots=True)
class Benchmark:
    """All that was measured.

    :param cap: seconds that each trial had
    :param missing: engines left out, since their package is not installed
    :param workers: trials at a time
    :param interrupted: Ctrl-C ended it; only complete trials count
    """

    seeds: int
    cap: float
    workers: int
    cores: int
    python: str
    missing: list[str]
    interrupted: bool
    trials: list[BenchmarkTrial]
    rows: list[BenchmarkRow]
    ranks: list[Rank]


def attempt(bug: Bug, engine: str, seed: int, cap: float, stop: Event) -> BenchmarkTrial:
    """Make one trial.

    :param cap: seconds that the engine may take
    :param stop: when set, the trial ends
    :raises CancelledError: it was set
    :raises fuzz.engines.supervisor.EngineError: the engine does not run
    """

    def watch(_: Result) -> None:
        if stop.is_set():
            raise KeyboardInterrupt

    wanted = f"{REGRESSION} {bug.signature}"
    start = time.monotonic()
    unit = Unit(engine, bug.base, bug.name, seed, seconds=cap, corpus=(NOTHING,), until=wanted)
    result = run_unit(unit, watch)
    seconds = time.monotonic() - start
    if result.interrupted:
        raise CancelledError
    state = result.state
    return BenchmarkTrial(
        *(bug.name, engine, seed, wanted in result.found, round(seconds, 3)),
        *(state.programs, state.operations, len(result.accidents)),
    )


def measure(
    bugs: Sequence[Bug],
    engines: Sequence[str],
    seeds: int,
    cap: float,
    workers: int,
    progress: Callable[[BenchmarkTrial, int], None] | None = None,
) -> Benchmark:
    """Try every engine with every bug and the seeds from 1.

    :param engines: those whose package is not installed are left out
    :param cap: seconds that each trial may take
    :param workers: trials at a time
    :param progress: called after each trial, with how many are left
    :raises fuzz.engines.supervisor.EngineError: an engine does not run
    """
    there = [engine for engine in engines if not engine_of(engine).missing()]
    stop = Event()
    trials: list[BenchmarkTrial] = []
    interrupted = False
    with ThreadPoolExecutor(workers) as pool:
        futures: list[Future[BenchmarkTrial]] = [
            pool.submit(attempt, bug, engine, seed, cap, stop)
            for bug in bugs
            for engine in there
            for seed in range(1, seeds + 1)
        ]
        try:
            for left, future in enumerate(as_completed(futures), 1 - len(futures)):
                trials.append(future.result())
                if progress is not None:
                    progress(trials[-1], -left)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
    names = [bug.name for bug in bugs]
    trials.sort(key=lambda trial: (names.index(trial.bug), there.index(trial.engine), trial.seed))
    return Benchmark(
        *(seeds, cap, workers, os.cpu_count() or 1, platform.python_version()),
        *([engine for engine in engines if engine_of(engine).missing()], interrupted, trials),
        [row(each) for each in grouped(trials, lambda trial: (trial.bug, trial.engine))],
        ranked([rank(each, cap) for each in grouped(trials, lambda trial: trial.engine)]),
    )


def grouped(trials: list[BenchmarkTrial], key: Callable[[BenchmarkTrial], object]) -> list[list[BenchmarkTrial]]:
    """The trials by a key, in the order in which keys come first."""
    groups: dict[object, list[BenchmarkTrial]] = {}
    for trial in trials:
        groups.setdefault(key(trial), []).append(trial)
    return list(groups.values())


def row(trials: list[BenchmarkTrial]) -> BenchmarkRow:
    """The trials of one engine with one bug together."""
    found = [trial for trial in trials if trial.found]
    lost = [inf] * (len(trials) - len(found))
    seconds = statistics.median([*(trial.seconds for trial in found), *lost])
    programs = statistics.median([*(trial.programs for trial in found), *lost])
    return BenchmarkRow(
        *(trials[0].bug, trials[0].engine, len(trials), len(found)),
        None if seconds == inf else round(seconds, 3),
        None if lost else max(trial.seconds for trial in found),
        None if programs == inf else programs,
        None if lost else max(trial.programs for trial in found),
    )


def rank(trials: list[BenchmarkTrial], cap: float) -> Rank:
    """All trials of one engine together."""
    seconds = [max(trial.seconds, 0.001) if trial.found else cap for trial in trials]
    found = sum(trial.found for trial in trials)
    return Rank(trials[0].engine, len(trials), found, round(statistics.geometric_mean(seconds), 3))


def ranked(ranks: list[Rank]) -> list[Rank]:
    """The best first: who finds most, then who is faster."""
    return sorted(ranks, key=lambda each: (-each.found, each.mean_seconds, each.engine))


def text(found: Benchmark) -> str:
    """The benchmark for people."""
    trials = (
        f"{found.seeds} seeds each, at most {found.cap:g} s a trial, {found.workers} at a time on {found.cores} cores"
    )
    lines = [f"planted bugs: {trials}, Python {found.python}"]
    lines += [f"not run, for its package is not installed: {engine}" for engine in found.missing]
    lines += ["", f"{'':<20}{'found':>7}{'seconds: median':>18}{'worst':>9}{'programs: median':>19}{'worst':>9}"]
    bug = ""
    more = f">{found.cap:g}"
    for each in found.rows:
        if each.bug != bug:
            bug = each.bug
            lines.append(bug)
        seconds = f"{shown(each.median_seconds, 1, more):>18}{shown(each.worst_seconds, 1, more):>9}"
        programs = f"{shown(each.median_programs, 0, '-'):>19}{shown(each.worst_programs, 0, '-'):>9}"
        lines.append(f"  {each.engine:<18}{f'{each.found}/{each.trials}':>7}{seconds}{programs}")
    lines.append(f"all, the best first; what is not found counts as {found.cap:g} s in the geometric mean")
    for best in found.ranks:
        mean = f"{best.mean_seconds:.1f}"
        lines.append(f"  {best.engine:<18}{f'{best.found}/{best.trials}':>7}{mean:>18}")
    return "\n".join(lines) + "\n"


def shown(value: float | None, digits: int, none: str) -> str:
    """A number, or what stands for none."""
    return none if value is None else f"{value:.{digits}f}"
