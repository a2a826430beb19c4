# SPDX-License-Identifier: GPL-2.0-only
"""Trials of planted bugs in a file that a later run continues, and the page made of them."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Final

from candidate.bugs import BUGS

from ..engines.registry import PEERS, PUBLIC
from ..files import write_atomically
from ..findings.digests import code_text
from .effort import BenchmarkTrial, Task
from .halves import RANDOM, Half, halves
from .ranking import BenchmarkRow, grouped, ordered, rank, ranked, row, shown

_HEAD: Final = """\
# Bug bank

`candidate/bugs/` holds planted bugs: bugs that the kernel had, and plausible mistakes, each added to a version
without it. This page is made by `make bench-bugs` from the trials in `bug-bank.json`; do not edit it. A trial is one
engine, one bug and one seed. It begins with a program that does nothing, and ends with the first regression that the
named checker reports, or when its CPU time is used up. [Benchmarks](benchmarks.md#how-soon-bugs-are-found) explains the
measurement.

"""
_CELLS: Final = (
    "Each cell gives the number of seeds that found the bug, and their median CPU seconds and programs; "
    "`-`: at least half of the seeds did not find it."
)
_HALVES: Final = (
    "The effort of each engine on the first and the second half of the bugs (in the order of this page), relative to "
    "random programs (1.00): geometric means of the ratios of the medians."
)


class TrialsError(ValueError):
    """A file holds no trials; one line that gives the reason."""


class TrialsFile:
    """The trials of a file, which is rewritten after each trial.

    :param path: path of the file, which may not exist yet
    :raises OSError: it cannot be read
    :raises TrialsError: it holds something else
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.trials = {trial.key: trial for trial in loaded(path)} if Path(path).exists() else {}

    def add(self, trial: BenchmarkTrial) -> None:
        """Add a trial, and write the file.

        :raises OSError: the file cannot be written
        """
        self.trials[trial.key] = trial
        lines = ",\n".join(f"  {json.dumps(asdict(each))}" for each in self.all())
        write_atomically(self.path, f'{{\n "trials": [\n{lines}\n ]\n}}\n')

    def all(self) -> list[BenchmarkTrial]:
        """Return the trials whose bugs and engines still exist."""
        return ordered([*self.trials.values()])

    def remaining(self, todo: Iterable[Task]) -> list[Task]:
        """Return the trials still to make; a trial that found nothing is repeated if it now has more time."""
        return [task for task in todo if not self._made(task)]

    def outdated(self) -> list[BenchmarkTrial]:
        """Return the trials of bugs whose code, or whose base's code, has changed since."""
        now = {bug.name: code_text(bug.base, bug.name) for bug in BUGS}
        return [trial for trial in self.all() if trial.code != now[trial.bug]]

    def _made(self, task: Task) -> bool:
        trial = self.trials.get((task.bug.name, task.engine, task.seed))
        return trial is not None and (trial.found or trial.cap >= task.cap)


def loaded(path: str) -> list[BenchmarkTrial]:
    """Return the trials of a file.

    :raises OSError: it cannot be read
    :raises TrialsError: it holds something else
    """
    kinds = {field.name: field.type for field in fields(BenchmarkTrial)}
    try:
        listed: list[dict[str, Any]] = json.loads(Path(path).read_bytes())["trials"]
        for each in listed:
            if each.keys() != kinds.keys():
                raise TrialsError(f"a trial has the fields {', '.join(each)}; it must have {', '.join(kinds)}")
        return [BenchmarkTrial(**each) for each in listed]
    except TrialsError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError):
        raise TrialsError("not a file of trials of `bench --find`") from None


def page(trials: Sequence[BenchmarkTrial]) -> str:
    """Return the page of the bug bank, as Markdown."""
    there = ordered(trials)
    engines = [name for name in (*PUBLIC, *PEERS) if any(trial.engine == name for trial in there)]
    rows = [row(each) for each in grouped(there, lambda trial: (trial.bug, trial.engine))]
    return _HEAD + "\n".join([*_bugs(), "", *_times(rows, engines), "", *_ranks(there), *_halves(rows, engines)]) + "\n"


def _bugs() -> list[str]:
    """Return the table of the bugs."""
    lines = ["## Bugs", "", "| bug | in | checker | what is wrong |", "|---|---|---|---|"]
    return lines + [f"| {bug.name} | {bug.base} | {bug.checker} | {bug.origin} |" for bug in BUGS]


def _times(rows: list[BenchmarkRow], engines: list[str]) -> list[str]:
    """Return the table of the time that each engine needs to find each bug."""
    by_key = {(each.bug, each.engine): each for each in rows}
    lines = ["## How soon they are found", "", _CELLS, ""]
    lines += [f"| bug | {' | '.join(engines)} |", "|---|" + "---|" * len(engines)]
    for bug in BUGS:
        cells = [_cell(by_key.get((bug.name, engine))) for engine in engines]
        lines.append(f"| {bug.name} | {' | '.join(cells)} |")
    return lines


def _cell(found: BenchmarkRow | None) -> str:
    """Return seeds, seconds and programs of one engine for one bug."""
    if found is None:
        return "not measured"
    if found.median_cpu_seconds is None:
        return f"{found.found}/{found.trials}, - of {found.cap:g} s"
    return f"{found.found}/{found.trials}, {found.median_cpu_seconds:.1f} s, {shown(found.median_programs, 0, '-')}"


def _ranks(trials: list[BenchmarkTrial]) -> list[str]:
    """Return the table of the engines, and the conditions of the measurement."""
    lines = ["## Engines", "", "A bug not found counts as the whole time limit in the geometric mean.", ""]
    lines += ["| engine | trials that found the bug | geometric mean of CPU seconds |", "|---|---|---|"]
    for each in ranked([rank(group) for group in grouped(trials, lambda trial: trial.engine)]):
        lines.append(f"| {each.engine} | {each.found}/{each.trials} | {each.mean_cpu_seconds:.1f} |")
    forms = sorted({trial.form for trial in trials})
    caps = sorted({trial.cap for trial in trials})
    return [*lines, "", f"Made with: {'; '.join(forms)}. CPU seconds at most: {', '.join(f'{cap:g}' for cap in caps)}."]


def _halves(rows: list[BenchmarkRow], engines: list[str]) -> list[str]:
    """Return the table of the effort of other engines relative to random programs."""
    others = [name for name in engines if name != RANDOM]
    if not others or RANDOM not in engines:
        return []
    lines = ["", "## Against random programs", "", _HALVES, ""]
    lines += ["| engine | shallow half: programs | CPU seconds | deep half: programs | CPU seconds |"]
    lines += ["|---|---|---|---|---|"]
    for name in others:
        lines.append(f"| {name} | {' | '.join(map(_quotients, halves(rows, name)))} |")
    return lines


def _quotients(half: Half) -> str:
    """Return the quotients of programs and seconds of a half."""
    return f"{half.programs:.2f} | {half.cpu_seconds:.2f}" if half.bugs else "- | -"
