# SPDX-License-Identifier: GPL-2.0-only
# Derived from Linux: "KVM: arm64: Install the block entry before unmapping the page mappings", Yanan Wang, 8 Feb 2021.
"""RFC v1 2/4 and 3/4 on top of 1/4: a table becomes a block before its pages are unmapped.

Mails 20210208112250.163568-3-wangyanan55@huawei.com and -4-; pgtable.c becomes blob 308c36b9cd21.
"""

from reference.compiled.annotations import mypyc_attr
from reference.pgtable import NULL, stage2_map_data

from .registry.declaration import Candidate
from .rfc_v1_1 import MmuRfcV1_1, PgtableRfcV1_1


@mypyc_attr(allow_interpreted_subclasses=True)
class PgtableRfcV1_3(PgtableRfcV1_1):
    """pgtable.c as after 3/4: a table entry becomes a block first, and then its subtree is freed."""

    def stage2_coalesce_tables_into_block(self, addr: int, level: int, ptep: int, data: stage2_map_data) -> None:
        """2/4: break the table entry, flush everything, make the block."""
        granule = self.kvm_granule_size(level)
        new = self.kvm_init_valid_leaf_pte(data.phys, data.attr, level)

        self.kvm_set_invalid_pte(ptep)
        self.k.__kvm_tlb_flush_vmid__(data.mmu)
        self.k.smp_store_release(ptep, new)
        data.phys += granule

    def stage2_map_walk_table_pre(self, addr: int, end: int, level: int, ptep: int, data: stage2_map_data) -> int:
        if data.anchor != NULL:
            return 0

        if not self.kvm_block_mapping_supported(addr, end, data.phys, level):
            return 0

        # The walker continues below the table with the value it read before.
        data.anchor = ptep
        data.follow = self.kvm_pte_follow(self.load(ptep))
        self.stage2_coalesce_tables_into_block(addr, level, ptep, data)
        return 0

    def stage2_map_walk_table_post(self, addr: int, end: int, level: int, ptep: int, data: stage2_map_data) -> int:
        if data.anchor == NULL:
            return 0

        if data.anchor != ptep:
            self.k.free_page(self.kvm_pte_follow(self.load(ptep)))
            self.k.put_page(self.k.virt_to_page(ptep))
        else:
            self.k.free_page(data.follow)
            data.anchor = NULL

        return 0


@mypyc_attr(allow_interpreted_subclasses=True)
class MmuRfcV1_3(MmuRfcV1_1):
    """mmu.c is as after 1/4."""


CANDIDATE = Candidate(
    "rfc-v1-3",
    PgtableRfcV1_3,
    MmuRfcV1_3,
    "RFC v1 of 'Improve efficiency of stage2 page table', 1-3/4: also installs the block before the pages are unmapped",
    order=20,
)
