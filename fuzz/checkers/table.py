# SPDX-License-Identifier: GPL-2.0-only
"""One table page as the stores made it, with the tables below: what `Shadow` keeps."""

from __future__ import annotations


class Table:
    """One table page.

    :param page: its number
    :param level: level of its entries
    :param base: guest address that entry 0 maps

    *leaves*: index -> descriptor; *children*: index -> table; *live*: whether
    the hardware reaches it from the root; *non_zero*: how many of its entries
    are not zero, valid or not. *wrong_since*: the walker callback, or entry point, that has left it with a wrong count,
    "" while that is right; *wrong_at*: where in a compiled tree it was written and counted by then.
    """

    def __init__(self, page: int, level: int, base: int, live: bool) -> None:
        self.page = page
        self.level = level
        self.base = base
        self.live = live
        self.leaves: dict[int, int] = {}
        self.children: dict[int, Table] = {}
        # Valid entries that the architecture reserves, or that point to a page that is no table.
        self.reserved: set[int] = set()
        self.non_zero = 0
        self.wrong_since = ""
        self.wrong_at = ""

    def end_of_walk(self, address: int, shifts: list[int]) -> Table:
        """Return the table, this one or one below, in which a walk to an address ends.

        :param shifts: log2 of what an entry translates, by level
        """
        table = self
        while table.children:
            child = table.children.get((address - table.base) >> shifts[table.level])
            if child is None:
                break
            table = child
        return table

    def valid(self) -> int:
        """Number of valid entries."""
        return len(self.leaves) + len(self.children) + len(self.reserved)

    def copy(self) -> Table:
        """Return a copy of this table and those below."""
        table = Table(self.page, self.level, self.base, self.live)
        table.leaves = dict(self.leaves)
        table.non_zero = self.non_zero
        table.children = {index: child.copy() for index, child in self.children.items()}
        return table

    def has_leaves(self) -> bool:
        """Tell whether any leaf is in it or below it."""
        if self.leaves:
            return True
        for child in self.children.values():
            if child.has_leaves():
                return True
        return False
