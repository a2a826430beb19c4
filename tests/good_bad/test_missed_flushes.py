# SPDX-License-Identifier: GPL-2.0-only
"""Violations about TLB flushes say which flush came, and why it did not settle the entry."""

from typing import Final

import pytest

from candidate import Candidate
from candidate.v5_14 import MmuV5_14
from fuzz.checkers.missed_flushes import KEPT, NAMED, MissedFlushes
from reference.machine.instructions import IPAS2E1, IPAS2E1IS, ISH, VMALLE1IS
from reference.machine.processor import ALL_VMIDS, EVERYWHERE, Invalidation
from reference.pgtable import stage2_map_data
from reference.tlb import AnyTlb

from .case import broken, violations
from .practice_unmap import RangeUnmap
from .switched import Split
from .test_tlb import WriteProtectWithoutFlush
from .test_tlb_instructions import (
    LEAF,
    LOG,
    PAGE,
    RANGE,
    TABLE,
    ByInstructions,
    EvenRange,
    LastLevel,
    NothingBetween,
    by,
)

BLOCK: Final = "vm fwb=on ttl=on\nslot a size=2M backing=thp\ncpu0 read a+0\nlog a on\ncpu1 write a+4K\n"
FREED: Final = "lifetime: stage2_unmap_walker: freed before the flush"
HINT: Final = "it was flushed, but with the hint of level 3, so an entry of level 2 may stay"
UNORDERED: Final = (
    "it was flushed, but no DSB came between the store and the TLBI, so a walk in between may have restored it"
)
UNPAIRED: Final = (
    "it was flushed by IPA, but no DSB came between that and the invalidation of stage 1 (TLBI VMALLE1), so a "
    "combined entry may stay"
)


class NoFirstBarrier(ByInstructions):
    """Wrong: the store may become visible to walks after the TLBI."""

    def between(self, ipa: int, level: int) -> None:
        self.__tlbi_level__(IPAS2E1IS, ipa >> 12, level)
        self.a.dsb(ISH)
        self.__tlbi__(VMALLE1IS)
        self.a.dsb(ISH)


class SplitHintsAtPages(Split):
    """Wrong: the hint for a broken block is the level of pages."""

    def break_leaf(self, addr: int, level: int, ptep: int, data: stage2_map_data) -> None:
        super().break_leaf(addr, 3, ptep, data)


def reason(version: Candidate, text: str, signature: str) -> str:
    """Return the reason of the first violation with a signature."""
    return next(each.reason for each in violations(version, text) if each.signature == signature)


def test_a_leaf_that_lost_a_right_was_not_removed() -> None:
    found = reason(broken(mmu=WriteProtectWithoutFlush), "vm\n" + LOG, "tlb: stage2_attr_walker: leaf not flushed L3")
    assert found.endswith("rw- normal-wb at 0x40000000 lost the permission to write, and a CPU may still hold it")


def test_a_range_that_misses_the_address() -> None:
    version = Candidate("broken", RangeUnmap, MmuV5_14, "for a test", tlb=EvenRange)
    assert reason(version, RANGE, LEAF).endswith(": later flushes covered only 0x40000000-0x40002000")


@pytest.mark.parametrize(
    ("signature", "entry"),
    [
        ("bbm: stage2_map_walker: block->table made before the flush L2", "level 2"),
        ("tlb: stage2_map_walker: leaf not flushed L2", "a CPU may still hold it"),
    ],
)
def test_the_hint_of_another_level(signature: str, entry: str) -> None:
    assert reason(broken(SplitHintsAtPages), BLOCK, signature).endswith(f"{entry}: {HINT}")
    assert "flushed" not in reason(Split.without("flush"), BLOCK, signature)


@pytest.mark.parametrize(
    ("tlb", "why"),
    [
        (NoFirstBarrier, UNORDERED),
        (LastLevel, "it was flushed, but by a TLBI for leaves alone (IPAS2LE1), so walk caches may keep it"),
        (NothingBetween, UNPAIRED),
    ],
)
def test_a_table_freed_although_a_flush_came(tlb: type[AnyTlb], why: str) -> None:
    assert reason(by(tlb), "vm cpus=1\n" + TABLE, FREED).endswith(f"at 0x40000000, level 2: {why}")


def test_a_table_freed_without_any_flush() -> None:
    class NoFlush(ByInstructions):
        def between(self, ipa: int, level: int) -> None:
            pass

    assert reason(by(NoFlush), "vm cpus=1\n" + TABLE, FREED).endswith("at 0x40000000, level 2, was not flushed")


def test_no_barrier_before_the_flush_of_a_leaf() -> None:
    assert reason(by(NoFirstBarrier), "vm cpus=1\n" + PAGE, LEAF).endswith(f"may still hold it: {UNORDERED}")


def flush(page: int, published: int, place: str = "") -> Invalidation:
    """Return a TLBI of one page by address."""
    done = Invalidation(IPAS2E1, EVERYWHERE, ALL_VMIDS, published, 0)
    done.ipa, done.size, done.place = page << 12, 1 << 12, place
    return done


def test_the_latest_flushes_are_named_with_their_places() -> None:
    missed = MissedFlushes()
    for page in range(KEPT):
        # Adjacent pages are one range.
        missed.note(flush(100 + page, 5 + page, "one (tlb.c:1), by main"))
    missed.note(flush(300, 99, "two (tlb.c:2)"))
    text = missed.why(0, 1 << 12, 3, False, 4)
    # The first of them is forgotten.
    assert text == ": later flushes covered only 0x65000-0xa4000 at one (tlb.c:1), 0x12c000-0x12d000 at two (tlb.c:2)"
    assert missed.why(0, 1 << 12, 3, False, 98) == ": later flushes covered only 0x12c000-0x12d000 at two (tlb.c:2)"
    assert missed.why(0, 1 << 12, 3, False, 100) == ""
    for page in range(NAMED):
        missed.note(flush(400 + 2 * page, 100 + page))
    assert missed.why(0, 1 << 12, 3, False, 4).endswith(" and 2 more")
    missed.clear()
    assert missed.why(0, 1 << 12, 3, False, 4) == ""
