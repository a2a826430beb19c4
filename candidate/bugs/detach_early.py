# SPDX-License-Identifier: GPL-2.0-only
"""A table that a block replaces is flushed before its entry is broken.

A variant of what 3a0b870e3448 (v5.10) mended.
"""

from reference.compiled.annotations import mypyc_attr
from reference.pgtable import NULL, stage2_map_data

from ..registry.declaration import Bug
from ..v5_14 import MmuV5_14, PgtableV5_14


@mypyc_attr(allow_interpreted_subclasses=True)
class PgtableDetachEarly(PgtableV5_14):
    def stage2_map_walk_table_pre(self, addr: int, end: int, level: int, ptep: int, data: stage2_map_data) -> int:
        if data.anchor != NULL:
            return 0

        if not self.kvm_block_mapping_supported(addr, end, data.phys, level):
            return 0

        data.childp = self.kvm_pte_follow(self.load(ptep))
        # Wrong: a CPU may walk the table again before it is broken.
        self.k.__kvm_tlb_flush_vmid__(data.mmu)
        self.kvm_clear_pte(ptep)
        data.anchor = ptep
        return 0


@mypyc_attr(allow_interpreted_subclasses=True)
class MmuDetachEarly(MmuV5_14):
    """mmu.c is the base's."""


BUG = Bug(
    "bug-detach-early",
    PgtableDetachEarly,
    MmuDetachEarly,
    base="v5.14",
    signature="bbm: stage2_map_walker: table->block made before the flush L2",
    origin="the flush comes before the break where a block replaces a table",
    order=120,
)
