# SPDX-License-Identifier: GPL-2.0-only
"""Cache maintenance treats a block like a page.

A mistake in the fix that the review of RFC v1 asked for.
"""

from ..registry.declaration import Bug
from ..rfc_v1_fixed import MmuRfcV1Fixed, PgtableRfcV1Fixed


class PgtableOnePage(PgtableRfcV1Fixed):
    def stage2_maintain_caches(self, new: int, phys: int, granule: int) -> None:
        # Wrong: a block has more pages.
        super().stage2_maintain_caches(new, phys, self.PAGE_SIZE)


class MmuOnePage(MmuRfcV1Fixed):
    """mmu.c is the base's."""


BUG = Bug(
    "bug-one-page",
    PgtableOnePage,
    MmuOnePage,
    base="rfc-v1-fixed",
    signature="dcache: stage2_map_walker: table->block after a translation fault, not cleaned L2",
    origin="caches are maintained for one page instead of the block",
    order=70,
)
