# SPDX-License-Identifier: GPL-2.0-only
"""The driver and a tree's process stay on the core on which a program begins; twins and new processes run on any."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import candidate
from candidate.tree.runtime import times
from candidate.tree.runtime.driver_core import MOVES
from candidate.tree.runtime.pool import POOL
from candidate.tree.runtime.process import Process
from candidate.tree.runtime.records import OP_HYP_DESTROY, OP_HYP_INIT

from .trees import version

CORES = os.sched_getaffinity(0)


@pytest.fixture
def library() -> Iterator[Path]:
    """Yield the library of a tree; afterwards let this process run on all its cores again."""
    pgtable = candidate.get(version()).pgtable
    found: Path = pgtable.library(12)  # type: ignore[attr-defined]
    # A new process inherits the cores of this one.
    POOL.forget()
    yield found
    os.sched_setaffinity(0, CORES)


def cores_of(process: Process) -> set[int]:
    """Return the cores on which the process that serves programs may run."""
    return os.sched_getaffinity(times.family(process.pid)[-1])


def run(library: Path) -> Process:
    """Run a short program to its end; return its process."""
    process = POOL.take(library)
    process.send(OP_HYP_INIT, 39, 0, 0, 0, 0, 0, 0, 0)
    assert process.receive()
    process.send(OP_HYP_DESTROY, 0, 0, 0, 0, 0, 0, 0, 0)
    assert process.receive()
    POOL.give_back(process)
    process.settle()
    return process


def test_a_process_follows_the_driver(library: Path) -> None:
    for core in sorted(CORES) * 2:
        os.sched_setaffinity(0, {core})
        process = run(library)
        assert cores_of(process) == {core}


def test_a_twin_runs_on_any_core(library: Path) -> None:
    run(library)
    twin = POOL.take(library, follows=True)
    twin.send_message(b"E")
    assert twin.receive()
    assert cores_of(twin) == CORES
    POOL.give_back(twin)


def begun(library: Path) -> Process:
    """Begin a program during which the driver stays on its core; return the process of the program."""
    # After each stay, the scheduler may move the driver for a while.
    for _ in range(3):
        process = POOL.take(library)
        if len(os.sched_getaffinity(0)) == 1:
            return process
        POOL.give_back(process)
        assert os.sched_getaffinity(0) == CORES
        time.sleep(MOVES)
    raise AssertionError("the driver does not stay")


@pytest.mark.skipif(len(CORES) == 1, reason="needs two cores")
def test_the_driver_stays_with_the_process(library: Path) -> None:
    process = begun(library)
    assert os.sched_getaffinity(0) < CORES
    POOL.give_back(process)
    assert os.sched_getaffinity(0) == CORES


def test_a_process_started_meanwhile_runs_on_any_core(library: Path) -> None:
    process = begun(library)
    other = Process(library, POOL.tallies, POOL.driver)
    assert os.sched_getaffinity(other.pid) == CORES
    other.close()
    POOL.give_back(process)
