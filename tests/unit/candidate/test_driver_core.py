# SPDX-License-Identifier: GPL-2.0-only
"""The driver stays on its core while programs run, and periodically lets the scheduler choose one."""

import os
from collections.abc import Iterator

import pytest

from candidate.tree.runtime.driver_core import MOVES, STAYS, DriverCore
from candidate.tree.runtime.shared import core

CORES = os.sched_getaffinity(0)

pytestmark = pytest.mark.skipif(len(CORES) < 2, reason="this process may run on one core only")


class Clock:
    """A clock that a test sets, in seconds."""

    now = 1.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Iterator[Clock]:
    yield Clock()
    os.sched_setaffinity(0, CORES)


def test_the_driver_alternates_between_staying_and_moving(clock: Clock) -> None:
    driver = DriverCore(clock)
    here = driver.stay()
    assert os.sched_getaffinity(0) == {here - 1}
    clock.now += STAYS / 2
    assert driver.stay() == here
    assert os.sched_getaffinity(0) == {here - 1}
    clock.now += STAYS
    driver.stay()
    assert os.sched_getaffinity(0) == CORES
    clock.now += MOVES / 2
    driver.stay()
    assert os.sched_getaffinity(0) == CORES
    clock.now += MOVES
    here = driver.stay()
    assert os.sched_getaffinity(0) == {here - 1}


def test_the_end_of_a_program_does_not_extend_the_stay(clock: Clock) -> None:
    driver = DriverCore(clock)
    moved = 0
    for _ in range(1000):
        driver.stay()
        moved += os.sched_getaffinity(0) == CORES
        driver.free()
        assert os.sched_getaffinity(0) == CORES
        clock.now += STAYS / 50
    assert moved > 10


def test_the_driver_respects_its_affinity(clock: Clock) -> None:
    one = {min(CORES)}
    os.sched_setaffinity(0, one)
    driver = DriverCore(clock)
    assert driver.stay() == min(CORES) + 1
    driver.free()
    assert os.sched_getaffinity(0) == one


def test_an_affinity_set_meanwhile_is_kept(clock: Clock) -> None:
    driver = DriverCore(clock)
    other = CORES - {driver.stay() - 1}
    os.sched_setaffinity(0, other)
    driver.free()
    assert os.sched_getaffinity(0) == other


def test_without_permission_the_driver_runs_on_any_core(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(pid: int, cores: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    driver = DriverCore(clock)
    assert driver.stay() - 1 in CORES
    driver.free()
    monkeypatch.undo()
    assert os.sched_getaffinity(0) == CORES
    assert core() - 1 in CORES
