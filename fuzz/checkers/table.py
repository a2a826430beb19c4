# SPDX-License-Identifier: GPL-2.0-only
"""A table page as the stores made it, with the tables below it; `Shadow` keeps these."""

from __future__ import annotations


class Table:
    """One table page.

    :param page: its page number
    :param level: level of its entries
    :param base: guest address that entry 0 maps

    *leaves*: index -> descriptor; *children*: index -> table; *live*: whether
    the hardware can reach it from the root; *non_zero*: number of nonzero entries,
    valid or not. *wrong_since*: the walker callback or entry point that left it with a wrong reference count,
    "" while the count is right; *wrong_at*: the source locations in a compiled tree that had written and counted by
    then.
    """

    def __init__(self, page: int, level: int, base: int, live: bool) -> None:
        self.page = page
        self.level = level
        self.base = base
        self.live = live
        self.leaves: dict[int, int] = {}
        self.children: dict[int, Table] = {}
        # Indices of valid entries with a reserved encoding, or that point to a page that is no table.
        self.reserved: set[int] = set()
        self.non_zero = 0
        self.wrong_since = ""
        self.wrong_at = ""

    def end_of_walk(self, address: int, shifts: list[int]) -> Table:
        """Return the table, this one or one below, in which a walk to an address ends.

        :param shifts: log2 of the size that an entry translates, indexed by level
        """
        table = self
        while table.children:
            child = table.children.get((address - table.base) >> shifts[table.level])
            if child is None:
                break
            table = child
        return table

    def valid(self) -> int:
        """Return the number of valid entries."""
        return len(self.leaves) + len(self.children) + len(self.reserved)

    def copy(self) -> Table:
        """Return a copy of this table and the tables below it."""
        table = Table(self.page, self.level, self.base, self.live)
        table.leaves = dict(self.leaves)
        table.non_zero = self.non_zero
        table.children = {index: child.copy() for index, child in self.children.items()}
        return table

    def has_leaves(self) -> bool:
        """Return whether there is any leaf in it or below it."""
        if self.leaves:
            return True
        for child in self.children.values():
            if child.has_leaves():
                return True
        return False
