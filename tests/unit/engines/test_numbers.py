# SPDX-License-Identifier: GPL-2.0-only
"""Numbers of programs: each is drawn once, and none is lost when its process dies."""

import os
from collections.abc import Iterator

import pytest

from fuzz.engines.numbers import LaneNumbers, Numbers, SharedNumbers, make


@pytest.fixture
def memory() -> Iterator[int]:
    made = make(3)
    yield made
    os.close(made)


def test_a_single_process_draws_all_numbers() -> None:
    alone = Numbers(4)
    assert [alone.next() for _ in range(3)] == [4, 5, 6]


def test_each_number_is_drawn_once(memory: int) -> None:
    lanes = [SharedNumbers(LaneNumbers.of(LaneNumbers(memory, at).text()), 4) for at in range(3)]
    order = [0, 1, 1, 0, 2, 2, 2, 2, 2, 2, 0, 1]
    assert [lanes[at].next() for at in order] == list(range(4, 4 + len(order)))


def test_processes_draw_from_the_same_numbers(memory: int) -> None:
    ours = SharedNumbers(LaneNumbers(memory, 0), 1)
    child = os.fork()
    if not child:
        theirs = SharedNumbers(LaneNumbers(memory, 1), 1)
        drawn = [theirs.next() for _ in range(1000)]
        os._exit(drawn != sorted(set(drawn)))
    drawn = [ours.next() for _ in range(1000)]
    assert os.waitpid(child, 0)[1] == 0
    assert drawn == sorted(set(drawn))
    # No number is drawn twice or skipped.
    assert SharedNumbers(LaneNumbers(memory, 2), 1).next() == 2001


def test_the_next_process_draws_the_numbers_of_a_dead_one(memory: int) -> None:
    dead, other = SharedNumbers(LaneNumbers(memory, 0), 1), SharedNumbers(LaneNumbers(memory, 1), 1)
    assert [dead.next() for _ in range(6)] == [1, 2, 3, 4, 5, 6]
    assert other.next() == 7
    # The process died after it had judged program 5 and drawn number 6.
    after = SharedNumbers(LaneNumbers(memory, 0), 6)
    assert [after.next() for _ in range(3)] == [6, 8, 9]
    assert other.next() == 10
    # This process dies in program 9.
    assert SharedNumbers(LaneNumbers(memory, 0), 10).next() == 11
