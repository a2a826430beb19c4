# SPDX-License-Identifier: GPL-2.0-only
"""Versions from practice that flush differently: right ones show no violation, wrong ones show theirs."""

from collections import Counter
from typing import Final

import pytest

import candidate
from fuzz.generation.generator import Generator
from reference.pgtable import Pgtable
from reference.services.structs import kvm_s2_mmu

from . import practice_flush as practice
from . import practice_unmap as unmap
from .case import Case, all_found, broken, each, violations
from .switched import Unmap

FLUSH_OWED: Final = "vm\nslot a size=2G backing=anon\ncpu0 write a+0\ncpu0 write a+1G\nslot a delete\n"
TWO_PAGES: Final = "vm\nslot a size=2M backing=anon\ncpu0 write a+0\ncpu0 write a+4K\ntable unmap a+0 2M\n"
COLLAPSE: Final = (
    "vm\nslot a size=2M backing=thp log=on\nhost write a+0 2M\ncpu0 read a+0\ncpu0 read a+4K\n"
    "log a off\ncpu1 read a+8K mmu=off\n"
)
# Tables at two levels below the entry that becomes a 1G block; nothing is dirty.
COLLAPSE_1G: Final = (
    "vm fwb=on\nslot a size=1G backing=hugetlb1g log=on\ncpu0 read a+0\ncpu0 read a+4M\nlog a off\ncpu1 read a+2M\n"
)
RANGE: Final = "vm range=on\nslot a size=4M backing=anon\ncpu0 write a+0\ncpu0 write a+2M\nhost discard a+0 4M\n"
# Nothing is dirty: the page was cleaned when it was mapped, and only read.
CLEAN: Final = "vm\nslot a size=8K backing=anon\ncpu0 read a+0\ncpu0 read a+4K\nhost discard a+0 8K\n"

CASES: Final = (
    Case(
        "lock dropped by a reschedule before the flush",
        "tlb: stage2_unmap_walker: leaf flushed after mmu_lock was dropped L3",
        broken(unmap.FlushOwedOverResched, unmap.FlushOwedOverReschedMmu),
        FLUSH_OWED,
        unmap.on_v5_14(unmap.BatchedUnmap),
    ),
    Case(
        "lock dropped around the flush",
        "tlb: stage2_unmap_walker: leaf flushed after mmu_lock was dropped L3",
        broken(practice.FlushWithoutLock),
        TWO_PAGES,
        broken(practice.InOrder),
    ),
    Case(
        "lock dropped between a table's break and its flush",
        "tlb: stage2_map_walker: table flushed after mmu_lock was dropped L2",
        broken(practice.CollapseAfterResched),
        COLLAPSE,
        broken(practice.CollapseAges),
    ),
    Case(
        "one address flushed for a table",
        "tlb: stage2_map_walker: two sizes for one address, the other L3 L2",
        broken(practice.CollapseFlushesOneAddress),
        COLLAPSE,
        broken(practice.CollapseFlushesPages),
    ),
    Case(
        "one leaf of a table not flushed",
        "tlb: stage2_map_walker: two sizes for one address, the other L3 L2",
        broken(practice.CollapseForgetsAPage),
        COLLAPSE,
        broken(practice.CollapseFlushesPagesWithHint),
    ),
    Case(
        "a walk cache leads to a table below the one that was flushed",
        "lifetime: stage2_map_walker: freed before the flush",
        broken(practice.CollapseFlushesOneAddress),
        COLLAPSE_1G,
        broken(practice.CollapseFlushesPages),
    ),
    Case(
        "a range that is too short",
        "tlb: stage2_unmap_walker: leaf not flushed L3",
        unmap.on_v5_14(unmap.RangeUnmapShort),
        "vm range=on fwb=on\nslot a size=2M backing=anon\ncpu0 read a+0\ncpu0 read a+4K\ntable unmap a+4K 4K\n"
        "table unmap a+4K 4K\n",
        unmap.on_v5_14(unmap.RangeUnmap),
    ),
    Case(
        "a store into a table that was cut off",
        "lifetime: stage2_unmap_walker: store to a table before the flush that covers it L3",
        broken(practice.StoreIntoDetachedTable),
        TWO_PAGES,
        broken(practice.InOrder),
    ),
    Case(
        "leaves written before the flush",
        "lifetime: stage2_map_walker: store to a table before the flush that covers it L3",
        broken(practice.CollapseAgesEarly),
        COLLAPSE,
        broken(practice.CollapseAges),
    ),
    Case(
        "leaves of a table below written before the flush",
        "lifetime: stage2_map_walker: store to a table before the flush that covers it L3",
        broken(practice.CollapseAgesEarly),
        COLLAPSE_1G,
        broken(practice.CollapseAges),
    ),
    Case(
        "cleaned before the flush",
        "dcache: stage2_unmap_walker: unmapped, cleaned before the flush L3",
        broken(practice.CleanFirst),
        CLEAN,
        broken(practice.InOrder),
    ),
    Case(
        "cleaned before the break",
        "dcache: stage2_unmap_walker: unmapped, cleaned before the flush L3",
        broken(practice.CleanBeforeBreak),
        CLEAN,
        broken(practice.InOrder),
    ),
    Case(
        "cleaned before the flush of all",
        "dcache: stage2_unmap_walker: unmapped, cleaned before the flush L3",
        unmap.on_v5_14(unmap.CleansBeforeFlush),
        TWO_PAGES,
        unmap.on_v5_14(unmap.OneCleanForAll),
    ),
    Case(
        "cleaned after the lock was dropped",
        "dcache: stage2_unmap_walker: unmapped, not cleaned L3",
        broken(practice.CleanLater),
        CLEAN,
        broken(practice.InOrder),
    ),
    Case(
        "a page that is not dirty and not cleaned",
        "dcache: stage2_unmap_walker: unmapped, not cleaned L3",
        Unmap.without("clean"),
        CLEAN,
        Unmap.without(),
    ),
    Case(
        "pages of a table that was cut off, not cleaned",
        "dcache: stage2_unmap_walker: unmapped, not cleaned L3",
        unmap.on_v5_14(unmap.UnmapWholeTablesUncleaned),
        "vm\nslot a size=2M backing=anon\ncpu0 write a+0\ncpu0 read a+4K\ntable unmap a+0 2M\n",
        unmap.on_v5_14(unmap.UnmapWholeTables),
    ),
)


