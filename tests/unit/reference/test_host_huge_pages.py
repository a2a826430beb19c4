# SPDX-License-Identifier: GPL-2.0-only
"""Huge pages of the host: it makes, splits, moves and ages them, and notifies."""

import pytest

from reference.machine.address_space import (
    ABSENT,
    FOLIO,
    SOLE,
    THP,
    WRITABLE,
    ZEROES,
    HostTraits,
)
from reference.machine.memory import FIRST_PFN, FREE, INITIAL

from .one_area import BLOCK, HVA, PAGE, Fixture, small_entries


def test_collapse_copies_into_one_huge_page() -> None:
    f = Fixture(0)
    f.host.version = 3
    f.host.write(HVA + 5 * PAGE, HVA + 6 * PAGE)
    old = f.frame(5)
    f.host.collapse(HVA + 7 * PAGE)
    assert f.log.calls == ["start 0..512", "end"]
    assert f.flags(0) == f.flags(511) == WRITABLE | THP
    assert f.flags(512) == WRITABLE
    assert f.frame(0) % 512 == 0
    assert f.host.memory.guest_read(f.frame(5), True) == 3
    assert f.host.memory.owner[old - FIRST_PFN] == FREE


@pytest.mark.parametrize("flags", [THP, ABSENT])
def test_collapse_of_a_huge_or_absent_page_does_nothing(flags: int) -> None:
    f = Fixture(flags)
    f.host.collapse(HVA)
    assert f.log.calls == []


def test_split_keeps_the_frames() -> None:
    f = Fixture(THP)
    before = f.frame(3)
    f.host.split_huge(HVA + PAGE)
    assert f.log.calls == ["start 0..512", "end"]
    assert f.frame(3) == before
    assert (f.flags(3), f.flags(600)) == (WRITABLE, WRITABLE | THP)
    f.host.split_huge(HVA + PAGE)
    assert len(f.log.calls) == 2


def test_a_discarded_block_returns_as_a_huge_page() -> None:
    f = Fixture(THP)
    f.host.discard(HVA, HVA + BLOCK)
    f.host.populate(HVA + 9 * PAGE, True)
    assert f.frame(0) % 512 == 0
    assert f.flags(0) == WRITABLE | THP


def test_without_advice_a_discarded_block_returns_as_small_pages() -> None:
    f = Fixture(0)
    f.host.vmas[0].advised = False
    f.host.collapse(HVA)
    f.host.discard(HVA, HVA + BLOCK)
    f.host.populate(HVA, True)
    assert (f.flags(0), f.flags(1)) == (WRITABLE, ABSENT)


def test_a_read_of_a_whole_block_maps_the_huge_page_of_zeroes_and_a_write_splits_it() -> None:
    f = Fixture(THP)
    f.host.discard(HVA, HVA + 2 * BLOCK)
    f.log.calls.clear()
    f.host.populate(HVA + 9 * PAGE, False)
    f.host.populate(HVA + BLOCK, False)
    huge = f.frame(0)
    assert (huge % 512, f.frame(511), f.frame(512)) == (0, huge + 511, huge)
    assert f.flags(9) == ZEROES | THP
    f.host.migrate(HVA, HVA + PAGE)
    f.host.split_huge(HVA)
    f.host.collapse(HVA)
    f.host.fail_memory(HVA)
    assert f.log.calls == []
    f.host.break_cow(HVA + PAGE)
    assert f.log.calls == ["start 0..512", "end", "cow 1+1", "start 1..2", "change 1", "end"]
    assert (f.flags(0), f.flags(1), f.flags(600)) == (ZEROES, WRITABLE, ZEROES | THP)
    assert f.frame(0) == f.frame(2) == f.frame(511) not in range(huge, huge + 512)


def test_collapse_includes_shared_and_absent_pages() -> None:
    f = Fixture(0)
    f.host.version = 3
    f.host.write(HVA, HVA + 4 * PAGE)
    f.host.share(HVA, HVA + 2 * PAGE)
    f.host.discard(HVA + 2 * PAGE, HVA + 4 * PAGE)
    f.host.populate(HVA + 3 * PAGE, False)
    f.log.calls.clear()
    f.host.collapse(HVA)
    assert f.log.calls == ["start 0..512", "end"]
    assert f.flags(0) == f.flags(511) == WRITABLE | THP
    assert [f.host.memory.guest_read(f.frame(page), True) for page in range(4)] == [3, 3, 0, 0]


