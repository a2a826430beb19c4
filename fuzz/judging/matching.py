# SPDX-License-Identifier: GPL-2.0-only
"""The comparison of the two sides' violations: which are shared, which count, and which follow from others."""

from collections.abc import Callable
from math import inf
from typing import Final

from reference.machine.granule import Granule

from ..checkers import Violation
from ..checkers.guest_pages import GuestPages, Range, overlap

CACHE_CHECKERS: Final = ("dcache", "icache")
# The checker that judges leaves at quiet points.
LEAVES: Final = "translation"


def aspect(violation: Violation) -> str:
    """Return the part of a violation, besides checker, operation and pages, that both sides must have in common.

    For most rules the pages are enough: the two sides often break one in different
    functions and forms. A missing flush must be of a leaf on both sides, or
    of a table; a reference must have the same mark; a warning the same function.
    """
    if violation.checker == "tlb":
        return violation.what.partition(" ")[0]
    if violation.checker == "page-reference":
        return violation.what
    if violation.checker == "contract":
        return f"{violation.function} {violation.what}"
    return "" if violation.pages else violation.what


class Index:
    """The violations of one side, for matching the other side's violations against them.

    :param violations: in the order they happened
    """

    def __init__(self, violations: list[Violation]) -> None:
        ranges: dict[tuple[str, int, str], list[Range]] = {}
        for violation in violations:
            ranges.setdefault(self.key(violation), []).extend(violation.pages.ranges)
        self.pages = {key: GuestPages(found) for key, found in ranges.items()}

    def key(self, violation: Violation) -> tuple[str, int, str]:
        """Return the key of a violation."""
        return violation.checker, violation.at, aspect(violation)

    def shares(self, violation: Violation) -> bool:
        """Return whether this side also broke the same rule, for the same pages, at the same point."""
        there = self.pages.get(self.key(violation))
        return there is not None and violation.pages.within(there)


def violations_that_count(
    violations: list[Violation], others: Index, explained: Callable[[Violation], bool]
) -> list[Violation]:
    """Return the violations of one side that count, each signature once as shared or explained and once as neither.

    After a violation that taints, later violations may follow from it and do not count, except grave
    ones. If the other side shares the tainting violation, the two sides
    still agree: then only shared violations are left out, and the others
    count. After a violation that ruins its side, and is neither shared nor explained, grave ones are left out too: only
    shared or explained violations count. After a violation that a known bug explains, violations on the same
    pages are left out as long as it stands, and so are violations that name neither pages nor tables. Pages whose
    caches were not maintained stay so until they are written again: a later violation of the same checker on
    the same contents follows from the first. A violation that its checker takes for the consequence of an earlier one
    does not count.

    :param explained: whether a known bug explains a violation that is not shared
    """
    found: list[Violation] = []
    seen: set[tuple[str, bool]] = set()
    spoiled: dict[str, list[Violation]] = {checker: [] for checker in CACHE_CHECKERS}
    tainted = hidden = ruined = False
    for violation in violations:
        if violation.follows is not None:
            continue
        shared = others.shares(violation)
        alike = shared or explained(violation)
        if not alike:
            if ruined:
                continue
            # Even if the violation does not count because it follows from another; but not if a known bug may be the
            # cause.
            ruined = violation.ruins and not any(explained(each) for each in violation.after)
        if violation.checker in spoiled:
            earlier = spoiled[violation.checker]
            follows = not_written_since(violation, earlier)
            earlier.append(violation)
            if follows:
                continue
        key = (violation.signature, alike)
        if key in seen or (hidden and not violation.grave):
            continue
        if not violation.grave:
            if shared and tainted:
                continue
            if not alike and any(explained(each) and not others.shares(each) for each in violation.after):
                continue
        seen.add(key)
        found.append(violation)
        if violation.taints:
            if shared:
                tainted = True
            elif not alike:
                hidden = True
    return found


def not_written_since(violation: Violation, earlier: list[Violation]) -> bool:
    """Return whether all pages of a violation were reported before, with the same contents as now."""
    if not violation.pages:
        return False
    before = GuestPages()
    for each in earlier:
        if violation.version <= each.at + 1:
            before = before.joined(each.pages)
    return violation.pages.within(before)


def cause_of(
    violation: Violation,
    violations: list[Violation],
    explained: Callable[[Violation], bool],
    granule: Granule,
    alone: bool = False,
) -> Violation | None:
    """Return the violation of the same side, on the same pages or table, from which a grave one follows.

    The cause is the first violation that taints, among those that still stand or that no known bug explains;
    None unless a known bug explains it. An access of the same operation that follows from it has left its entry in the
    TLB, so accesses through that entry follow from it too. Leaves are judged at quiet points: in a par block, another
    actor may have used a wrong leaf before.

    :param explained: whether a known bug explains a violation
    :param alone: ignore accesses of the same operation
    """
    before = True
    for earlier in violations:
        if earlier is violation:
            before = False
        elif not before and earlier.at > violation.at:
            break
        if not before and (earlier.checker != LEAVES or earlier.at != violation.at):
            continue
        if not earlier.taints or not concerns_same(earlier, violation, granule):
            continue
        if earlier.grave:
            same = not alone and (earlier.checker, earlier.at) == (violation.checker, violation.at)
            cause = cause_of(earlier, violations, explained, granule, alone=True) if same else None
            if cause is not None:
                return cause
            continue
        if not explained(earlier):
            if any(explained(each) for each in earlier.after):
                # It follows from an explained violation itself, which may have ended and come back since.
                continue
            return None
        if earlier in violation.after or earlier.at == violation.at:
            return earlier
    return None


def concerns_same(one: Violation, other: Violation, granule: Granule) -> bool:
    """Return whether two violations concern the same table page, or entries that translate the same addresses."""
    if one.table >= 0 and one.table == other.table:
        return True
    return overlap(one.translated_ranges(granule), other.translated_ranges(granule))


def first_deviation(violations: list[Violation], others: Index) -> float:
    """Return the operation at which a side alone went wrong, so that its later silence proves nothing."""
    return min([v.at for v in violations if v.taints and not others.shares(v)], default=inf)


def may_differ_from(violations: list[Violation], others: Index, loaded: bool) -> float:
    """Return the operation from which on the violations of one side can cause a difference.

    Violations that do not taint cannot, nor can shared ones. Caches that were not
    maintained can, on both sides, if the difference is in a guest's load.

    :param loaded: the difference is in a guest's load
    """
    stale = [v.at for v in violations if v.checker in CACHE_CHECKERS] if loaded else []
    return min([first_deviation(violations, others), *stale])
