# SPDX-License-Identifier: GPL-2.0-only
"""A table that became a block is flushed by one address.

As what 3a0b870e3448 (v5.10) mended, in the helper of RFC v1 2/4.
"""

from reference.compiled.annotations import mypyc_attr
from reference.pgtable import stage2_map_data

from ..registry.declaration import Bug
from ..rfc_v1_fixed import MmuRfcV1Fixed, PgtableRfcV1Fixed


@mypyc_attr(allow_interpreted_subclasses=True)
class PgtableBlockAddress(PgtableRfcV1Fixed):
    def stage2_coalesce_tables_into_block(self, addr: int, level: int, ptep: int, data: stage2_map_data) -> None:
        granule = self.kvm_granule_size(level)
        new = self.kvm_init_valid_leaf_pte(data.phys, data.attr, level)

        self.kvm_set_invalid_pte(ptep)
        # Wrong: the leaves below have other addresses.
        self.k.__kvm_tlb_flush_vmid_ipa__(data.mmu, addr, level)
        self.stage2_maintain_caches(new, data.phys, granule)
        self.k.smp_store_release(ptep, new)
        data.phys += granule


@mypyc_attr(allow_interpreted_subclasses=True)
class MmuBlockAddress(MmuRfcV1Fixed):
    """mmu.c is the base's."""


BUG = Bug(
    "bug-block-address",
    PgtableBlockAddress,
    MmuBlockAddress,
    base="rfc-v1-fixed",
    signature="tlb: stage2_map_walker: two sizes for one address, the other L3 L2",
    origin="the helper flushes one address, not the VMID",
    order=310,
)
