# SPDX-License-Identifier: GPL-2.0-only
"""Leaves below a table that became a block keep their references.

A likely mistake with RFC v1 3/4.
"""

from reference.pgtable import NULL, stage2_map_data

from ..registry.declaration import Bug
from ..rfc_v1_fixed import MmuRfcV1Fixed, PgtableRfcV1Fixed


class PgtableLeafKept(PgtableRfcV1Fixed):
    def stage2_map_walk_leaf(self, addr: int, end: int, level: int, ptep: int, data: stage2_map_data) -> int:
        if data.anchor != NULL:
            # Wrong: the table still counts this entry.
            return 0

        return super().stage2_map_walk_leaf(addr, end, level, ptep, data)


class MmuLeafKept(MmuRfcV1Fixed):
    """mmu.c is the base's."""


BUG = Bug(
    "bug-leaf-kept",
    PgtableLeafKept,
    MmuLeafKept,
    base="rfc-v1-fixed",
    signature="leak: kvm_free_stage2_pgd: table pages left",
    origin="leaves below an anchor keep their references, so tables are never freed",
    order=120,
)
