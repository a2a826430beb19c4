# SPDX-License-Identifier: GPL-2.0-only
# Derived from Linux: "KVM: arm64: Move the clean of dcache to the map handler", Yanan Wang, 8 Feb 2021.
"""RFC v1 1/4: the map handler cleans the data cache, `user_mem_abort` and `kvm_set_spte_hva` no longer do.

Mail 20210208112250.163568-2-wangyanan55@huawei.com; pgtable.c becomes blob 2f4f87021980.
"""

from reference.compiled.annotations import mypyc_attr
from reference.mmu import Mmu
from reference.pgtable import KVM_PTE_LEAF_ATTR_S2_PERMS, Pgtable, stage2_map_data
from reference.services.errors import E2BIG, EAGAIN

from .registry.declaration import Candidate


@mypyc_attr(allow_interpreted_subclasses=True)
class PgtableRfcV1_1(Pgtable):
    """pgtable.c as after 1/4: the map handler cleans the data cache for a cacheable leaf."""

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

        # New in this patch.
        if self.stage2_pte_cacheable(new):
            self.stage2_flush_dcache(self.k.__va__(phys), granule)

        self.k.smp_store_release(ptep, new)
        self.k.get_page(page)
        data.phys += granule
        return 0


@mypyc_attr(allow_interpreted_subclasses=True)
class MmuRfcV1_1(Mmu):
    """mmu.c as after 1/4: it cleans no data cache."""

    def clean_dcache_guest_page(self, pfn: int, size: int) -> None:
        """The patch removes this function and both its calls."""


CANDIDATE = Candidate(
    "rfc-v1-1",
    PgtableRfcV1_1,
    MmuRfcV1_1,
    "RFC v1 of 'Improve efficiency of stage2 page table', 1/4 (8 Feb 2021): the D-cache clean moves to the map handler",
    order=10,
)
