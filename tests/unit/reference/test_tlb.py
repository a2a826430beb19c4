# SPDX-License-Identifier: GPL-2.0-only
"""Flushes remove the right entries from a TLB and leave the others."""

import pytest

from reference.machine.granule import Granule
from reference.machine.tlb import CpuTlb

PAGE = 0x40001000
OTHER = 0x40002000


def filled() -> CpuTlb:
    """Make a TLB with a page translation, its tables, and another page of the same table."""
    tlb = CpuTlb(Granule(12))
    tlb.fill_table(PAGE, 1, 11)
    tlb.fill_table(PAGE, 2, 12)
    tlb.fill_leaf(PAGE, 3, 13)
    tlb.fill_leaf(OTHER, 3, 23)
    return tlb


def test_look_up() -> None:
    tlb = filled()
    assert tlb.leaf(PAGE + 0xFFF) == (3, 13)
    assert tlb.leaf(PAGE + 0x2000) == (-1, 0)
    assert tlb.table(PAGE + 0x5000) == (2, 12)


def test_flush_without_hint_drops_leaf_and_tables_of_the_address_only() -> None:
    tlb = filled()
    tlb.invalidate_ipa(PAGE, 0)
    tlb.combined.clear()
    assert tlb.leaf(PAGE) == (-1, 0)
    assert tlb.table(PAGE) == (-1, 0)
    assert tlb.leaf(OTHER) == (3, 23)


def test_the_right_hint_drops_the_same_entries() -> None:
    tlb = filled()
    tlb.invalidate_ipa(PAGE, 3)
    tlb.combined.clear()
    assert tlb.leaf(PAGE) == (-1, 0)
    assert tlb.table(PAGE) == (-1, 0)


def test_a_tables_own_level_as_hint_keeps_the_table() -> None:
    tlb = filled()
    tlb.invalidate_ipa(PAGE, 2)
    assert tlb.table(PAGE) == (2, 12)
    assert tlb.leaf(PAGE) == (3, 13)


def test_flush_of_everything() -> None:
    tlb = filled()
    tlb.invalidate_all()
    assert tlb.leaf(PAGE) == tlb.leaf(OTHER) == tlb.table(PAGE) == (-1, 0)


@pytest.mark.parametrize(("ipa", "level", "found"), [(PAGE, 2, 2), (0x40200000, 2, 0), (PAGE, 3, 0)])
def test_entries_of_other_sizes(ipa: int, level: int, found: int) -> None:
    assert len(filled().overlapping(ipa, level)) == found


def test_a_block_over_a_page_is_found_from_the_page() -> None:
    tlb = CpuTlb(Granule(12))
    tlb.fill_leaf(0x40000000, 2, 1)
    assert tlb.overlapping(PAGE, 3) == [(2, 0x40000000)]


def test_a_combined_entry_outlives_the_entry_of_stage_2() -> None:
    tlb = filled()
    tlb.invalidate_ipa(PAGE, 0)
    assert tlb.leaf(PAGE) == (3, 13)
    assert tlb.table(PAGE) == (-1, 0)
    tlb.evict(PAGE)
    assert tlb.leaf(PAGE) == (-1, 0)


def test_a_flush_of_the_last_level_keeps_tables() -> None:
    tlb = filled()
    tlb.invalidate_ipa(PAGE, 0, last_level=True)
    tlb.combined.clear()
    assert tlb.leaf(PAGE) == (-1, 0)
    assert tlb.table(PAGE) == (2, 12)