def test_collapse_needs_a_writable_page() -> None:
    f = Fixture(0)
    f.host.share(HVA, HVA + BLOCK)
    f.host.discard(HVA, HVA + PAGE)
    f.log.calls.clear()
    f.host.collapse(HVA)
    assert f.log.calls == []
    f.host.populate(HVA, True)
    f.host.collapse(HVA)
    assert f.log.calls == ["start 0..512", "end"]


def test_collapse_of_read_only_pages() -> None:
    """Check this as the kernel behaves since v6.18, if the version declares it; the area decides who may write."""
    f = Fixture(0)
    f.host.traits = HostTraits(collapses_read_only=True)
    f.host.share(HVA, HVA + BLOCK)
    f.host.collapse(HVA)
    assert f.flags(0) == f.flags(511) == WRITABLE | THP
    f = Fixture(0)
    f.host.traits = HostTraits(collapses_read_only=True)
    f.host.protect(HVA, HVA + BLOCK, True)
    f.host.collapse(HVA)
    assert f.flags(0) == f.flags(511) == SOLE | THP
    f.host.protect(HVA, HVA + BLOCK, False)
    assert f.flags(0) == WRITABLE | THP


def test_boundaries_of_areas_notify_for_whole_blocks() -> None:
    f = Fixture(0)
    f.host.share(HVA + PAGE, HVA + 513 * PAGE)
    assert f.log.calls == ["start 0..512", "end", "start 512..1024", "end", "start 1..513", "end"]
    f.log.calls.clear()
    # Both ends lie in one block; the second is in an area that has only a part of the block.
    f.host.unmap(HVA + PAGE, HVA + 2 * PAGE)
    assert f.log.calls == ["start 0..512", "end", "start 1..2", "end"]
    f.log.calls.clear()
    f.host.unmap(HVA + 4 * PAGE, HVA + 5 * PAGE)
    assert f.log.calls == ["start 4..5", "end"]


def test_a_large_folio_mapped_by_small_entries_moves_as_a_whole() -> None:
    f = Fixture(THP)
    small_entries(f)
    assert (f.flags(0), f.flags(1), f.flags(2)) == (WRITABLE | FOLIO, ABSENT, WRITABLE | FOLIO)
    old = f.frame(300)
    f.host.migrate(HVA, HVA + 2 * PAGE)
    assert f.log.calls == ["start 0..512", "end"]
    assert f.frame(300) not in (old, -1)
    assert f.frame(1) == -1
    # The folio had lost a page, so it was split.
    assert f.flags(0) == f.flags(511) == WRITABLE
    f.log.calls.clear()
    f.host.migrate(HVA, HVA + 2 * PAGE)
    assert f.log.calls == ["start 0..1", "end"]


def test_a_partly_shared_large_folio_is_still_complete() -> None:
    f = Fixture(THP)
    f.host.share(HVA + PAGE, HVA + 2 * PAGE)
    f.host.migrate(HVA, HVA + PAGE)
    assert (f.flags(0), f.flags(1), f.flags(2)) == (WRITABLE | FOLIO, FOLIO, WRITABLE | FOLIO)


def test_each_area_notifies_for_its_part_of_a_large_folio() -> None:
    """Check this as the kernel behaves since v6.18, if the version declares it; up to the last area with its pages."""
    for by_area, calls in (
        (False, ["start 0..512", "end"]),
        (True, ["start 0..4", "start 5..256", "end", "end"]),
    ):
        for act in ("split", "move"):
            f = Fixture(THP)
            f.host.traits = HostTraits(unmaps_by_area=by_area)
            f.host.unmap(HVA + 4 * PAGE, HVA + 5 * PAGE)
            f.host.protect(HVA + 256 * PAGE, HVA + BLOCK, True)
            f.host.discard(HVA + 256 * PAGE, HVA + BLOCK)
            f.log.calls.clear()
            if act == "split":
                f.host.split_huge(HVA)
            else:
                f.host.migrate(HVA, HVA + PAGE)
            assert f.log.calls == calls
            assert (f.flags(0), f.flags(5)) == (WRITABLE, WRITABLE)


