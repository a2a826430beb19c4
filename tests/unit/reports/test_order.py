# SPDX-License-Identifier: GPL-2.0-only
"""The order of the findings of one program: the weightiest first, but a cause before what it led to."""

from typing import Final

import candidate
from fuzz.checkers import Violation
from fuzz.checkers.guest_pages import guest_pages
from fuzz.judging.finding import REGRESSION
from fuzz.judging.verdict import Judge
from fuzz.language.text import parse
from fuzz.reports.runs import Run
from reference.machine.granule import Granule

PROGRAM: Final = parse("s2fuzz 1\nvm\nslot a size=8K backing=anon\ncpu0 read a+0\ncpu0 read a+0\n")
PAGE: Final = 1 << 30
SIZE: Final = 4096


def violation(
    checker: str, what: str, at: int, page: int = PAGE, grave: bool = False, taints: bool = False
) -> Violation:
    """Return a violation of an operation on one page."""
    found = Violation(checker, "f", what, -1, what, guest_pages([page], SIZE), taints=grave or taints, grave=grave)
    found.at = at
    return found


def order(*violations: Violation) -> list[tuple[str, int]]:
    """Return checker and operation of each finding, for a candidate in which these violations happened, in order."""
    version = candidate.get("original")
    verdict = Judge(version, version, Granule(12)).judge([], list(violations), [])
    found = Run("x.s2", PROGRAM, "original", "original", verdict).findings()
    assert {each.kind for each in found} == {REGRESSION}
    return [(each.signature.partition(": ")[0], each.at) for each in found]


def test_a_cause_comes_before_what_it_led_to() -> None:
    access = violation("isolation", "access", 0, grave=True)
    assert order(violation("fault-order", "mapped", 0), access) == [("fault-order", 0), ("isolation", 0)]


def test_other_findings_are_ordered_by_weight() -> None:
    """A finding of another page or operation is no cause in this sense."""
    access = violation("isolation", "access", 1, grave=True)
    assert order(violation("fault-order", "mapped", 0), access) == [("isolation", 1), ("fault-order", 0)]
    elsewhere = violation("fault-order", "mapped", 1, PAGE + SIZE)
    assert order(elsewhere, access) == [("isolation", 1), ("fault-order", 1)]


def test_a_cause_in_an_earlier_operation_comes_first() -> None:
    """After a violation that taints, others may follow from it; those that count all the same name it."""
    mapped = violation("fault-order", "mapped", 0, PAGE + SIZE, taints=True)
    access, other = (violation("isolation", what, 1, grave=True) for what in ("access", "other"))
    assert order(mapped, access, other) == [("fault-order", 0), ("isolation", 1), ("isolation", 1)]
    version = candidate.get("original")
    found = Judge(version, version, Granule(12)).judge([], [mapped, access], []).findings
    assert [each.reason for each in found] == [
        "mapped",
        "access; before it, in the same program: fault-order: f: mapped",
    ]


def test_of_two_findings_of_one_weight_the_earlier_comes_first() -> None:
    first, second = violation("isolation", "b", 0, grave=True), violation("isolation", "a", 1, grave=True)
    assert order(first, second) == [("isolation", 0), ("isolation", 1)]
