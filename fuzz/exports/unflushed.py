# SPDX-License-Identifier: GPL-2.0-only
"""Entries that were broken and not flushed since, as casemate keeps them."""

from typing import NamedTuple


class Broken(NamedTuple):
    """An entry that was valid.

    :param ipa: guest address in bytes, the first of *size*
    :param level: of the table that it stands in
    :param table: page of the table that it named; -1: it was a leaf
    """

    ipa: int
    size: int
    level: int
    table: int


class Unflushed:
    """The entries of one VM that were broken and not flushed: place of the entry -> what it was."""

    def __init__(self) -> None:
        self.broken: dict[int, Broken] = {}

    def within(self, start: int, end: int) -> dict[int, Broken]:
        """Return those that map a part of [start, end), guest addresses in bytes."""
        return {ptep: each for ptep, each in self.broken.items() if each.ipa < end and start < each.ipa + each.size}

    def forget(self, covered: dict[int, Broken]) -> None:
        """Take out entries that a flush covers."""
        for ptep in covered:
            del self.broken[ptep]
