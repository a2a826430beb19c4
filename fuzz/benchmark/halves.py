# SPDX-License-Identifier: GPL-2.0-only
"""Engines compared with random programs, on the shallow half of the bug bank and on the deep half."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from candidate.bugs import BUGS

from ..engines.registry import DEFAULT
from .ranking import BenchmarkRow

# This engine draws programs independently of earlier results.
RANDOM: Final = DEFAULT


@dataclass(frozen=True, slots=True)
class Half:
    """The effort of one engine on a half of the bugs, relative to random programs.

    :param bugs: number of bugs that both find on most seeds
    :param programs: geometric mean of the quotients of the medians
    :param cpu_seconds: likewise
    """

    bugs: int
    programs: float
    cpu_seconds: float


def halves(rows: Sequence[BenchmarkRow], engine: str) -> list[Half]:
    """Return the effort of an engine on the shallow half of the bugs, and on the deep half.

    :param rows: rows of any engines and bugs
    """
    by_key = {(row.bug, row.engine): row for row in rows}
    middle = len(BUGS) // 2
    found: list[Half] = []
    for part in (BUGS[:middle], BUGS[middle:]):
        programs: list[float] = []
        seconds: list[float] = []
        for bug in part:
            ours, theirs = by_key.get((bug.name, engine)), by_key.get((bug.name, RANDOM))
            if ours is None or theirs is None or not ours.median_programs or not theirs.median_programs:
                continue
            programs.append(ours.median_programs / theirs.median_programs)
            # A trial takes at least one tick of its clock.
            seconds.append(max(ours.median_cpu_seconds or 0, 0.001) / max(theirs.median_cpu_seconds or 0, 0.001))
        mean = statistics.geometric_mean
        found.append(Half(len(programs), mean(programs), mean(seconds)) if programs else Half(0, 0, 0))
    return found