def test_a_huge_page_notifies_once() -> None:
    for act in ("split", "move"):
        f = Fixture(THP)
        f.host.traits = HostTraits(unmaps_by_area=True)
        if act == "split":
            f.host.split_huge(HVA)
        else:
            f.host.migrate(HVA, HVA + PAGE)
        assert f.log.calls == ["start 0..512", "end"]


def test_a_large_folio_mapped_by_small_entries_is_split() -> None:
    f = Fixture(THP)
    small_entries(f)
    f.host.split_huge(HVA + PAGE)
    assert f.log.calls == []
    f.host.fail_memory(HVA + 2 * PAGE)
    assert f.log.calls == ["start 0..512", "end", "start 2..3", "end"]
    assert f.flags(0) == WRITABLE


def test_a_write_fills_the_huge_page_of_zeroes() -> None:
    """Check this as the kernel behaves since v6.13, if the version declares it; the VM is notified of the old page."""
    f = Fixture(THP)
    f.host.discard(HVA, HVA + BLOCK)
    f.host.populate(HVA, False)
    assert (f.flags(0), f.flags(511)) == (ZEROES | THP, ZEROES | THP)
    old = f.frame(0)
    f.log.calls.clear()
    f.host.traits = HostTraits(fills_zeroes=True)
    f.host.break_cow(HVA + 7 * PAGE)
    assert f.log.calls == ["start 0..512", "end"]
    assert (f.flags(0), f.flags(511)) == (WRITABLE | THP, WRITABLE | THP)
    assert f.frame(511) == f.frame(0) + 511
    assert f.frame(0) != old
    assert f.host.memory.guest_read(f.frame(7), True) == 0


def test_a_split_frees_pages_that_contain_only_zeroes() -> None:
    """Check this as the kernel behaves since v6.12, if the version declares it."""
    f = Fixture(THP)
    f.host.version = 3
    f.host.write(HVA + 2 * PAGE, HVA + 4 * PAGE)
    f.host.split_huge(HVA)
    assert f.flags(0) == f.flags(2) == WRITABLE
    f.host.traits = HostTraits(drops_zeroes=True)
    old = f.frame(1)
    f.host.collapse(HVA)
    f.host.memory.host_write(f.frame(8), 1, INITIAL)
    f.host.split_huge(HVA)
    assert [f.flags(page) for page in (0, 1, 2, 3, 4, 8, 511)] == [
        *(ZEROES, ZEROES, WRITABLE, WRITABLE, ZEROES, WRITABLE, ZEROES)
    ]
    assert f.frame(0) == f.frame(1) == f.frame(511) != old
    assert f.host.memory.guest_read(f.frame(8), True) == 0


def test_a_large_folio_mapped_by_small_entries_is_aged_as_a_whole() -> None:
    f = Fixture(THP)
    small_entries(f)
    f.host.populate(HVA + PAGE, True)
    pages = [HVA + page * PAGE for page in range(512) if page != 1]
    aged = f.host.pages_to_age(HVA, HVA + PAGE)
    assert aged == [(page, PAGE) for page in pages]
    assert f.host.aged_range(HVA, HVA + PAGE, aged) == (HVA, HVA + BLOCK)
    assert f.host.pages_to_age(HVA + PAGE, HVA + 2 * PAGE) == [(HVA + PAGE, PAGE)]
    assert len(f.host.pages_to_age(HVA, HVA + BLOCK)) == 512


def test_copy_on_write_in_a_huge_page_splits_it_first() -> None:
    f = Fixture(THP)
    f.host.share(HVA, HVA + BLOCK)
    f.log.calls.clear()
    f.host.break_cow(HVA + PAGE)
    assert f.log.calls == ["start 0..512", "end", "cow 1+1", "start 1..2", "change 1", "end"]
    assert f.flags(0) == FOLIO


def test_no_huge_page_is_aged_where_nothing_is_mapped() -> None:
    f = Fixture(THP)
    f.host.discard(HVA, HVA + BLOCK)
    f.host.unmap(HVA + PAGE, HVA + 2 * PAGE)
    f.host.populate(HVA, True)
    assert f.host.pages_to_age(HVA, HVA + PAGE) == [(HVA, PAGE)]
    assert f.host.pages_to_age(HVA + 10 * PAGE, HVA + 12 * PAGE) == []
    assert f.host.pages_to_age(HVA + 10 * PAGE, HVA + 2 * BLOCK) == [(HVA + BLOCK, BLOCK)]
