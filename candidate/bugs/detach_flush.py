# SPDX-License-Identifier: GPL-2.0-only
"""A table that a block replaces is flushed by one address instead of the whole VMID.

3a0b870e3448 (v5.10) fixed this in ``stage2_map_walk_table_pre()``.
"""

from reference.pgtable import NULL, stage2_map_data

from ..registry.declaration import Bug
from ..v5_14 import MmuV5_14, PgtableV5_14


class MmuDetachFlush(MmuV5_14):
    """mmu.c is the base's."""


class PgtableDetachFlush(PgtableV5_14):
    def stage2_map_walk_table_pre(self, addr: int, end: int, level: int, ptep: int, data: stage2_map_data) -> int:
        if data.anchor == NULL and self.kvm_block_mapping_supported(addr, end, data.phys, level):
            data.childp = self.kvm_pte_follow(self.load(ptep))
            self.kvm_clear_pte(ptep)
            # Wrong: the leaves below have other addresses.
            self.k.__kvm_tlb_flush_vmid_ipa__(data.mmu, addr, level)
            data.anchor = ptep
        return 0


BUG = Bug(
    "bug-detach-flush",
    PgtableDetachFlush,
    MmuDetachFlush,
    base="v5.14",
    signature="tlb: stage2_map_walker: two sizes for one address, the other L3 L2",
    origin="without upstream fix 3a0b870e3448 (v5.10): when a table is removed, only the walk's address is flushed",
    order=170,
)
