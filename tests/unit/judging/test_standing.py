# SPDX-License-Identifier: GPL-2.0-only
"""Standing violations, looked up by pages and tables: the same ones in the same order as in a full scan."""

import random

from fuzz.checkers import Violation
from fuzz.checkers.guest_pages import GuestPages, overlap
from fuzz.judging.standing import Standing, StandingViolations
from reference.machine.granule import Granule

GRANULE = Granule(12)
SIZES = (1, 1, 1, 2, 7, 512, 513, 5000)


def some(lot: random.Random) -> Violation:
    """Make a violation at a few or many pages, with or without a table page."""
    ranges = []
    for _ in range(lot.choice((0, 1, 1, 1, 2))):
        start = lot.randrange(4000) << 12
        ranges.append((start, start + (lot.choice(SIZES) << 12)))
    pages = GuestPages(sorted(ranges), GRANULE.page_size)
    level, table = lot.choice((-1, 2, 3, 3)), lot.choice((-1, -1, 3, 4))
    return Violation("tlb", "f", "w", level, "r", pages, lot.random() < 0.8, False, table)


def concerns(each: Standing, violation: Violation) -> bool:
    if not violation.pages and violation.table < 0:
        return violation.taints
    if violation.table >= 0 and violation.table == each.violation.table:
        return True
    return overlap(each.ranges, violation.translated_ranges(GRANULE))


def test_the_look_up_has_the_result_of_a_full_scan() -> None:
    lot = random.Random(1)
    standing = StandingViolations(GRANULE)
    kept: list[Standing] = []
    found = 0
    for number in range(400):
        violation = some(lot)
        expected = [each.violation for each in kept if concerns(each, violation)]
        assert list(standing.before(violation)) == expected
        found += len(expected)
        one = Standing(violation, violation.translated_ranges(GRANULE), -1, 0, -1, number)
        standing.add(one)
        kept.append(one)
        if not number % 50:
            kept = [each for each in kept if each.entry % 3]
            standing.keep(lambda each: each.entry % 3 != 0)
    assert found > 1000
