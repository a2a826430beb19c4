# SPDX-License-Identifier: GPL-2.0-only
"""A table two levels above pages becomes a block: one put_page() is missing for each table in between.

The review of RFC v1 suspected this of the table that becomes the block; here it applies
to the tables below it. It needs a 1G block.
"""

from reference.pgtable import NULL, stage2_map_data

from ..registry.declaration import Bug
from ..rfc_v1_fixed import MmuRfcV1Fixed, PgtableRfcV1Fixed


class PgtableNestedPut(PgtableRfcV1Fixed):
    def stage2_map_walk_table_post(self, addr: int, end: int, level: int, ptep: int, data: stage2_map_data) -> int:
        if data.anchor == NULL:
            return 0

        if data.anchor != ptep:
            # Wrong: the table that contains ptep keeps the reference for it.
            self.k.free_page(self.kvm_pte_follow(self.load(ptep)))
        else:
            self.k.free_page(data.follow)
            data.anchor = NULL

        return 0


class MmuNestedPut(MmuRfcV1Fixed):
    """mmu.c is the base's."""


BUG = Bug(
    "bug-nested-put",
    PgtableNestedPut,
    MmuNestedPut,
    base="rfc-v1-fixed",
    signature="leak: kvm_free_stage2_pgd: table pages left",
    origin="the put_page() that the review of RFC v1 asked for is missing below a 1G block",
    order=380,
)
