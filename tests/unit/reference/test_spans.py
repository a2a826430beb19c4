# SPDX-License-Identifier: GPL-2.0-only
"""Spans behave like an array with the same contents after the same changes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference.machine.spans import Spans, last_up_to

SIZE = 24
RANGE = st.tuples(st.integers(0, SIZE), st.integers(0, SIZE))


def content(spans: Spans) -> list[int]:
    return [spans[index] for index in range(spans.size)]


@given(st.lists(st.tuples(RANGE, st.integers(0, 2))), RANGE, st.integers(0, SIZE))
def test_spans_behave_like_a_list(fills: list[tuple[tuple[int, int], int]], part: tuple[int, int], place: int) -> None:
    spans, array = Spans(), [7] * SIZE
    spans.grow(SIZE, 7)
    for (start, end), value in fills:
        spans.fill(start, end, value)
        array[start:end] = [value] * (end - start)
        assert content(spans) == array
        assert all(a != b for a, b in zip(spans.values, spans.values[1:], strict=False))
    start, end = part
    for value in (0, 1, 7):
        here = [index for index in range(start, end) if array[index] == value]
        assert spans.indices(value, start, end) == here
        assert spans.find(value, start, end) == (here[0] if here else -1)
    length = max(end - start, 0)
    assert spans.alike(start, place, length) == (array[start : start + length] == array[place : place + length])
    taken = spans.copy()
    place = min(place, SIZE - length)
    spans.paste(place, spans.runs(start, end), start)
    array[place : place + max(end - start, 0)] = array[start:end]
    assert content(spans) == array
    assert taken.size == SIZE
    was = content(taken)
    taken.take(spans, start, start + length)
    was[start : start + length] = array[start : start + length]
    assert content(taken) == was


@given(st.lists(st.integers(0, 1 << 58), min_size=1, unique=True).map(sorted), st.integers(0, 1 << 58))
def test_last_up_to_finds_the_last_start(starts: list[int], index: int) -> None:
    for at in (index, *starts):
        assert last_up_to(starts, at) == max(sum(start <= at for start in starts) - 1, 0)


def test_a_range_beyond_the_end() -> None:
    spans = Spans()
    assert spans.find(0, 0, 10) == -1
    spans.grow(4, 1)
    spans.grow(6, 2)
    assert spans.indices(2, 0, 100) == [4, 5]
    assert spans.find(1, -3, 100) == 0
    assert spans.runs(6, 8) == []
    for index in (-1, 6):
        with pytest.raises(IndexError):
            spans[index]
