# SPDX-License-Identifier: GPL-2.0-only
"""The cost of a switch from one vCPU of a par block to another, in a kernel tree."""

import time
from dataclasses import dataclass
from typing import Final

import candidate
from candidate import Candidate

from ..execution.executor import Executor
from ..language.program import Program
from ..language.text import parse
from .block import timed

RUNS: Final = 100
# Values of `TreeSide.direct`.
DRIVER: Final = 0
PROCESS: Final = 1
TIMED: Final = 2
# Two vCPUs of two independent VMs relax an entry each: the order does not change what they do.
_PROGRAM: Final = (
    "s2fuzz 1\nvm vms=2\nslot a size=2M backing=anon log=on\nslot b size=2M backing=anon log=on vm=1\ncpu0 read a+0\n"
    "cpu3 read b+0\npar\ncpu0 write a+0\ncpu3 write b+0\n{}end\n"
)
# Places of a fault, in the order in which the fault reaches them.
_PLACES: Final = (
    *("after fault 1", "before lookup 1", "after lookup 1", "before lock 1", "after lock 1", "after load 1"),
    *("after load 2", "before unlock 1"),
)
_SWITCHES: Final = [f"switch cpu{cpu} to cpu{3 - cpu} {place}\n" for place in _PLACES for cpu in (0, 3)]
# The first switches must be the driver's, since a vCPU has no call in the tree's code pending yet.
_FIRST: Final = 3


@dataclass(slots=True)
class SwitchCost:
    """The cost of a switch, in microseconds.

    :param in_process: within the tree's process, if the vCPU that continues has a pending call
    :param in_all: likewise, including the driver's work to send the places and read the results
    :param by_driver: if the driver decides who continues
    """

    in_process: float
    in_all: float
    by_driver: float


def measure(version: str, runs: int = RUNS) -> SwitchCost:
    """Measure a tree.

    :param version: its name
    :param runs: number of runs of the block in each way
    :raises RuntimeError: no switch takes place in its process
    """
    tree = candidate.get(version)
    program, quiet = programs()
    seconds: dict[str, list[float]] = {"quiet": [], "process": [], "driver": []}
    took = changed = switches = 0
    for run in range(runs + 1):
        found = {
            "quiet": block(tree, quiet, PROCESS),
            "process": block(tree, program, PROCESS),
            "driver": block(tree, program, DRIVER),
            "timed": block(tree, program, TIMED),
        }
        if not run:
            # The first run does not count: it includes one-time work per place in the code.
            continue
        for name, times in seconds.items():
            times.append(found[name].seconds)
        switches = found["process"].turns - found["quiet"].turns
        took += found["timed"].nanoseconds
        changed += found["timed"].turns
    if not changed or not switches:
        raise RuntimeError(f"{version} does not switch in its process")
    # Other load on the machine only makes runs longer, so the minimum counts.
    base = min(seconds["quiet"])
    return SwitchCost(
        in_process=round(took / changed / 1000, 3),
        in_all=round((min(seconds["process"]) - base) / switches * 1e6, 3),
        by_driver=round((min(seconds["driver"]) - base) / switches * 1e6, 3),
    )


def programs() -> tuple[Program, Program]:
    """Return the program with all switches, and the one with only the driver's; the rest are in the tree's process."""
    return parse(_PROGRAM.format("".join(_SWITCHES))), parse(_PROGRAM.format("".join(_SWITCHES[:_FIRST])))


@dataclass(slots=True)
class BlockRun:
    """One run of the block: its seconds, number of turn changes in the process, and their nanoseconds."""

    seconds: float
    turns: int
    nanoseconds: int


def block(version: Candidate, program: Program, direct: int) -> BlockRun:
    """Run the block of a program; *direct* as in `candidate.tree.runtime.tree.TreeSide.direct`."""
    executor = Executor(version, program)
    tree = executor.tree
    assert tree is not None
    tree.direct = direct
    process = tree.start().process
    before = process.turns()
    # Wall clock time, since the tree's process works too.
    seconds = timed(executor, time.perf_counter)
    after = process.turns()
    return BlockRun(seconds, after[0] - before[0], after[1] - before[1])
