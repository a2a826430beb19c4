# SPDX-License-Identifier: GPL-2.0-only
"""The violations of one side held against the other's: what is shared, what counts, what follows."""

from collections.abc import Callable
from math import inf
from typing import Final

from reference.machine.granule import Granule

from ..checkers import Violation
from ..checkers.places import Places, Range, merged, overlap

CACHE_CHECKERS: Final = ("dcache", "icache")


class Index:
    """The violations of one side, for matching those of the other against them.

    :param violations: in the order they happened
    """

    def __init__(self, violations: list[Violation]) -> None:
        ranges: dict[tuple[str, int], list[Range]] = {}
        self.events: set[tuple[str, int, str]] = set()
        for violation in violations:
            ranges.setdefault((violation.checker, violation.at), []).extend(violation.places.ranges)
            self.events.add((violation.checker, violation.at, violation.what))
        self.places = {key: Places(found) for key, found in ranges.items()}

    def shares(self, violation: Violation) -> bool:
        """Whether this side broke the same rule too, for the same pages, at the same point.

        Functions are not compared: the two sides often do it in different
        ones. Where no pages are concerned it must be the same event.
        """
        if violation.places:
            there = self.places.get((violation.checker, violation.at))
            return there is not None and violation.places.within(there)
        return (violation.checker, violation.at, violation.what) in self.events


class Spoiled:
    """The pages and table pages that violations concern, for what may follow from them.

    :param granule: of the side
    """

    def __init__(self, granule: Granule) -> None:
        self.granule = granule
        self.ranges: list[Range] = []
        self.tables: set[int] = set()

    def add(self, violation: Violation) -> None:
        """Take in a violation."""
        self.ranges = merged(self.ranges + violation.reach(self.granule))
        if violation.table >= 0:
            self.tables.add(violation.table)

    def meets(self, violation: Violation) -> bool:
        """Whether a violation concerns the same pages or table pages."""
        return violation.table in self.tables or overlap(violation.reach(self.granule), self.ranges)


def weighty(
    violations: list[Violation], others: Index, excused: Callable[[Violation], bool], granule: Granule
) -> list[Violation]:
    """The violations of one side that count, each signature once.

    What comes after a violation that taints may follow from it, but for one
    that is grave. Where the other side shares that violation, the two
    still stand alike: then only what they share is left out, and what they do
    not counts. After one that a known bug explains, what concerns the same
    pages is left out, and what names neither pages nor tables. Pages whose caches
    were not maintained once stay so: the same checker's later word on the same
    pages follows from the first.

    :param excused: whether a known bug explains a violation that is not shared
    """
    found: list[Violation] = []
    seen: set[str] = set()
    spoiled = {checker: Places() for checker in CACHE_CHECKERS}
    explained = Spoiled(granule)
    tainted = hidden = blamed = False
    for violation in violations:
        shared = others.shares(violation)
        if violation.signature in seen:
            if violation.taints and not shared and excused(violation):
                blamed = True
                explained.add(violation)
            continue
        if hidden and not violation.grave:
            continue
        pages = spoiled.get(violation.checker)
        if pages is not None:
            follows = bool(violation.places) and violation.places.within(pages)
            spoiled[violation.checker] = pages.joined(violation.places)
            if follows:
                continue
        if not violation.grave:
            if shared and tainted:
                continue
            if blamed and (explained.meets(violation) or (violation.taints and not concerns(violation))):
                continue
        seen.add(violation.signature)
        found.append(violation)
        if not violation.taints:
            continue
        if shared:
            tainted = True
        elif excused(violation):
            blamed = True
            explained.add(violation)
        else:
            hidden = True
    return found


def concerns(violation: Violation) -> bool:
    """Whether a violation names pages or a table page."""
    return bool(violation.places) or violation.table >= 0


def cause_of(
    violation: Violation, violations: list[Violation], excused: Callable[[Violation], bool], granule: Granule
) -> Violation | None:
    """The earlier violation of the same side, on the same pages or table, from which a grave one follows.

    The first one that taints is the cause; None unless a known bug explains it.

    :param excused: whether a known bug explains a violation
    """
    for earlier in violations:
        if earlier is violation:
            break
        if earlier.grave or not earlier.taints:
            continue
        there = Spoiled(granule)
        there.add(earlier)
        if there.meets(violation):
            return earlier if excused(earlier) else None
    return None


def astray(violations: list[Violation], others: Index) -> float:
    """The operation from which on a side alone had gone wrong, so that what it does not do proves nothing."""
    return min([v.at for v in violations if v.taints and not others.shares(v)], default=inf)


def explains(violations: list[Violation], others: Index) -> float:
    """The operation from which on what one side did wrong can be why the two differ.

    Caches that were not maintained can, on both sides; what harms nothing
    cannot, nor what both did alike.
    """
    return min([astray(violations, others), *[v.at for v in violations if v.checker in CACHE_CHECKERS]])
