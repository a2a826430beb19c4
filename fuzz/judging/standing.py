# SPDX-License-Identifier: GPL-2.0-only
"""Violations that known bugs explain, while they stand: violations of the same pages may follow from them."""

from collections.abc import Callable
from typing import Final

from reference.machine.granule import Granule

from ..checkers import Violation
from ..checkers.guest_pages import Range, overlap

# The maximum number of pages to look up one by one; for larger ranges all records are checked.
_FEW: Final = 32


class Standing:
    """A violation that a known bug explains, while it stands.

    :param ranges: addresses that its entries translate
    :param vm: VM of the wrong leaf; -1: the violation is an owed flush
    :param ipa: address of that leaf; *level* and *entry* belong to it too
    """

    def __init__(self, violation: Violation, ranges: list[Range], vm: int, ipa: int, level: int, entry: int) -> None:
        self.violation = violation
        self.ranges = ranges
        self.vm = vm
        self.ipa = ipa
        self.level = level
        self.entry = entry


class StandingViolations:
    """The standing violations of one side, in order, indexed by page and table because there may be thousands."""

    def __init__(self, granule: Granule) -> None:
        self.granule = granule
        self.shift = granule.page_shift
        self.all: list[Standing] = []
        # Indices into `all`: by page, by table page, and for violations of many pages.
        self.by_page: dict[int, list[int]] = {}
        self.by_table: dict[int, list[int]] = {}
        self.wide: list[int] = []

    def add(self, each: Standing) -> None:
        """Add a violation."""
        number = len(self.all)
        self.all.append(each)
        if each.violation.table >= 0:
            self.by_table.setdefault(each.violation.table, []).append(number)
        if self.size(each.ranges) > _FEW:
            self.wide.append(number)
            return
        for start, end in each.ranges:
            for page in range(start >> self.shift, (end - 1 >> self.shift) + 1):
                self.by_page.setdefault(page, []).append(number)

    def keep(self, stands: Callable[[Standing], bool]) -> None:
        """Drop violations that no longer stand."""
        left = [each for each in self.all if stands(each)]
        if len(left) < len(self.all):
            self.all, self.wide = [], []
            self.by_page, self.by_table = {}, {}
            for each in left:
                self.add(each)

    def before(self, violation: Violation) -> tuple[Violation, ...]:
        """Return the violations from which one may follow: violations of the same pages or table page."""
        if not self.all:
            return ()
        if not violation.pages and violation.table < 0:
            return tuple([each.violation for each in self.all]) if violation.taints else ()
        ranges = violation.translated_ranges(self.granule)
        found = {number for number in self.near(ranges) if overlap(self.all[number].ranges, ranges)}
        if violation.table >= 0:
            found.update(self.by_table.get(violation.table, ()))
        return tuple([self.all[number].violation for number in sorted(found)])

    def near(self, ranges: list[Range]) -> set[int]:
        """Return the indices of violations that may concern the same pages."""
        if self.size(ranges) > _FEW:
            return set(range(len(self.all)))
        found = set(self.wide)
        for start, end in ranges:
            for page in range(start >> self.shift, (end - 1 >> self.shift) + 1):
                found.update(self.by_page.get(page, ()))
        return found

    def size(self, ranges: list[Range]) -> int:
        """Return the number of pages in *ranges*."""
        return sum([(end - 1 >> self.shift) - (start >> self.shift) + 1 for start, end in ranges])
