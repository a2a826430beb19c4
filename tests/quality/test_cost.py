# SPDX-License-Identifier: GPL-2.0-only
"""A measurement of the reason that the series gives for its speed-up.

"While the table entry is invalid, every other vCPU that touches the range takes an unnecessary translation fault": the
tests compare the length of that window in the original and in the patched version.
"""

from pathlib import Path
from typing import Final

import pytest

import candidate
from fuzz.judging.cost import Comparison, Costs
from fuzz.judging.differential import Differential
from fuzz.language.program import Program
from fuzz.language.text import load, parse

CORPUS: Final = Path(__file__).parent.parent.parent / "corpus"
INSTALL_FIRST: Final = ("rfc-v1-3", "rfc-v1", "rfc-v1-fixed")
ENTRIES: Final = 512
PAGE: Final = 4096
BLOCK: Final = 2 << 20


def compared(program: Program, name: str) -> Comparison:
    costs = Differential(candidate.get("original"), candidate.get(name), measure=True).run(program).costs
    assert costs is not None
    assert costs.complete
    return costs


def coalescing(pages: int, access: str = "read") -> Program:
    """Return a program that maps this many pages of a logged huge page, and then replaces their table by a block."""
    lines = ["s2fuzz 1", "vm", "slot a size=2M backing=thp log=on"]
    lines += [f"cpu0 {access} a+{4 * page}K" for page in range(pages)]
    lines += ["log a off", f"cpu1 {access} a+{4 * pages}K"]
    return parse("\n".join(lines) + "\n")


@pytest.mark.parametrize("name", INSTALL_FIRST)
@pytest.mark.parametrize("pages", [1, 8, 64, 511])
def test_the_window_grows_with_the_pages_and_the_series_makes_it_constant(name: str, pages: int) -> None:
    costs = compared(coalescing(pages), name)
    # The flush, entering the table, a put for each page, one for the table, its free.
    assert window(costs.reference) == (1, pages + 4, ENTRIES)
    # The flush, and in the fixed version the clean that was missing.
    assert window(costs.candidate) == (1, 2 if name == "rfc-v1-fixed" else 1, 0)
    # The same work is done, only later.
    assert costs.candidate.entries_visited == costs.reference.entries_visited


def window(costs: Costs) -> tuple[int, int, int]:
    """Return the number of invalid windows, and the events and visited entries in the longest one."""
    return costs.windows, costs.longest_window, costs.longest_window_entries


def test_patch_1_alone_puts_the_clean_into_the_window() -> None:
    """The clean moves from before the map to just before the store; the series' helper then omits it."""
    program = coalescing(64)
    costs = compared(program, "rfc-v1-1")
    assert window(costs.reference) == (1, 68, ENTRIES)
    assert window(costs.candidate) == (1, 69, ENTRIES)
    assert (costs.reference.window_cleaned, costs.candidate.window_cleaned) == (0, BLOCK)
    assert compared(program, "rfc-v1-3").candidate.window_cleaned == 0
    assert compared(program, "rfc-v1-fixed").candidate.window_cleaned == BLOCK


def test_the_clean_that_the_logging_route_lacks_is_in_the_cost() -> None:
    """The original cleans a page, then the block; patches 1-3/4 clean the page only. The flushes are the same."""
    costs = compared(load(CORPUS / "regressions" / "dcache-logging-route.s2"), "rfc-v1-3")
    assert costs.reference.bytes_cleaned == BLOCK + PAGE
    assert costs.candidate.bytes_cleaned == PAGE
    for side in (costs.reference, costs.candidate):
        # One when the slot is created with logging on, one when the table is removed.
        assert (side.flushes_vmid, side.flushes_ipa, side.flushes_ipa_hint) == (2, 0, 0)
