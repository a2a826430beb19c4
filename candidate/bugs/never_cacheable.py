# SPDX-License-Identifier: GPL-2.0-only
"""No leaf counts as cacheable, so nothing is cleaned.

e2fc6a9f686d (v5.10) fixed ``stage2_pte_cacheable()``.
"""

from ..registry.declaration import Bug
from ..v5_14 import MmuV5_14, PgtableV5_14


class PgtableNeverCacheable(PgtableV5_14):
    def stage2_pte_cacheable(self, pte: int) -> bool:
        # Wrong: the original bug compared the field with its value for devices.
        return False


class MmuNeverCacheable(MmuV5_14):
    """mmu.c is the base's."""


BUG = Bug(
    "bug-never-cacheable",
    PgtableNeverCacheable,
    MmuNeverCacheable,
    base="v5.14",
    signature="dcache: stage2_map_walker: empty->page after a translation fault, not cleaned L3",
    origin="without upstream fix e2fc6a9f686d (v5.10): no leaf counts as cacheable",
    order=10,
)
