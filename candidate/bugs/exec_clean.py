# SPDX-License-Identifier: GPL-2.0-only
"""Maintains only the instruction cache where a table becomes an executable block.

A mistake in the fix that the review of RFC v1 asked for: either cache is maintained
instead of the data cache and then the instruction cache.
"""

from reference.pgtable import stage2_map_data

from ..registry.declaration import Bug
from ..rfc_v1_fixed import MmuRfcV1Fixed, PgtableRfcV1Fixed


class PgtableExecClean(PgtableRfcV1Fixed):
    def stage2_coalesce_tables_into_block(self, addr: int, level: int, ptep: int, data: stage2_map_data) -> None:
        granule = self.kvm_granule_size(level)
        new = self.kvm_init_valid_leaf_pte(data.phys, data.attr, level)

        self.kvm_set_invalid_pte(ptep)
        self.k.__kvm_tlb_flush_vmid__(data.mmu)
        # Wrong: an executable block must be cleaned first.
        if self.stage2_pte_executable(new):
            self.k.invalidate_icache_range(self.k.__va__(data.phys), granule)
        elif self.stage2_pte_cacheable(new):
            self.stage2_flush_dcache(self.k.__va__(data.phys), granule)
        self.k.smp_store_release(ptep, new)
        data.phys += granule


class MmuExecClean(MmuRfcV1Fixed):
    """mmu.c is the base's."""


BUG = Bug(
    "bug-exec-clean",
    PgtableExecClean,
    MmuExecClean,
    base="rfc-v1-fixed",
    signature="dcache: stage2_map_walker: table->block after a translation fault, not cleaned L2",
    origin="the clean that the review of RFC v1 asked for is skipped if the block is executable",
    order=370,
)
