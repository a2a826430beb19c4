# SPDX-License-Identifier: GPL-2.0-only
"""A pass over adjacent leaves has the result of checking each leaf alone."""

from typing import Final

import pytest

import candidate
from fuzz.checkers.backing import FIELDS, WRITE_BACK, Backing
from fuzz.language.text import parse
from fuzz.sides.side import Side
from reference.machine.descriptor import WRITE_BIT

PAGE: Final = 4096
PAGES: Final = 16
LEVEL: Final = 3
READ_ONLY: Final = FIELDS & ~WRITE_BIT & ~(0xF << 2) | WRITE_BACK << 2
PROGRAM: Final = (
    f"s2fuzz 1\nvm granule=4K\nslot a size={PAGES * PAGE} backing=anon\nslot b size={PAGES * PAGE} backing=anon\n"
)


class Leaves:
    """A VM with written pages, and read-only leaves that map these pages."""

    def __init__(self) -> None:
        self.side = Side(candidate.get("original"), parse(PROGRAM))
        assert self.side.create() == 0
        layout = self.side.by_name["a"]
        self.ipa, self.hva = layout.ipa, layout.hva
        host = self.side.host
        host.write(self.hva, self.hva + PAGES * PAGE)
        run = host.run_at(self.hva)
        assert run is not None
        self.pfn = host.pfn_in(run, self.hva)
        self.backing = Backing(self.side.guest_of(0))

    def wrong(self, pages: int = PAGES, first: int = 0) -> list[str]:
        """Return the faults that a pass over leaves finds, after checking that single look-ups agree."""
        leaves = [(self.ipa + page * PAGE, self.pfn + page << 12 | READ_ONLY) for page in range(first, pages)]
        alone = [self.backing.fault_of(LEVEL, *leaf)[0] for leaf in leaves]
        self.backing.begin()
        assert [self.backing.next_fault_of(LEVEL, *leaf)[0] for leaf in leaves] == alone
        return alone


def test_correct_leaves() -> None:
    assert Leaves().wrong() == [""] * PAGES


@pytest.mark.parametrize("page", [0, 1, 2, 7, PAGES - 1])
@pytest.mark.parametrize("change", ["migrate", "discard", "share"])
def test_a_page_in_the_middle_changes(change: str, page: int) -> None:
    leaves = Leaves()
    start = leaves.hva + page * PAGE
    getattr(leaves.side.host, change)(start, start + PAGE)
    wrong = ["wrong frame" if number == page and change != "share" else "" for number in range(PAGES)]
    assert leaves.wrong() == wrong


@pytest.mark.parametrize("first", [1, 2, 9])
def test_the_remaining_pages_change(first: int) -> None:
    leaves = Leaves()
    leaves.side.host.migrate(leaves.hva + first * PAGE, leaves.hva + PAGES * PAGE)
    assert leaves.wrong() == [""] * first + ["wrong frame"] * (PAGES - first)


def test_the_slot_ends() -> None:
    assert Leaves().wrong(PAGES + 2) == [""] * PAGES + ["leaf outside of any slot"] * 2


@pytest.mark.parametrize("page", [9, 12, PAGES - 1])
def test_the_slot_moves_over_its_own_place(page: int) -> None:
    """Check that leaves of the old place are correct until it is unmapped, although the new place has others."""
    leaves, half = Leaves(), PAGES // 2
    layout = leaves.side.by_name["a"]
    old = layout.snapshot()
    layout.ipa += half * PAGE
    leaves.side.guest_of(0).change_begins(layout, old, leaves=True)
    assert leaves.wrong() == [""] * PAGES
    leaves.side.host.migrate(leaves.hva + page * PAGE, leaves.hva + (page + 1) * PAGE)
    for first in (0, half):
        assert leaves.wrong(first=first) == ["wrong frame" if number == page else "" for number in range(first, PAGES)]
