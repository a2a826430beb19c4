# SPDX-License-Identifier: GPL-2.0-only
"""The process of a tree keeps to the core on which the driver begins a program; that of a twin runs on any."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import candidate
from candidate.tree.runtime import pool, times
from candidate.tree.runtime.process import Process
from candidate.tree.runtime.records import OP_HYP_DESTROY, OP_HYP_INIT

from .trees import version

CORES = os.sched_getaffinity(0)


@pytest.fixture
def library() -> Iterator[Path]:
    """The library of a tree; afterwards this process runs on all its cores again."""
    pgtable = candidate.get(version()).pgtable
    found: Path = pgtable.library(12)  # type: ignore[attr-defined]
    # Processes begin with the cores that this one has then.
    pool.forget()
    yield found
    os.sched_setaffinity(0, CORES)


def cores_of(process: Process) -> set[int]:
    """The cores on which the process that serves programs may run."""
    return os.sched_getaffinity(times.family(process.child.pid)[-1])


def run(library: Path) -> Process:
    """Run a short program; return its process, which has ended it."""
    process = pool.take(library)
    process.send(OP_HYP_INIT, 39, 0, 0, 0, 0, 0, 0, 0)
    assert process.receive()
    process.send(OP_HYP_DESTROY, 0, 0, 0, 0, 0, 0, 0, 0)
    assert process.receive()
    pool.give_back(process)
    process.settle()
    return process


def test_it_follows_the_driver(library: Path) -> None:
    for core in sorted(CORES) * 2:
        os.sched_setaffinity(0, {core})
        process = run(library)
        assert cores_of(process) == {core}


def test_a_twin_runs_on_any_core(library: Path) -> None:
    run(library)
    twin = pool.take(library, follows=True)
    twin.tell(b"E")
    assert twin.receive()
    assert cores_of(twin) == CORES
    pool.give_back(twin)
