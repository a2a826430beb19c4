# SPDX-License-Identifier: GPL-2.0-only
"""Below a table that became a block, invalid entries drop a reference too.

A likely mistake with RFC v1 3/4.
"""

from reference.pgtable import NULL, stage2_map_data

from ..registry.declaration import Bug
from ..rfc_v1_fixed import MmuRfcV1Fixed, PgtableRfcV1Fixed


class PgtableLeafAll(PgtableRfcV1Fixed):
    def stage2_map_walk_leaf(self, addr: int, end: int, level: int, ptep: int, data: stage2_map_data) -> int:
        if data.anchor != NULL:
            # Wrong: only valid entries hold one.
            self.k.put_page(self.k.virt_to_page(ptep))
            return 0

        return super().stage2_map_walk_leaf(addr, end, level, ptep, data)


class MmuLeafAll(MmuRfcV1Fixed):
    """mmu.c is the base's."""


BUG = Bug(
    "bug-leaf-all",
    PgtableLeafAll,
    MmuLeafAll,
    base="rfc-v1-fixed",
    signature="lifetime: stage2_map_walker: double free",
    origin="invalid entries below an anchor drop references that they never took",
    order=130,
)
