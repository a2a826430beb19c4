# SPDX-License-Identifier: GPL-2.0-only
"""A unit of the random engine, done in this process, and the child processes of this process."""

import os
from pathlib import Path

from fuzz.engines.unit import Result, Unit

from ..run_here import run_here

UNIT = Unit("random", "original", "rfc-v1", 1, programs=25)


def here(unit: Unit) -> Result:
    result = Result(unit)
    run_here(unit, result.record)
    return result


def comparable(result: Result) -> object:
    """Return all results except times."""
    costs = result.state.costs
    return result.state.programs, result.state.operations, result.state.counts, costs, result.found, result.fresh


def children() -> list[int]:
    """Return the live processes that this process started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid():
            found.append(int(path.parent.name))
    return found
