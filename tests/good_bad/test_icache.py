# SPDX-License-Identifier: GPL-2.0-only
"""icache: memory that becomes executable was invalidated, after its data side was cleaned."""

import pytest

import candidate
from candidate.v5_14 import MmuV5_14, PgtableV5_14
from reference.machine.descriptor import WRITE_BIT, XN_BIT
from reference.mmu import Mmu
from reference.pgtable import Pgtable, kvm_pgtable, stage2_attr_data

from .case import Case, broken, each, violations


class NeverInvalidate(Mmu):
    def invalidate_icache_guest_page(self, pfn: int, size: int) -> None:
        pass


class InvalidateOnePage(Mmu):
    def invalidate_icache_guest_page(self, pfn: int, size: int) -> None:
        super().invalidate_icache_guest_page(pfn, self.PAGE_SIZE)


class InvalidateFourK(Mmu):
    """Assumes pages of 4K."""

    def invalidate_icache_guest_page(self, pfn: int, size: int) -> None:
        super().invalidate_icache_guest_page(pfn, 4 << 10)


class RelaxWithoutInvalidation(PgtableV5_14):
    """v7 without its hunk in the attribute walker."""

    def stage2_attr_walker(self, addr: int, end: int, level: int, ptep: int, flag: int, arg: stage2_attr_data) -> int:
        return Pgtable.stage2_attr_walker(self, addr, end, level, ptep, flag, arg)


class SplitsAtOnce(Pgtable):
    """Replaces the 2M block at the start of a range by a table that already maps all its pages."""

    executable = False

    def kvm_pgtable_stage2_wrprotect(self, pgt: kvm_pgtable, addr: int, size: int) -> int:
        ptep = self.kvm_pte_follow(self.load(pgt.pgd + (addr >> 30))) + (addr >> 21 & self.PTRS_PER_PTE - 1)
        old = self.load(ptep)
        page = old & ~WRITE_BIT & (~XN_BIT if self.executable else -1) | 2
        childp = self.k.zeroed_page()
        for index in range(self.PTRS_PER_PTE):
            self.k.WRITE_ONCE(childp + index, page + (index << 12))
            self.k.get_page(self.k.virt_to_page(childp))
        self.k.WRITE_ONCE(ptep, 0)
        self.k.__kvm_tlb_flush_vmid_ipa__(pgt.mmu, addr, 2)
        self.kvm_set_table_pte(ptep, childp)
        return 0


class SplitsIntoCode(SplitsAtOnce):
    executable = True


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
    Case(
        "invalidated before the data side was cleaned, while another vCPU runs",
        "icache: stage2_map_walker: invalidated before the data side was cleaned L3",
        candidate.get("rfc-v1-1"),
        "vm cpus=2\nslot a size=8K backing=anon\nhost write a+0 8K\n"
        "par\n  cpu0 fetch a+0\n  cpu1 read a+4K\n  switch cpu0 to cpu1 before lock 1\nend\n",
    ),
)


@each(CASES)
def test_icache_good(case: Case) -> None:
    assert case.all_good() == []


@each(CASES)
def test_icache_bad(case: Case) -> None:
    assert case.first_bad() == case.signature


def test_icache_good_with_dic() -> None:
    """DIC makes invalidation unnecessary."""
    case = CASES[0]
    assert Case("", "", case.bad, case.text, case.bad).all_good() != []
    with_dic = case.text.replace("cpus=1", "cpus=1 dic=on")
    assert Case("", "", case.bad, with_dic, case.bad).all_good() == []


@pytest.mark.parametrize(
    ("version", "access", "expected"),
    [
        (SplitsAtOnce, "read", []),
        # The guest must handle data that the host has written since.
        (SplitsAtOnce, "fetch", []),
        (SplitsIntoCode, "fetch", []),
        (SplitsIntoCode, "read", ["icache: kvm_pgtable_stage2_wrprotect: executable, not invalidated L3"]),
    ],
)
def test_leaves_of_a_newly_linked_table(version: type[Pgtable], access: str, expected: list[str]) -> None:
    text = f"vm cpus=1\nslot a size=2M backing=thp\nhost write a+0 2M\ncpu0 {access} a+0\nhost write a+0 4K\n"
    found = [violation.signature for violation in violations(broken(version), text + "table wrprotect a+0 2M\n")]
    assert [signature for signature in found if signature.startswith("icache: ")] == expected
