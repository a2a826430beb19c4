# SPDX-License-Identifier: GPL-2.0-only
"""Below a table that became a 1G block, the tables of pages become blocks as well.

A likely mistake with RFC v1 3/4: the walk continues below the anchor.
"""

from reference.pgtable import NULL, stage2_map_data

from ..registry.declaration import Bug
from ..rfc_v1_fixed import MmuRfcV1Fixed, PgtableRfcV1Fixed


class PgtableSecondAnchor(PgtableRfcV1Fixed):
    def stage2_map_walk_table_pre(self, addr: int, end: int, level: int, ptep: int, data: stage2_map_data) -> int:
        # Wrong: an existing anchor is overwritten.
        data.anchor = NULL
        return super().stage2_map_walk_table_pre(addr, end, level, ptep, data)


class MmuSecondAnchor(MmuRfcV1Fixed):
    """mmu.c is the base's."""


BUG = Bug(
    "bug-second-anchor",
    PgtableSecondAnchor,
    MmuSecondAnchor,
    base="rfc-v1-fixed",
    signature="leak: kvm_free_stage2_pgd: table pages left",
    origin="an anchor within an anchor overwrites the first",
    order=390,
)
