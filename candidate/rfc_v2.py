# SPDX-License-Identifier: GPL-2.0-only
# Derived from Linux: RFC v2 of "KVM: arm64: Improve efficiency of stage2 page table", Yanan Wang, 10 Mar 2021.
"""RFC v2, all three patches: both kinds of cache maintenance move into the page-table code.

1/3 cleans and invalidates where a leaf is written, and invalidates where one
becomes executable; whether it cleans depends on the *old* entry. 2/3 combines RFC v1
2/4 and 3/4: a table becomes a block first, and the helper that does this
maintains no cache. 3/3 is RFC v1 4/4. Mails
20210310094319.18760-2-wangyanan55@huawei.com to -4-; pgtable.c becomes blob
b40b1f1615c7.
"""

from typing import ClassVar

from reference.capabilities import ICACHE_ALIASING, ICACHE_VPIPT, NO_VHE
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
from .rfc_v1 import MmuRfcV1
from .rfc_v1_3 import PgtableRfcV1_3


@mypyc_attr(allow_interpreted_subclasses=True)
class PgtableRfcV2(PgtableRfcV1_3):
    """1/3; the changes of 2/3 are as in RFC v1 3/4."""

    PASSES_ZEROES: ClassVar[tuple[str, ...]] = Pgtable.PASSES_ZEROES

    def stage2_pte_executable(self, pte: int) -> bool:
        return not pte & KVM_PTE_LEAF_ATTR_HI_S2_XN

    def stage2_invalidate_icache(self, addr: int, size: int) -> None:
        if self.k.cpus_have_const_cap(ICACHE_ALIASING):
            self.k.__flush_icache_all__()
        elif not self.k.cpus_have_const_cap(NO_VHE) or not self.k.cpus_have_const_cap(ICACHE_VPIPT):
            self.k.invalidate_icache_range(addr, size)

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

        # New in this patch. It does not check whether the new leaf is cacheable.
        if not self.kvm_pte_valid(old) or self.stage2_pte_cacheable(old):
            self.stage2_flush_dcache(self.k.__va__(phys), granule)

        if self.stage2_pte_executable(new):
            self.stage2_invalidate_icache(self.k.__va__(phys), granule)

        self.k.smp_store_release(ptep, new)
        self.k.get_page(page)
        data.phys += granule
        return 0

    def stage2_attr_walker(self, addr: int, end: int, level: int, ptep: int, flag: int, arg: stage2_attr_data) -> int:
        pte = self.load(ptep)
        data = arg

        if not self.kvm_pte_valid(pte):
            return 0

        data.level = level
        data.pte = pte
        pte &= ~data.attr_clr
        pte |= data.attr_set

        if data.pte != pte:
            # New in this patch.
            if not self.stage2_pte_executable(self.load(ptep)) and self.stage2_pte_executable(pte):
                self.stage2_invalidate_icache(self.kvm_pte_follow(pte), self.kvm_granule_size(level))
            self.k.WRITE_ONCE(ptep, pte)

        return 0


@mypyc_attr(allow_interpreted_subclasses=True)
class MmuRfcV2(MmuRfcV1):
    """`user_mem_abort` fills the memory cache as in RFC v1 4/4, and maintains no cache."""

    def invalidate_icache_guest_page(self, pfn: int, size: int) -> None:
        """1/3 removes this function and its call, as RFC v1 1/4 did with `clean_dcache_guest_page`."""


CANDIDATE = Candidate(
    "rfc-v2",
    PgtableRfcV2,
    MmuRfcV2,
    "RFC v2 1-3/3 (10 Mar 2021): both kinds of cache maintenance move to the map handler; includes RFC v1 2-4/4",
    order=50,
)
