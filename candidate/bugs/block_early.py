# SPDX-License-Identifier: GPL-2.0-only
"""The block is stored before its old table is flushed.

A mistake in the order that RFC v1 3/4 depends on.
"""

from reference.pgtable import stage2_map_data

from ..registry.declaration import Bug
from ..rfc_v1_fixed import MmuRfcV1Fixed, PgtableRfcV1Fixed


class MmuBlockEarly(MmuRfcV1Fixed):
    """mmu.c is the base's."""


class PgtableBlockEarly(PgtableRfcV1Fixed):
    def stage2_coalesce_tables_into_block(self, addr: int, level: int, ptep: int, data: stage2_map_data) -> None:
        size = self.kvm_granule_size(level)
        block = self.kvm_init_valid_leaf_pte(data.phys, data.attr, level)
        self.kvm_set_invalid_pte(ptep)
        self.stage2_maintain_caches(block, data.phys, size)
        self.k.smp_store_release(ptep, block)
        # Wrong: a CPU may hold pages of the table as well as the block.
        self.k.__kvm_tlb_flush_vmid__(data.mmu)
        data.phys += size


BUG = Bug(
    "bug-block-early",
    PgtableBlockEarly,
    MmuBlockEarly,
    base="rfc-v1-fixed",
    signature="bbm: stage2_map_walker: table->block made before the flush L2",
    origin="the flush comes after the block's store",
    order=160,
)
