# SPDX-License-Identifier: GPL-2.0-only
"""The entry that became a block drops its reference.

The review of RFC v1 asked for this put_page(), which the original has at the same place and needs there.
"""

from reference.pgtable import stage2_map_data

from ..registry.declaration import Bug
from ..rfc_v1_fixed import MmuRfcV1Fixed, PgtableRfcV1Fixed


class PgtableAnchorPut(PgtableRfcV1Fixed):
    def stage2_map_walk_table_post(self, addr: int, end: int, level: int, ptep: int, data: stage2_map_data) -> int:
        at_anchor = data.anchor == ptep
        ret = super().stage2_map_walk_table_post(addr, end, level, ptep, data)
        if at_anchor:
            # Wrong: the block still needs the reference.
            self.k.put_page(self.k.virt_to_page(ptep))
        return ret


class MmuAnchorPut(MmuRfcV1Fixed):
    """mmu.c is the base's."""


BUG = Bug(
    "bug-anchor-put",
    PgtableAnchorPut,
    MmuAnchorPut,
    base="rfc-v1-fixed",
    signature="lifetime: stage2_free_walker: double free",
    origin="one put_page() too many: the one that the review of RFC v1 asked for",
    order=150,
)
