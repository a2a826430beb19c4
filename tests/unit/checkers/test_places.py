# SPDX-License-Identifier: GPL-2.0-only
"""Places are a set of pages: every query has the answer of a set."""

from hypothesis import given
from hypothesis import strategies as st

from fuzz.checkers.places import Places, ipa_of, pages, place, vm_of, without

PAGES = st.frozensets(st.integers(0, 12))
SIZE = 4096


def places(numbers: frozenset[int]) -> Places:
    return pages([number * SIZE for number in numbers], SIZE)


@given(PAGES, PAGES)
def test_places_behave_like_a_set(a: frozenset[int], b: frozenset[int]) -> None:
    assert [each // SIZE for each in places(a)] == sorted(a)
    assert len(places(a)) == len(a)
    assert bool(places(a)) == bool(a)
    assert places(a).within(places(b)) == (a <= b)
    assert [each // SIZE for each in places(a).joined(places(b))] == sorted(a | b)


@given(PAGES, PAGES, st.integers(0, 3), st.integers(0, 3))
def test_pages_of_several_vms_are_kept_apart(a: frozenset[int], b: frozenset[int], one: int, other: int) -> None:
    first, second = places(a).in_vm(one), places(b).in_vm(other)
    assert [(vm_of(each), ipa_of(each)) for each in first] == [(one, ipa) for ipa in places(a)]
    assert list(first) == [place(one, ipa) for ipa in places(a)]
    assert first.within(second) == (not a or (one == other and a <= b))


@given(PAGES, st.integers(0, 6), st.integers(1, 6))
def test_remaining_pages(taken: frozenset[int], start: int, length: int) -> None:
    left = without(start * SIZE, (start + length) * SIZE, places(taken).ranges)
    assert [each // SIZE for each in Places(left, SIZE)] == [
        number for number in range(start, start + length) if number not in taken
    ]


def test_neighbours_are_one_range() -> None:
    assert pages(range(0, 8 * SIZE, SIZE), SIZE).ranges == [(0, 8 * SIZE)]
