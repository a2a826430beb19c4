# SPDX-License-Identifier: GPL-2.0-only
"""Entries that were made invalid and not flushed since, as casemate tracks them."""

from typing import NamedTuple


class Broken(NamedTuple):
    """An entry that was valid and was made invalid.

    :param ipa: first guest address that it mapped, in bytes
    :param size: number of bytes that it mapped
    :param level: level of the table that has the entry
    :param table: page of the table that it pointed to; -1: it was a leaf
    """

    ipa: int
    size: int
    level: int
    table: int


class Unflushed:
    """The entries of one VM that were made invalid and not flushed: index of the entry -> its old value."""

    def __init__(self) -> None:
        self.broken: dict[int, Broken] = {}

    def within(self, start: int, end: int) -> dict[int, Broken]:
        """Return the entries that mapped a part of [start, end), guest addresses in bytes."""
        return {ptep: each for ptep, each in self.broken.items() if each.ipa < end and start < each.ipa + each.size}

    def forget(self, covered: dict[int, Broken]) -> None:
        """Remove entries that a flush covers."""
        for ptep in covered:
            del self.broken[ptep]
