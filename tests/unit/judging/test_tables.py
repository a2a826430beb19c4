# SPDX-License-Identifier: GPL-2.0-only
"""Descriptions of a difference between two tables."""

from typing import Final

from fuzz.checkers.table import Table
from fuzz.judging.tables import Stores, compare_tables
from reference.last_code_places import LastCodePlaces
from reference.machine.granule import Granule

STORES: Final = Stores(LastCodePlaces(), LastCodePlaces(), Granule(12))
BASE: Final = 1 << 30
# A page, and a block of 2M; an entry that is a table has no leaf here.
PAGE: Final = 0x7FF
BLOCK: Final = 0x7FD


def of_block() -> Table:
    """Make a table whose first entry is a block."""
    table = Table(1, 2, BASE, True)
    table.leaves[0] = BLOCK
    return table


def of_pages() -> Table:
    """Make a table whose first entry is a table with one page."""
    table, below = Table(2, 2, BASE, True), Table(3, 3, BASE, True)
    below.leaves[0] = PAGE
    table.children[0] = below
    return table


def test_a_table_is_not_called_empty() -> None:
    block = "block(2M)@0x0 rwx normal-wb"
    assert compare_tables(of_block(), of_pages(), STORES) == f"{BASE:#x}, level 2: {block}; a table"
    assert compare_tables(of_pages(), of_block(), STORES) == f"{BASE:#x}, level 2: a table; {block}"
    assert compare_tables(of_block(), Table(4, 2, BASE, True), STORES) == f"{BASE:#x}, level 2: {block}; empty"


def test_the_side_that_maps_by_pages_is_named() -> None:
    nothing = Table(4, 2, BASE, True)
    assert compare_tables(of_pages(), nothing, STORES) == f"only the reference maps by pages from {BASE:#x}"
    assert compare_tables(nothing, of_pages(), STORES) == f"only the candidate maps by pages from {BASE:#x}"
