# SPDX-License-Identifier: GPL-2.0-only
"""How fast programs are judged, where the time goes, and whether memory grows.

The mix is fixed: generator programs of one seed, original against RFC v1,
creation and destruction of both VMs included. So two versions of s2fuzz compare
as long as the generator is the same.
"""

import cProfile
import gc
import os
import platform
import pstats
import resource
import sys
import time
from pathlib import Path
from typing import Any, Final

import candidate

from .differential import Differential
from .generator import Generator

PROGRAMS: Final = 1200
SEED: Final = 1
CANDIDATE: Final = "rfc-v1"
# The profiled run is this part of the whole: profiling takes its time.
PROFILED: Final = 5

# Where files belong that have no area of their own name; the longest match counts.
_AREAS: Final = {
    "reference/pgtable.py": "pgtable port",
    "reference/mmu.py": "mmu port",
    "reference/machine/": "machine",
    "reference/": "kernel layer",
    "candidate/": "candidate",
    "fuzz/checkers/": "checker",
    "fuzz/checkers/__init__.py": "checkers, passing on",
    "fuzz/generator.py": "generator",
    "fuzz/program.py": "generator",
    "fuzz/differential.py": "differential",
    "fuzz/": "executor",
}
_OTHER: Final = "other"

# (file, line, function), as `pstats` has it.
_Function = tuple[str, int, str]


class Mix:
    """The programs of the benchmark, one after the other."""

    def __init__(self) -> None:
        self.generator = Generator(SEED)
        self.differential = Differential(candidate.get("original"), candidate.get(CANDIDATE))
        self.operations = 0

    def run(self, programs: int) -> None:
        """Make and judge so many more."""
        for _ in range(programs):
            program = self.generator.next()
            self.differential.run(program)
            self.operations += len(program.operations)


def measure(programs: int = PROGRAMS) -> dict[str, Any]:
    """Run the mix.

    :param programs: how many, at least 1
    :returns: ``mix``, ``programs``, ``operations``, ``seconds``, ``programs_per_second``,
        ``operations_per_second``; ``memory_at_10_percent`` and ``memory_at_end``, see `memory`;
        ``areas``: per cent of the time of a profiled run, by area; ``cores``, ``python``
    """
    mix = Mix()
    tenth = max(programs // 10, 1)
    start = time.perf_counter()
    mix.run(tenth)
    paused = time.perf_counter()
    early = memory()
    start += time.perf_counter() - paused
    mix.run(programs - tenth)
    seconds = time.perf_counter() - start
    late = memory()
    return {
        "mix": f"seed {SEED}, original against {CANDIDATE}",
        "programs": programs,
        "operations": mix.operations,
        "seconds": round(seconds, 3),
        "programs_per_second": round(programs / seconds, 1),
        "operations_per_second": round(mix.operations / seconds, 1),
        "memory_at_10_percent": early,
        "memory_at_end": late,
        "areas": areas(max(programs // PROFILED, 1)),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }


def memory() -> dict[str, int]:
    """``peak_kib``: the most that this process has had; ``objects`` of Python that are alive.

    The peak follows the largest program so far. Objects that grow with the
    number of programs are a leak.
    """
    gc.collect()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"peak_kib": peak // 1024 if sys.platform == "darwin" else peak, "objects": len(gc.get_objects())}


def areas(programs: int) -> dict[str, float]:
    """Per cent of the time by area, the largest first, from a profiled run of the mix."""
    profile = cProfile.Profile()
    mix = Mix()
    profile.enable()
    mix.run(programs)
    profile.disable()
    return shares(pstats.Stats(profile))


def shares(stats: pstats.Stats) -> dict[str, float]:
    """A profile's own times by area; what is not ours counts where it was called from."""
    table: dict[_Function, tuple[Any, ...]] = stats.stats  # type: ignore[attr-defined]
    times: dict[str, float] = {}
    for function, (_, _, own, _, callers) in table.items():
        area = area_of(function[0])
        if area:
            times[area] = times.get(area, 0.0) + own
            continue
        for caller, (_, _, part, _) in callers.items():
            where = calling_area(caller, table)
            times[where] = times.get(where, 0.0) + part
    total = sum(times.values()) or 1.0
    ranked = sorted(times.items(), key=lambda item: (-item[1], item[0]))
    return {area: round(100 * spent / total, 1) for area, spent in ranked}


def area_of(file: str) -> str:
    """The area of a source file; "" if it is not ours."""
    home = Path(__file__).resolve().parent.parent
    path = Path(file)
    if not path.is_relative_to(home):
        return ""
    name = path.relative_to(home).as_posix()
    prefix = max((each for each in _AREAS if name.startswith(each)), key=len, default="")
    area = _AREAS.get(prefix, "")
    return f"checker {path.stem}" if area == "checker" else area


def calling_area(function: _Function, table: dict[_Function, tuple[Any, ...]]) -> str:
    """The area that called a function of the library most, directly or not."""
    seen: set[_Function] = set()
    while function not in seen:
        area = area_of(function[0])
        if area:
            return area
        seen.add(function)
        callers = table[function][4] if function in table else {}
        if not callers:
            break
        function = max(callers, key=lambda caller: (callers[caller][3], caller))
    return _OTHER


def text(result: dict[str, Any]) -> str:
    """The result of `measure` for people."""
    early, late = result["memory_at_10_percent"], result["memory_at_end"]
    machine = f"on one of {result['cores']} cores, Python {result['python']}"
    judged = f"{result['programs']} programs, {result['operations']} operations ({result['mix']})"
    largest = f"peak memory {late['peak_kib'] // 1024} MiB (that of the largest program)"
    growth = f"{late['objects']} objects alive ({late['objects'] - early['objects']:+d})"
    lines = [
        f"{judged}, in {result['seconds']:.1f} s {machine}",
        f"{result['programs_per_second']} programs/s, {result['operations_per_second']} operations/s",
        f"after 10 % of the programs: peak memory {early['peak_kib'] // 1024} MiB, {early['objects']} objects alive",
        f"at the end: {largest}, {growth}",
        "",
        "where the time goes (profiled run of the same mix):",
    ]
    lines += [f"{share:6.1f} %  {area}" for area, share in result["areas"].items()]
    return "\n".join(lines) + "\n"
