# SPDX-License-Identifier: GPL-2.0-only
"""The violations that known bugs explain, as long as they stand: what concerns the same pages may follow from them."""

from collections.abc import Callable
from typing import Final

from reference.machine.granule import Granule

from ..checkers import Violation
from ..checkers.places import Range, overlap

# Pages that are looked up one by one; of larger ranges all are gone through.
_FEW: Final = 32


class Standing:
    """A violation that a known bug explains, as long as it stands.

    :param ranges: addresses that its entries translate
    :param vm: of the leaf that is wrong; -1: it is a flush that is owed
    :param ipa: of that leaf, with *level* and *entry*
    """

    def __init__(self, violation: Violation, ranges: list[Range], vm: int, ipa: int, level: int, entry: int) -> None:
        self.violation = violation
        self.ranges = ranges
        self.vm = vm
        self.ipa = ipa
        self.level = level
        self.entry = entry


class StandingViolations:
    """All of one side, in the order in which they happened, by their pages and tables: there may be thousands."""

    def __init__(self, granule: Granule) -> None:
        self.granule = granule
        self.shift = granule.page_shift
        self.all: list[Standing] = []
        # Their numbers: by page, by table page, and of those that concern many pages.
        self.by_page: dict[int, list[int]] = {}
        self.by_table: dict[int, list[int]] = {}
        self.wide: list[int] = []

    def add(self, each: Standing) -> None:
        """Add one."""
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
        """Drop those that do not stand any more."""
        left = [each for each in self.all if stands(each)]
        if len(left) < len(self.all):
            self.all, self.wide = [], []
            self.by_page, self.by_table = {}, {}
            for each in left:
                self.add(each)

    def before(self, violation: Violation) -> tuple[Violation, ...]:
        """Return those from which a violation may follow: of the same pages or table page."""
        if not self.all:
            return ()
        if not violation.places and violation.table < 0:
            return tuple([each.violation for each in self.all]) if violation.taints else ()
        reach = violation.reach(self.granule)
        found = {number for number in self.near(reach) if overlap(self.all[number].ranges, reach)}
        if violation.table >= 0:
            found.update(self.by_table.get(violation.table, ()))
        return tuple([self.all[number].violation for number in sorted(found)])

    def near(self, ranges: list[Range]) -> set[int]:
        """Return the numbers of those that may concern the same pages."""
        if self.size(ranges) > _FEW:
            return set(range(len(self.all)))
        found = set(self.wide)
        for start, end in ranges:
            for page in range(start >> self.shift, (end - 1 >> self.shift) + 1):
                found.update(self.by_page.get(page, ()))
        return found

    def size(self, ranges: list[Range]) -> int:
        """Return the number of pages in some ranges."""
        return sum([(end - 1 >> self.shift) - (start >> self.shift) + 1 for start, end in ranges])
