# SPDX-License-Identifier: GPL-2.0-only
"""No leaf counts as cacheable, so nothing is cleaned.

e2fc6a9f686d (v5.10) mended ``stage2_pte_cacheable()``.
"""

from reference.compiled.annotations import mypyc_attr

from ..registry.declaration import Bug
from ..v5_14 import MmuV5_14, PgtableV5_14


@mypyc_attr(allow_interpreted_subclasses=True)
class PgtableNeverCacheable(PgtableV5_14):
    def stage2_pte_cacheable(self, pte: int) -> bool:
        # Wrong: the field is compared with what it is for devices.
        return False


BUG = Bug(
    "bug-never-cacheable",
    PgtableNeverCacheable,
    MmuV5_14,
    base="v5.14",
    signature="dcache: stage2_map_walker: empty->page after a translation fault, not cleaned L3",
    origin="upstream fix e2fc6a9f686d (v5.10) is lost: no leaf counts as cacheable",
    order=140,
)
