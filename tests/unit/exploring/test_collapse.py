# SPDX-License-Identifier: GPL-2.0-only
"""A huge page collapses while faults on its pages are handled: exploring finds the same with and without reduction."""

from typing import Final

import candidate
from fuzz.exploring.exploring import ExplorationResult, Explorer
from fuzz.judging.differential import REGRESSION
from fuzz.language.text import parse, print_program

# The slot has only a few pages of the huge one, so that an invalidation walks few entries.
COLLAPSE: Final = """\
s2fuzz 1
vm
slot a size=12K backing=thp
host split a+0
cpu0 read a+0
par
  cpu0 write a+4K
  cpu1 read a+0
  host0 collapse a+0
end
"""
# RFC v1 4/4: the fault level implies that the tables exist, but the collapse removes them.
NO_TOPUP: Final = "memcache: stage2_map_walker: allocation without a top-up after a translation fault"


def explored(reduction: bool) -> ExplorationResult:
    versions = candidate.get("original"), candidate.get("rfc-v1")
    return Explorer(*versions, parse(COLLAPSE), 1, reduction=reduction).run()


def test_with_reduction_and_without_a_collapse_shows_the_same() -> None:
    found, reduced = explored(False), explored(True)
    assert found.judged == sum(found.schedules)
    assert reduced.judged < found.judged
    assert reduced.schedules == found.schedules
    for one in (found, reduced):
        assert (REGRESSION, NO_TOPUP) in one.shown
    shown = [
        {key: (each.schedules, print_program(each.program)) for key, each in one.shown.items()}
        for one in (found, reduced)
    ]
    assert shown[0] == shown[1]
    # Not every schedule with a switch shows it.
    assert 0 < found.shown[REGRESSION, NO_TOPUP].schedules < found.schedules[1]
