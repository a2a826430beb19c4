# SPDX-License-Identifier: GPL-2.0-only
"""The time that engines take to find planted bugs, by which engines are ranked.

A trial is one engine, one planted bug (`candidate.bugs`) and one seed. It judges programs
against the version that the bug is planted in, until the bug's checker
reports a regression or the time is over. Each trial has its own process. Its time is the CPU time of that
process from its first program on, so that other load on the machine does not count. Some bugs show on programs
of corpus/seeds/, with which engines usually begin. Here all engines begin with `NOTHING`.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from threading import Event
from typing import Final

from candidate.bugs import BUGS, Bug

from ..distribution import form
from ..engines.registry import PEERS, engine_of
from ..engines.supervisor import run_unit
from ..engines.unit import Result, Unit
from ..findings.digests import code_text
from ..judging.differential import REGRESSION

SEEDS: Final = 5
# Default upper bound of CPU seconds per trial, and the default bugs: neither found at once nor too deep.
CAP: Final = 5.0
SHALLOW: Final = tuple(bug.name for bug in BUGS[-10:-5])
LONG_CAP: Final = 60.0
# A peer finds little, so it gets at most this many seeds and seconds.
PEER_SEEDS: Final = 1
PEER_CAP: Final = 20.0
# The corpus of every trial.
NOTHING: Final = "s2fuzz 1\nvm ipa=39\nslot a size=4K backing=anon\n"


@dataclass(frozen=True, slots=True)
class BenchmarkTrial:
    """The outcome of a trial.

    :param cap: upper bound of CPU seconds
    :param found: whether the bug was found
    :param seconds: wall clock time until the bug was found or the trial ended, including the start of the process
    :param cpu_seconds: CPU time until the bug was found or the trial ended
    :param programs: number of programs judged, including the one that found the bug
    :param operations: number of their operations
    :param accidents: number of deaths of the engine's process
    :param code: digests of the bug and its base (`fuzz.findings.digests.code_text`)
    :param form: form of the code (`fuzz.distribution.form`)
    """

    bug: str
    engine: str
    seed: int
    cap: float
    found: bool
    seconds: float
    cpu_seconds: float
    programs: int
    operations: int
    accidents: int
    code: str
    form: str

    @property
    def key(self) -> tuple[str, str, int]:
        """Return the bug, the engine and the seed."""
        return self.bug, self.engine, self.seed


@dataclass(frozen=True, slots=True)
class Task:
    """A trial to make; the fields are as in `BenchmarkTrial`."""

    bug: Bug
    engine: str
    seed: int
    cap: float


def tasks(bugs: Sequence[Bug], engines: Sequence[str], seeds: int, cap: float) -> list[Task]:
    """List the trials of every engine with every bug and the seeds from 1; peers get fewer and shorter trials."""
    return [
        Task(bug, engine, seed, min(cap, PEER_CAP) if engine in PEERS else cap)
        for bug in bugs
        for engine in engines
        for seed in range(1, (min(seeds, PEER_SEEDS) if engine in PEERS else seeds) + 1)
    ]


def title_prefix(bug: Bug) -> str:
    """Return the prefix of finding titles that count as finding a bug: those of its checker."""
    return f"{REGRESSION} {bug.checker}: "


def attempt(task: Task, stop: Event) -> BenchmarkTrial:
    """Make one trial.

    :param stop: set to end the trial
    :raises CancelledError: *stop* was set
    :raises fuzz.engines.supervisor.EngineError: the engine does not run
    """

    def watch(_: Result) -> None:
        if stop.is_set():
            raise KeyboardInterrupt

    bug = task.bug
    start = time.monotonic()
    unit = Unit(task.engine, bug.base, bug.name, task.seed, cpu=task.cap, corpus=(NOTHING,), until=title_prefix(bug))
    result = run_unit(unit, watch)
    seconds = time.monotonic() - start
    if result.interrupted:
        raise CancelledError
    state = result.state
    found = any(unit.ends_with(title) for title in result.found)
    return BenchmarkTrial(
        *(bug.name, task.engine, task.seed, task.cap, found, round(seconds, 3), round(state.cpu, 3)),
        *(state.programs, state.operations, len(result.accidents), code_text(bug.base, bug.name), form()),
    )


def measure(
    todo: Sequence[Task], workers: int, progress: Callable[[BenchmarkTrial, int], None] | None = None
) -> tuple[list[BenchmarkTrial], bool]:
    """Make trials.

    :param todo: trials of engines whose packages are installed
    :param workers: number of parallel trials
    :param progress: called after each trial, with the number of trials left
    :returns: the complete trials in the order of *todo*; whether Ctrl-C ended the measurement
    :raises fuzz.engines.supervisor.EngineError: an engine does not run
    """
    stop = Event()
    made: dict[tuple[str, str, int], BenchmarkTrial] = {}
    interrupted = False
    with ThreadPoolExecutor(workers) as pool:
        futures: list[Future[BenchmarkTrial]] = [pool.submit(attempt, task, stop) for task in todo]
        try:
            for left, future in enumerate(as_completed(futures), 1 - len(futures)):
                trial = future.result()
                made[trial.key] = trial
                if progress is not None:
                    progress(trial, -left)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
    keys = [(task.bug.name, task.engine, task.seed) for task in todo]
    return [made[key] for key in keys if key in made], interrupted


def missing_engines(engines: Sequence[str]) -> list[str]:
    """List the engines whose package is not installed."""
    return [engine for engine in engines if engine_of(engine).missing()]
