# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz bench --memory``: the memory of each engine while it runs, and of the process that supervises it."""

import os
import platform
import time
from collections.abc import Sequence
from itertools import combinations
from statistics import median
from typing import Any, Final

from ..engines.registry import PUBLIC, engine_of
from ..engines.seeds import shipped
from ..engines.supervisor import run_unit
from ..engines.unit import Result, Unit
from ..processes.memory import children_kib, resident_kib
from .mix import CANDIDATE, REFERENCE, SEED

# Approximate number of memory samples in the time of an engine.
LOOKS: Final = 200
# Points of the time, in per cent, whose memory is printed.
SHOWN: Final = (10, 25, 50, 75, 100)


class MemoryWatch:
    """Samples the memory of an engine's process periodically.

    *looks*: the samples: seconds since the start, KiB of the engine, KiB of this process

    :param seconds: time that the engine runs
    """

    def __init__(self, seconds: float) -> None:
        self.every = seconds / LOOKS
        self.start = time.monotonic()
        self.looks: list[tuple[float, int, int]] = []

    def look(self, result: Result) -> None:
        """Take a sample, unless the last one is recent; sampling starts with the first judged program."""
        now = time.monotonic() - self.start
        if result.state.programs and (not self.looks or now - self.looks[-1][0] >= self.every):
            engine = children_kib()
            if engine:
                self.looks.append((now, engine, resident_kib("self")))


def measure(seconds: float, engines: Sequence[str] = PUBLIC) -> dict[str, Any]:
    """Run the installed engines, one after the other.

    :param seconds: time of each engine
    :param engines: names of the engines
    :returns: ``seconds``, ``candidate``, ``cores``, ``python``; ``engines``: for each ``programs``, ``missing`` ("" if
        it could run), ``looks`` (as in `MemoryWatch`), ``growth`` (KiB per minute of the engine, `slope`)
    :raises fuzz.engines.supervisor.EngineError: an engine's process dies before it judges anything
    """
    return {
        "seconds": seconds,
        "candidate": CANDIDATE,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "engines": {name: measure_engine(name, seconds) for name in engines},
    }


def measure_engine(name: str, seconds: float) -> dict[str, Any]:
    """Run one engine; see `measure`."""
    missing = engine_of(name).missing()
    if missing:
        return {"programs": 0, "missing": missing, "looks": [], "growth": 0.0}
    watch = MemoryWatch(seconds)
    unit = Unit(name, REFERENCE, CANDIDATE, SEED, None, seconds, corpus=shipped(name))
    result = run_unit(unit, watch.look)
    if result.interrupted:
        raise KeyboardInterrupt
    late = [(at, kib) for at, kib, _ in watch.looks if at >= seconds / 2]
    return {
        "programs": result.state.programs,
        "missing": "",
        "looks": watch.looks,
        "growth": round(60 * slope(late), 1),
    }


def slope(points: list[tuple[float, int]]) -> float:
    """Return the growth of the second value with the first; 0 for fewer than two points.

    It is the median of the slopes of all pairs (Theil and Sen): a sample in the middle of a large program, whose memory
    is freed with it, is no growth.
    """
    slopes = [(late - early) / (end - start) for (start, early), (end, late) in combinations(points, 2) if end > start]
    return median(slopes) if slopes else 0.0


def text(result: dict[str, Any]) -> str:
    """Return the result of `measure` as text."""
    lines = [
        f"each engine on {result['candidate']} for {result['seconds']:g} s, Python {result['python']},",
        "the memory of its process in MiB after so much of the time",
        "",
        "".ljust(24) + "".join(f"{part} %".rjust(8) for part in SHOWN) + "KiB a minute, second half".rjust(28),
    ]
    for name, engine in result["engines"].items():
        if engine["missing"]:
            lines.append(f"{engine['missing']}")
            continue
        for label, column, growth in (
            (f"{name} ({engine['programs']})", 1, f"{engine['growth']:+.0f}"),
            ("  its supervisor", 2, ""),
        ):
            values = [
                f"{look_at(engine['looks'], result['seconds'] * part / 100)[column] / 1024:.1f}" for part in SHOWN
            ]
            lines.append(f"{label.ljust(24)}{''.join(value.rjust(8) for value in values)}{growth.rjust(28)}".rstrip())
    return "\n".join(lines) + "\n"


def look_at(looks: list[tuple[float, int, int]], seconds: float) -> tuple[float, int, int]:
    """Return the last sample before this time, or the first one; zeroes if there is none."""
    before = [look for look in looks if look[0] <= seconds]
    return before[-1] if before else looks[0] if looks else (0.0, 0, 0)
