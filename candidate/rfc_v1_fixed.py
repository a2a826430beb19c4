# SPDX-License-Identifier: GPL-2.0-only
# Derived from Linux: RFC v1 of "KVM: arm64: Improve efficiency of stage2 page table", Yanan Wang, and its review.
"""RFC v1 with the changes that its review agreed on.

The helper that turns a table into a block cleans the data cache, then
invalidates the instruction cache. Instruction cache maintenance always follows data cache
maintenance, so it moves into the page-table code too. The memory cache is
filled before the lock, as in the original. Mail 4d57390a-6113-957b-94b7-205a23ae4c8f@huawei.com.
"""

from typing import ClassVar

from reference.compiled.annotations import mypyc_attr
from reference.pgtable import (
    KVM_PTE_LEAF_ATTR_HI_S2_XN,
    KVM_PTE_LEAF_ATTR_S2_PERMS,
    Pgtable,
    stage2_attr_data,
    stage2_map_data,
)
from reference.services.errors import E2BIG, EAGAIN

from .registry.declaration import Candidate
from .rfc_v1_3 import MmuRfcV1_3, PgtableRfcV1_3


@mypyc_attr(allow_interpreted_subclasses=True)
class PgtableRfcV1Fixed(PgtableRfcV1_3):
    """pgtable.c: maintains both caches wherever a leaf is written, and where a leaf becomes executable."""

    PASSES_ZEROES: ClassVar[tuple[str, ...]] = Pgtable.PASSES_ZEROES

    def stage2_pte_executable(self, pte: int) -> bool:
        return not pte & KVM_PTE_LEAF_ATTR_HI_S2_XN

    def stage2_maintain_caches(self, new: int, phys: int, granule: int) -> None:
        """Maintain the data cache, then the instruction cache, for the memory that leaf *new* is about to expose."""
        if not self.stage2_pte_cacheable(new):
            return
        self.stage2_flush_dcache(self.k.__va__(phys), granule)
        if self.stage2_pte_executable(new):
            self.k.invalidate_icache_range(self.k.__va__(phys), granule)

    def stage2_map_walker_try_leaf(self, addr: int, end: int, level: int, ptep: int, data: stage2_map_data) -> int:
        old = self.load(ptep)
        granule = self.kvm_granule_size(level)
        phys = data.phys
        page = self.k.virt_to_page(ptep)

        if not self.kvm_block_mapping_supported(addr, end, phys, level):
            return -E2BIG

        new = self.kvm_init_valid_leaf_pte(phys, data.attr, level)
        if self.kvm_pte_valid(old):
            if not (old ^ new) & ~KVM_PTE_LEAF_ATTR_S2_PERMS:
                return -EAGAIN

            self.kvm_set_invalid_pte(ptep)
            self.k.__kvm_tlb_flush_vmid_ipa__(data.mmu, addr, level)
            self.k.put_page(page)

        self.stage2_maintain_caches(new, phys, granule)

        self.k.smp_store_release(ptep, new)
        self.k.get_page(page)
        data.phys += granule
        return 0

    def stage2_coalesce_tables_into_block(self, addr: int, level: int, ptep: int, data: stage2_map_data) -> None:
        granule = self.kvm_granule_size(level)
        new = self.kvm_init_valid_leaf_pte(data.phys, data.attr, level)

        self.kvm_set_invalid_pte(ptep)
        self.k.__kvm_tlb_flush_vmid__(data.mmu)
        self.stage2_maintain_caches(new, data.phys, granule)
        self.k.smp_store_release(ptep, new)
        data.phys += granule

    def stage2_attr_walker(self, addr: int, end: int, level: int, ptep: int, flag: int, arg: stage2_attr_data) -> int:
        pte = self.load(ptep)

        # A leaf that becomes executable; the data cache was cleaned when it was mapped.
        if (
            self.kvm_pte_valid(pte)
            and arg.attr_clr & KVM_PTE_LEAF_ATTR_HI_S2_XN
            and not self.stage2_pte_executable(pte)
        ):
            self.k.invalidate_icache_range(self.kvm_pte_follow(pte), self.kvm_granule_size(level))

        return super().stage2_attr_walker(addr, end, level, ptep, flag, arg)


@mypyc_attr(allow_interpreted_subclasses=True)
class MmuRfcV1Fixed(MmuRfcV1_3):
    """mmu.c as after 3/4, without the invalidation of the instruction cache."""

    def invalidate_icache_guest_page(self, pfn: int, size: int) -> None:
        """Left to the page-table code."""


CANDIDATE = Candidate(
    "rfc-v1-fixed",
    PgtableRfcV1Fixed,
    MmuRfcV1Fixed,
    "RFC v1 as changed by its review: D-cache clean, then I-cache invalidation in the helper; fill before the lock",
    order=40,
)
