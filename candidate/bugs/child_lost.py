# SPDX-License-Identifier: GPL-2.0-only
"""The table that became a block is computed from the block's entry, so guest memory is freed in its place.

A likely mistake with RFC v1 3/4, which keeps the table in ``data->follow``.
"""

from reference.pgtable import stage2_map_data

from ..registry.declaration import Bug
from ..rfc_v1_fixed import MmuRfcV1Fixed, PgtableRfcV1Fixed


class PgtableChildLost(PgtableRfcV1Fixed):
    def stage2_map_walk_table_post(self, addr: int, end: int, level: int, ptep: int, data: stage2_map_data) -> int:
        # Wrong: the entry already holds the block.
        data.follow = self.kvm_pte_follow(self.load(ptep))
        return super().stage2_map_walk_table_post(addr, end, level, ptep, data)


class MmuChildLost(MmuRfcV1Fixed):
    """mmu.c is the base's."""


BUG = Bug(
    "bug-child-lost",
    PgtableChildLost,
    MmuChildLost,
    base="rfc-v1-fixed",
    signature="lifetime: stage2_map_walker: reference dropped on a non-table page",
    origin="the old table is not remembered before the block is stored",
    order=100,
)
