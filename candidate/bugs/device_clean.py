# SPDX-License-Identifier: GPL-2.0-only
"""Every leaf counts as cacheable, even device memory.

The opposite of the bug that e2fc6a9f686d (v5.10) fixed.
"""

from ..registry.declaration import Bug
from ..v5_14 import MmuV5_14, PgtableV5_14


class PgtableDeviceClean(PgtableV5_14):
    def stage2_pte_cacheable(self, pte: int) -> bool:
        # Wrong: the memory type is ignored.
        return True


class MmuDeviceClean(MmuV5_14):
    """mmu.c is the base's."""


BUG = Bug(
    "bug-device-clean",
    PgtableDeviceClean,
    MmuDeviceClean,
    base="v5.14",
    signature="dcache: stage2_flush_walker: device frame cleaned",
    origin="every leaf counts as cacheable, so device memory is cleaned",
    order=190,
)
