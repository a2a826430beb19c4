# SPDX-License-Identifier: GPL-2.0-only
"""Places are a set of pages: whatever is asked, the answer is a set's."""

from hypothesis import given
from hypothesis import strategies as st

from fuzz.checkers.places import Places, pages, without

PAGES = st.frozensets(st.integers(0, 12))
SIZE = 4096


def places(numbers: frozenset[int]) -> Places:
    return pages([number * SIZE for number in numbers], SIZE)


@given(PAGES, PAGES)
def test_as_a_set(a: frozenset[int], b: frozenset[int]) -> None:
    assert [place // SIZE for place in places(a)] == sorted(a)
    assert len(places(a)) == len(a)
    assert bool(places(a)) == bool(a)
    assert places(a).within(places(b)) == (a <= b)
    assert [place // SIZE for place in places(a).joined(places(b))] == sorted(a | b)
    assert list(places(a).moved(SIZE)) == [place + SIZE for place in places(a)]


@given(PAGES, st.integers(0, 6), st.integers(1, 6))
def test_what_is_left(taken: frozenset[int], start: int, length: int) -> None:
    left = without(start * SIZE, (start + length) * SIZE, places(taken).ranges)
    assert [place // SIZE for place in Places(left, SIZE)] == [
        number for number in range(start, start + length) if number not in taken
    ]


def test_neighbours_are_one_range() -> None:
    assert pages(range(0, 8 * SIZE, SIZE), SIZE).ranges == [(0, 8 * SIZE)]
