# SPDX-License-Identifier: GPL-2.0-only
"""The tables that the stores made beside those in memory: a check of ourselves."""

from collections.abc import Mapping

from reference.kernel import Kernel
from reference.machine.descriptor import LEAF, TABLE, address_bits, kind

from .table import Table


def compare_with_memory(kernel: Kernel, by_page: Mapping[int, Table], table: Table) -> None:
    """Read a table, and those below, from memory: they must be what the stores made of them.

    One that was freed, or entered twice, is not read, in spite of its parent.

    :param by_page: the tables that are in use
    :raises AssertionError: they are not, a mistake of ours
    """
    if by_page.get(table.page) is not table:
        return
    # Each entry that the stores made is in memory, and nothing else is: so many are not zero, and so many valid.
    counts = kernel.words.counts(table.page * kernel.entries, kernel.entries)
    if counts != (table.non_zero, table.valid()) or not is_in_memory(kernel, table):
        raise AssertionError(f"the shadow of table page {table.page} (level {table.level}) is not what memory holds")
    for child in table.children.values():
        compare_with_memory(kernel, by_page, child)


def is_in_memory(kernel: Kernel, table: Table) -> bool:
    """Tell whether memory has each valid entry of a table, as the stores made it."""
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
