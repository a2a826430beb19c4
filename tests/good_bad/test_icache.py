# SPDX-License-Identifier: GPL-2.0-only
"""icache: what becomes executable was invalidated, and after its data side was cleaned."""

import candidate
from candidate.v5_14 import MmuV5_14, PgtableV5_14
from reference.mmu import Mmu
from reference.pgtable import Pgtable, stage2_attr_data

from .case import Case, broken, each


class NeverInvalidate(Mmu):
    def invalidate_icache_guest_page(self, pfn: int, size: int) -> None:
        pass


class InvalidateOnePage(Mmu):
    def invalidate_icache_guest_page(self, pfn: int, size: int) -> None:
        super().invalidate_icache_guest_page(pfn, self.PAGE_SIZE)


class InvalidateFourK(Mmu):
    """Takes a page for 4K."""

    def invalidate_icache_guest_page(self, pfn: int, size: int) -> None:
        super().invalidate_icache_guest_page(pfn, 4 << 10)


class RelaxWithoutInvalidation(PgtableV5_14):
    """v7 without its hunk in the attribute walker."""

    def stage2_attr_walker(self, addr: int, end: int, level: int, ptep: int, flag: int, arg: stage2_attr_data) -> int:
        return Pgtable.stage2_attr_walker(self, addr, end, level, ptep, flag, arg)


HEAD = "vm cpus=1\nslot a size=4K backing=anon\nhost write a+0 4K\n"

CASES = (
    Case(
        "executable by a new leaf",
        "icache: stage2_map_walker: executable, not invalidated L3",
        broken(mmu=NeverInvalidate),
        HEAD + "cpu0 fetch a+0\n",
    ),
    Case(
        "executable by relaxed permissions",
        "icache: stage2_attr_walker: executable, not invalidated L3",
        broken(mmu=NeverInvalidate),
        HEAD + "cpu0 read a+0\ncpu0 fetch a+0\n",
    ),
    Case(
        "executable by relaxed permissions, where that is the walker's business",
        "icache: stage2_attr_walker: executable, not invalidated L3",
        broken(RelaxWithoutInvalidation, MmuV5_14),
        HEAD + "cpu0 read a+0\ncpu0 fetch a+0\n",
        candidate.get("v5.14"),
    ),
    Case(
        "only one page of a block",
        "icache: stage2_map_walker: executable, not invalidated L2",
        broken(mmu=InvalidateOnePage),
        "vm cpus=1\nslot a size=2M backing=thp\ncpu0 fetch a+4K\n",
    ),
    Case(
        "only 4K of a page of 64K",
        "icache: stage2_map_walker: executable, not invalidated L3",
        broken(mmu=InvalidateFourK),
        "vm cpus=1 granule=64K\nslot a size=64K backing=anon\nhost write a+0 64K\ncpu0 fetch a+0\n",
    ),
    Case(
        "written again by the host after it was unmapped",
        "icache: stage2_map_walker: executable, not invalidated L3",
        broken(mmu=NeverInvalidate),
        "vm cpus=1 dic=off fwb=on\nslot a size=4K backing=anon\ncpu0 read a+0\nhost migrate a+0 4K\ncpu0 fetch a+0\n",
    ),
    Case(
        "invalidated before the data side was cleaned",
        "icache: stage2_map_walker: invalidated before the data side was cleaned L3",
        candidate.get("rfc-v1-1"),
        HEAD + "cpu0 fetch a+0\n",
    ),
)


@each(CASES)
def test_icache_good(case: Case) -> None:
    assert case.all_good() == []


@each(CASES)
def test_icache_bad(case: Case) -> None:
    assert case.first_bad() == case.signature


def test_icache_good_with_dic() -> None:
    """Nothing is owed where nothing need be invalidated."""
    case = CASES[0]
    assert Case("", "", case.bad, case.text, case.bad).all_good() != []
    with_dic = case.text.replace("cpus=1", "cpus=1 dic=on")
    assert Case("", "", case.bad, with_dic, case.bad).all_good() == []
