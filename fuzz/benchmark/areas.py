# SPDX-License-Identifier: GPL-2.0-only
"""Time of judging by source area: from cProfile for plain Python, from perf for compiled code."""

import pstats
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from reference.compiled import choice as native

from .sampling import JUDGING, innermost, short_names, stacks_of

# The area of each file, by path prefix; the longest match counts.
_AREAS: Final = {
    "reference/pgtable.py": "pgtable port",
    "reference/mmu.py": "mmu port",
    "reference/tlb": "tlb port",
    "reference/machine/": "machine",
    "reference/": "kernel layer",
    "candidate/": "candidate",
    "fuzz/checkers/": "checker",
    "fuzz/checkers/__init__.py": "checkers, event dispatch",
    "fuzz/checkers/suite.py": "checkers, event dispatch",
    "fuzz/checkers/guest_pages.py": "differential",
    "fuzz/generation/": "generator",
    "fuzz/language/program.py": "generator",
    "fuzz/judging/": "differential",
    "fuzz/": "executor",
}
OTHER: Final = "other"
# Time in interpreted modules that no compiled one calls (registries), and in garbage collections.
INTERPRETER: Final = "interpreter"

# (file, line, function), as in `pstats`.
_Function = tuple[str, int, str]

_HERTZ: Final = 999


def area_of(file: str) -> str:
    """Return the area of a source file; "" if it is not ours."""
    path = Path(file)
    if not path.is_relative_to(native.HOME):
        return ""
    name = path.relative_to(native.HOME).as_posix()
    prefix = max((each for each in _AREAS if name.startswith(each)), key=len, default="")
    area = _AREAS.get(prefix, "")
    return f"checker {path.stem}" if area == "checker" else area


def ranked(times: dict[str, float]) -> dict[str, float]:
    """Return per cent by area, the largest first."""
    total = sum(times.values()) or 1.0
    return {area: round(100 * times[area] / total, 1) for area in sorted(times, key=lambda area: (-times[area], area))}


def shares(stats: pstats.Stats) -> dict[str, float]:
    """Return a profile's own times by area; a function that is not ours counts for the area that called it."""
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
    return ranked(times)


def calling_area(function: _Function, table: dict[_Function, tuple[Any, ...]]) -> str:
    """Return the area that called a library function most, directly or indirectly."""
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
    return OTHER


def sampled(programs: int) -> dict[str, float]:
    """Return `shares` of the compiled form, from a separate process under perf; {} if there is no perf."""
    stacks = stacks_of(["-m", "fuzz.benchmark.mix", str(programs), "all"], "ip,sym", _HERTZ)
    return ranked(count(stacks, list(native.choose().files))) if stacks else {}


def count(stacks: Iterable[str], modules: list[str]) -> dict[str, float]:
    """Return the number of samples by area; each counts for the innermost compiled function.

    :param stacks: one frame per line, the innermost first, as printed by ``perf script``
    :param modules: names of the compiled modules
    """
    names = short_names(modules)
    times: dict[str, float] = {}
    for stack in stacks:
        if JUDGING not in stack:
            continue
        area = INTERPRETER
        if "gc_collect_main" not in stack:
            module = innermost(stack, names)
            area = area_of(f"{native.HOME}/{module.replace('.', '/')}.py") if module else OTHER
        times[area] = times.get(area, 0.0) + 1
    return times
