# SPDX-License-Identifier: GPL-2.0-only
"""An unmap cleans nothing: the clean uses an alias that is not mapped.

094d00f8ca58 (v5.17) fixed the address.
"""

from ..registry.declaration import Bug
from ..v5_12_9 import MmuV5_12_9, PgtableV5_12_9


class PgtableUnmapClean(PgtableV5_12_9):
    def stage2_flush_dcache(self, addr: int, size: int) -> None:
        """Wrong: the address belongs to an alias that is not mapped."""


class MmuUnmapClean(MmuV5_12_9):
    """mmu.c is the base's."""


BUG = Bug(
    "bug-unmap-clean",
    PgtableUnmapClean,
    MmuUnmapClean,
    base="v5.12.9",
    signature="dcache: stage2_unmap_walker: unmapped, not cleaned L3",
    origin="without upstream fix 094d00f8ca58 (v5.17): the clean for an unmapped leaf has no effect",
    order=60,
)
