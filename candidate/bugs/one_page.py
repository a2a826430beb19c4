# SPDX-License-Identifier: GPL-2.0-only
"""The helper that makes a block of a table cleans one page of it.

A slip in what the review of RFC v1 asked for.
"""

from reference.compiled.annotations import mypyc_attr
from reference.pgtable import stage2_map_data

from ..registry.declaration import Bug
from ..rfc_v1_fixed import MmuRfcV1Fixed, PgtableRfcV1Fixed


@mypyc_attr(allow_interpreted_subclasses=True)
class PgtableOnePage(PgtableRfcV1Fixed):
    def stage2_coalesce_tables_into_block(self, addr: int, level: int, ptep: int, data: stage2_map_data) -> None:
        granule = self.kvm_granule_size(level)
        new = self.kvm_init_valid_leaf_pte(data.phys, data.attr, level)

        self.kvm_set_invalid_pte(ptep)
        self.k.__kvm_tlb_flush_vmid__(data.mmu)
        # Wrong: the block has more pages.
        self.stage2_maintain_caches(new, data.phys, self.PAGE_SIZE)
        self.k.smp_store_release(ptep, new)
        data.phys += granule


@mypyc_attr(allow_interpreted_subclasses=True)
class MmuOnePage(MmuRfcV1Fixed):
    """mmu.c is the base's."""


BUG = Bug(
    "bug-one-page",
    PgtableOnePage,
    MmuOnePage,
    base="rfc-v1-fixed",
    signature="dcache: stage2_map_walker: table->block after a translation fault, not cleaned L2",
    origin="the helper cleans a page, not the block",
    order=330,
)
