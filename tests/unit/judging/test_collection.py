# SPDX-License-Identifier: GPL-2.0-only
"""Memory that a large program used is returned at once, and only then."""

import gc
from collections.abc import Iterator

import pytest

from fuzz.engines.unit import Unit
from fuzz.engines.unit_run import UnitRun
from fuzz.judging.collection import GAINED, Reclaimer
from fuzz.language.program import Program
from fuzz.language.text import parse
from fuzz.processes.memory import resident_kib

SMALL = parse("s2fuzz 1\nvm\nslot a size=4M backing=thp\ncpu0 read a+4K\n")


@pytest.fixture
def collections() -> Iterator[list[int]]:
    """Record the generations that Python collects from now on."""
    found: list[int] = []

    def note(phase: str, details: dict[str, int]) -> None:
        if phase == "stop":
            found.append(details["generation"])

    gc.callbacks.append(note)
    yield found
    gc.callbacks.remove(note)


def test_nothing_is_collected_if_the_memory_use_is_unknown(collections: list[int]) -> None:
    reclaimer = Reclaimer(lambda process: resident_kib(f"no {process}"))
    gc.disable()
    try:
        reclaimer.look()
        assert (reclaimer.least, collections) == (0, [])
    finally:
        gc.enable()


def test_memory_used_by_a_program_is_returned_at_once(collections: list[int]) -> None:
    """Check that growth makes Python free the memory that it retains; small growth and shrinking do not."""
    resident = [50 << 10]
    reclaimer = Reclaimer(lambda process: resident[0])
    calls: list[int] = []
    reclaimer.trim = calls.append
    gc.disable()
    try:
        for size, expected in (
            (50 << 10, 0),
            ((50 << 10) + GAINED, 0),
            ((50 << 10) + GAINED + 1, 1),
            # The process has not grown since.
            ((50 << 10) + GAINED + 1, 1),
            # The process has shrunk, and grows again.
            (40 << 10, 1),
            (42 << 10, 2),
            (43 << 10, 2),
        ):
            resident[0] = size
            reclaimer.look()
            assert collections.count(2) == len(calls) == expected, size >> 10
    finally:
        gc.enable()


def test_a_session_checks_its_memory_after_each_program(monkeypatch: pytest.MonkeyPatch) -> None:
    unit_run = UnitRun(Unit("random", "original", "rfc-v1", 1, programs=3), lambda message: None)
    looked: list[int] = []
    monkeypatch.setattr(unit_run.reclaimer, "look", lambda: looked.append(unit_run.state.programs))
    made: list[Program] = [SMALL] * 3

    def make(number: int) -> Program:
        return made[number - 1]

    unit_run.judge_all(make)
    assert sorted(set(looked)) == [0, 1, 2, 3]
