# SPDX-License-Identifier: GPL-2.0-only
"""Compare the shadow tables with memory: a self-check of s2fuzz."""

from collections.abc import Mapping

from reference.kernel import Kernel
from reference.machine.descriptor import LEAF, TABLE, address_bits, kind

from .table import Table


def compare_with_memory(kernel: Kernel, by_page: Mapping[int, Table], table: Table) -> None:
    """Compare a table, and the tables below it, in memory with what the stores made of them.

    A table that was freed or entered twice is skipped, even if its parent is checked.

    :param by_page: the tables that are in use
    :raises AssertionError: they differ, a mistake of s2fuzz
    """
    if by_page.get(table.page) is not table:
        return
    # Memory has exactly the entries that the stores made: equal numbers of nonzero and of valid entries.
    counts = kernel.words.counts(table.page * kernel.entries, kernel.entries)
    if counts != (table.non_zero, table.valid()) or not is_in_memory(kernel, table):
        raise AssertionError(f"the shadow of table page {table.page} (level {table.level}) is not what memory holds")
    for child in table.children.values():
        compare_with_memory(kernel, by_page, child)


def is_in_memory(kernel: Kernel, table: Table) -> bool:
    """Return whether memory has each valid entry of a table as the stores made it."""
    words, granule = kernel.words, kernel.granule
    first = table.page * kernel.entries
    for index, leaf in table.leaves.items():
        if words[first + index] != leaf:
            return False
    for index, child in table.children.items():
        word = words[first + index]
        page = (address_bits(word, granule) - kernel.base) >> granule.page_shift
        if kind(word, table.level, granule) != TABLE or child.page != page:
            return False
    for index in table.reserved:
        word = words[first + index]
        if not word & 1 or kind(word, table.level, granule) == LEAF or index in table.children:
            return False
    return True
