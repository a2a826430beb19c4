# SPDX-License-Identifier: GPL-2.0-only
"""The table that became a block is freed twice.

A likely mistake with RFC v1 3/4, which has two ways to refer to the table.
"""

from reference.pgtable import stage2_map_data

from ..registry.declaration import Bug
from ..rfc_v1_fixed import MmuRfcV1Fixed, PgtableRfcV1Fixed


class PgtableChildTwice(PgtableRfcV1Fixed):
    def stage2_map_walk_table_post(self, addr: int, end: int, level: int, ptep: int, data: stage2_map_data) -> int:
        if data.anchor == ptep:
            # Wrong: it is freed again below.
            self.k.free_page(data.follow)
        return super().stage2_map_walk_table_post(addr, end, level, ptep, data)


class MmuChildTwice(MmuRfcV1Fixed):
    """mmu.c is the base's."""


BUG = Bug(
    "bug-child-twice",
    PgtableChildTwice,
    MmuChildTwice,
    base="rfc-v1-fixed",
    signature="lifetime: stage2_map_walker: double free",
    origin="the old table is freed twice",
    order=110,
)
