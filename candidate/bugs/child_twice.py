# SPDX-License-Identifier: GPL-2.0-only
"""The table that became a block is freed twice.

A slip that RFC v1 3/4 invites, which has two ways to name the table.
"""

from reference.compiled.annotations import mypyc_attr
from reference.pgtable import NULL, stage2_map_data

from ..registry.declaration import Bug
from ..rfc_v1_fixed import MmuRfcV1Fixed, PgtableRfcV1Fixed


@mypyc_attr(allow_interpreted_subclasses=True)
class PgtableChildTwice(PgtableRfcV1Fixed):
    def stage2_map_walk_table_post(self, addr: int, end: int, level: int, ptep: int, data: stage2_map_data) -> int:
        if data.anchor == NULL:
            return 0

        if data.anchor != ptep:
            self.k.free_page(self.kvm_pte_follow(self.load(ptep)))
            self.k.put_page(self.k.virt_to_page(ptep))
        else:
            self.k.free_page(data.follow)
            # Wrong: nothing is left to free.
            self.k.free_page(data.follow)
            data.anchor = NULL

        return 0


@mypyc_attr(allow_interpreted_subclasses=True)
class MmuChildTwice(MmuRfcV1Fixed):
    """mmu.c is the base's."""


BUG = Bug(
    "bug-child-twice",
    PgtableChildTwice,
    MmuChildTwice,
    base="rfc-v1-fixed",
    signature="lifetime: stage2_map_walker: double free",
    origin="the old table is freed twice",
    order=240,
)
