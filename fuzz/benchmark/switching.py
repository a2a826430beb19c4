# SPDX-License-Identifier: GPL-2.0-only
"""The cost of a switch between two actors of a par block, in a port.

Two vCPUs fault at once, twice each, and yield at places where neither holds a lock. The block is run with these
switches and without any; everything else is the same.
"""

import statistics
import time
from typing import Final

from candidate import Candidate
from reference.events import Observer

from ..execution.executor import Executor
from ..language.program import Program
from ..language.text import parse
from .block import timed

# Runs of each program, alternating.
RUNS: Final = 60
_BLOCK: Final = """\
s2fuzz 1
vm
slot a size=2M backing=anon
par
cpu0 write a+0
cpu0 write a+64K
cpu1 write a+128K
cpu1 write a+192K
{}end
"""
# Places of a fault, in the order in which the fault reaches them.
_PLACES: Final = ("after fault {}", "before lookup 1 fault={}", "after lookup 1 fault={}", "before lock 1 fault={}")
_SWITCHES: Final = "".join(
    f"switch cpu{cpu} to cpu{1 - cpu} {place.format(fault)}\n"
    for fault in (1, 2)
    for place in _PLACES
    for cpu in (0, 1)
)


class TurnCount(Observer):
    """Counts turns."""

    def __init__(self) -> None:
        self.count = 0

    def turn(self, actor: int) -> None:
        self.count += 1


def programs() -> tuple[Program, Program]:
    """Return the program with switches, and the one without."""
    return parse(_BLOCK.format(_SWITCHES)), parse(_BLOCK.format(""))


def cost(version: Candidate) -> float:
    """Return the microseconds of CPU time of a switch, including all work done for it."""
    both = programs()
    turns = [run(version, program, True)[1] for program in both]
    took: list[list[float]] = [[], []]
    for _ in range(RUNS):
        for times, program in zip(took, both, strict=True):
            times.append(run(version, program, False)[0])
    switched, straight = map(statistics.median, took)
    return (switched - straight) / (turns[0] - turns[1]) * 1e6


def run(version: Candidate, program: Program, count: bool) -> tuple[float, int]:
    """Run the program; return the seconds of its block, and the number of turns if *count* is set."""
    executor = Executor(version, program)
    turns = TurnCount()
    if count:
        executor.side.kernel.observe(turns)
    return timed(executor, time.process_time), turns.count
