# SPDX-License-Identifier: GPL-2.0-only
"""Engines against random programs, on the shallow half of the bug bank and on the deep one."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from candidate.bugs import BUGS

from ..engines.registry import DEFAULT
from .ranking import BenchmarkRow

# It takes programs as they are drawn, whatever they have shown.
RANDOM: Final = DEFAULT


@dataclass(frozen=True, slots=True)
class Half:
    """The need of one engine on a half of the bugs, where random programs need 1.

    :param bugs: found by both on most seeds
    :param programs: geometric mean of the quotients of the medians
    :param cpu_seconds: likewise
    """

    bugs: int
    programs: float
    cpu_seconds: float


def halves(rows: Sequence[BenchmarkRow], engine: str) -> list[Half]:
    """Return what an engine needs of the shallow half of the bugs, and of the deep one.

    :param rows: of any engines and bugs
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
            # A trial takes no less than what its clock shows.
            seconds.append(max(ours.median_cpu_seconds or 0, 0.001) / max(theirs.median_cpu_seconds or 0, 0.001))
        mean = statistics.geometric_mean
        found.append(Half(len(programs), mean(programs), mean(seconds)) if programs else Half(0, 0, 0))
    return found
