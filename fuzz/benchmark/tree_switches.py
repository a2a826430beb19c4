# SPDX-License-Identifier: GPL-2.0-only
"""The cost of a switch from one vCPU of a par block to another, in a kernel tree."""

import time
from dataclasses import dataclass, replace
from statistics import median
from typing import Final

import candidate
from candidate import Candidate
from candidate.tree.runtime.tree import TreeSide

from ..execution.executor import Executor
from ..judging.differential import tree_of
from ..language.operations import Par
from ..language.program import Program
from ..language.text import parse

RUNS: Final = 100
# Two vCPUs relax entries of one table, and give way after each of their loads.
_LOADS: Final = 7
_PROGRAM: Final = (
    "s2fuzz 1\nvm\nslot a size=2M backing=anon log=on\ncpu0 read a+0\ncpu0 read a+4K\npar\ncpu0 write a+0\n"
    "cpu1 write a+4K\nswitch cpu0 to cpu1 after fault 1\n{}end\n"
)
_TURNS: Final = "switch cpu1 to cpu0 after load {0}\nswitch cpu0 to cpu1 after load {0}\n"
# `TreeSide.direct`.
_DRIVER: Final = 0
_PROCESS: Final = 1
_TIMED: Final = 2


@dataclass(slots=True)
class SwitchCost:
    """The cost of a switch, in microseconds.

    :param in_process: within the tree's process, where the vCPU that goes on has a call under way
    :param in_all: the same with what the driver has to do when it reads of it
    :param by_driver: where the driver is asked who goes on
    """

    in_process: float
    in_all: float
    by_driver: float


def measure(version: str, runs: int = RUNS) -> SwitchCost:
    """Measure a tree.

    :param version: its name
    :param runs: how often the block runs in each way
    :raises RuntimeError: there is no switch in its process
    """
    tree = candidate.get(version)
    program = parse(_PROGRAM.format("".join(_TURNS.format(load) for load in range(1, _LOADS + 1))))
    block = program.operations[-1]
    assert isinstance(block, Par)
    quiet = replace(program, operations=(*program.operations[:-1], replace(block, switches=block.switches[:1])))
    seconds: dict[str, list[float]] = {"quiet": [], "process": [], "driver": []}
    switches = took = changed = 0
    for run in range(runs + 1):
        found = {
            "quiet": _block(tree, quiet, _PROCESS),
            "process": _block(tree, program, _PROCESS),
            "driver": _block(tree, program, _DRIVER),
            "timed": _block(tree, program, _TIMED),
        }
        if not run:
            # What is found out once for each place in the code does not count.
            continue
        for name, times in seconds.items():
            times.append(found[name].seconds)
        switches = found["process"].turns - found["quiet"].turns
        took += found["timed"].nanoseconds
        changed += found["timed"].turns
    if not changed or switches <= 0:
        raise RuntimeError(f"{version} does not switch in its process")
    base = median(seconds["quiet"])
    return SwitchCost(
        in_process=round(took / changed / 1000, 3),
        in_all=round((median(seconds["process"]) - base) / switches * 1e6, 3),
        by_driver=round((median(seconds["driver"]) - base) / switches * 1e6, 3),
    )


@dataclass(slots=True)
class _Run:
    """One run of the block: seconds, changes of turns in the process, nanoseconds of these."""

    seconds: float
    turns: int
    nanoseconds: int


def _block(version: Candidate, program: Program, direct: int) -> _Run:
    executor = Executor(version, program)
    tree = tree_of(executor)
    assert tree is not None
    tree.direct = direct
    executor.create()
    last = len(program.operations) - 1
    for at in range(last):
        executor.step(at)
    before = _turns(tree)
    start = time.perf_counter()
    executor.step(last)
    seconds = time.perf_counter() - start
    after = _turns(tree)
    executor.destroy()
    executor.checkers.dismantle()
    executor.side.dismantle()
    return _Run(seconds, after[0] - before[0], after[1] - before[1])


def _turns(tree: TreeSide) -> tuple[int, int]:
    """As `candidate.tree.runtime.process.Process.turns`."""
    return (0, 0) if tree.process is None else tree.process.turns()
