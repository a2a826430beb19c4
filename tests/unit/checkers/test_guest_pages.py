# SPDX-License-Identifier: GPL-2.0-only
"""GuestPages are a set of pages: every query has the answer of a set."""

from hypothesis import given
from hypothesis import strategies as st

from fuzz.checkers.guest_pages import GuestPages, guest_pages, ipa_of, vm_address, vm_of, without

PAGES = st.frozensets(st.integers(0, 12))
SIZE = 4096


def made(numbers: frozenset[int]) -> GuestPages:
    return guest_pages([number * SIZE for number in numbers], SIZE)


@given(PAGES, PAGES)
def test_pages_behave_like_a_set(a: frozenset[int], b: frozenset[int]) -> None:
    assert [each // SIZE for each in made(a)] == sorted(a)
    assert len(made(a)) == len(a)
    assert bool(made(a)) == bool(a)
    assert made(a).within(made(b)) == (a <= b)
    assert [each // SIZE for each in made(a).joined(made(b))] == sorted(a | b)


@given(PAGES, PAGES, st.integers(0, 3), st.integers(0, 3))
def test_pages_of_several_vms_are_kept_apart(a: frozenset[int], b: frozenset[int], one: int, other: int) -> None:
    first, second = made(a).in_vm(one), made(b).in_vm(other)
    assert [(vm_of(each), ipa_of(each)) for each in first] == [(one, ipa) for ipa in made(a)]
    assert list(first) == [vm_address(one, ipa) for ipa in made(a)]
    assert first.within(second) == (not a or (one == other and a <= b))


@given(PAGES, st.integers(0, 6), st.integers(1, 6))
def test_remaining_pages(taken: frozenset[int], start: int, length: int) -> None:
    left = without(start * SIZE, (start + length) * SIZE, made(taken).ranges)
    assert [each // SIZE for each in GuestPages(left, SIZE)] == [
        number for number in range(start, start + length) if number not in taken
    ]


def test_neighbours_are_one_range() -> None:
    assert guest_pages(range(0, 8 * SIZE, SIZE), SIZE).ranges == [(0, 8 * SIZE)]