@each(CASES)
def test_practice_good(case: Case) -> None:
    # More flushes may cause an access flag fault, which shows bug R1.
    assert [signature for signature in case.all_good() if not signature.startswith("page-reference")] == []


@each(CASES)
def test_practice_bad(case: Case) -> None:
    assert case.first_bad() == case.signature


def test_one_address_names_the_stale_leaf() -> None:
    found = violations(broken(practice.CollapseFlushesOneAddress), COLLAPSE)
    for part in ("block(2M)", "page@", "0x40001000"):
        assert part in found[0].reason
    assert [each.signature for each in found if each.checker == "lifetime"] == []


def test_a_lock_that_is_not_the_vms_own_does_not_count() -> None:
    """Taking and dropping another VM's lock does not affect this VM's flushes."""

    class OtherVmsLock(practice.InOrder):
        def flush(self, mmu: kvm_s2_mmu, addr: int, level: int, pte: int, childp: int) -> None:
            own, self.k.vmid = self.k.vmid, 2
            self.k.cond_resched_lock()
            self.k.vmid = own
            super().flush(mmu, addr, level, pte, childp)

    assert violations(broken(OtherVmsLock), CLEAN) == []


def test_lost_permissions_may_be_flushed_after_the_lock() -> None:
    text = "vm cpus=1\nslot a size=8K backing=anon\ncpu0 write a+0\ncpu0 write a+4K\nlog a on\n"
    assert violations(broken(Pgtable), text) == []


@pytest.mark.parametrize("name", practice.DESIGNS)
def test_right_designs_show_no_violations_of_their_own(name: str) -> None:
    """Random programs show no violation of the design that its base version does not show too."""
    version, base = practice.DESIGNS[name]
    generator = Generator(41)
    more: Counter[str] = Counter()
    for _ in range(80):
        program = generator.next()
        theirs = {violation.signature for violation in all_found(candidate.get(base), program)}
        more.update({violation.signature for violation in all_found(version, program)} - theirs)
    # An access flag fault shows bug R1. The flushes determine where such faults occur.
    assert [signature for signature in more if not signature.startswith("page-reference")] == []
