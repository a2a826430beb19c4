# SPDX-License-Identifier: GPL-2.0-only
# Derived from Linux: 357ad203d45c "KVM: arm64: Fix range alignment when walking page tables", v5.12.
"""v5.12.9: the walker rounds its cursor down before it steps past a leaf. Cures bug B05 of the original."""

from typing import ClassVar

from reference.compiled.annotations import mypyc_attr
from reference.mmu import Mmu
from reference.pgtable import (
    KVM_PGTABLE_WALK_LEAF,
    KVM_PGTABLE_WALK_TABLE_POST,
    KVM_PGTABLE_WALK_TABLE_PRE,
    Pgtable,
    kvm_pgtable_walk_data,
)

from .registry.declaration import Candidate


@mypyc_attr(allow_interpreted_subclasses=True)
class PgtableV5_12_9(Pgtable):
    """pgtable.c of the original, with a visit that rounds the cursor down."""

    # Its visit does the same as the original's, except for the position of the cursor.
    PASSES_ZEROES: ClassVar[tuple[str, ...]] = Pgtable.PASSES_ZEROES

    def __kvm_pgtable_visit__(self, data: kvm_pgtable_walk_data, ptep: int, level: int) -> int:
        ret = 0
        addr = data.addr
        pte = self.load(ptep)
        table = self.kvm_pte_table(pte, level)
        flags = data.walker.flags

        if table and flags & KVM_PGTABLE_WALK_TABLE_PRE:
            ret = self.kvm_pgtable_visitor_cb(data, addr, level, ptep, KVM_PGTABLE_WALK_TABLE_PRE)

        if not table and flags & KVM_PGTABLE_WALK_LEAF:
            ret = self.kvm_pgtable_visitor_cb(data, addr, level, ptep, KVM_PGTABLE_WALK_LEAF)
            pte = self.load(ptep)
            table = self.kvm_pte_table(pte, level)

        if ret:
            return ret

        if not table:
            # New in this patch: the cursor may point into the middle of the entry.
            data.addr &= -self.sizes[level]
            data.addr += self.sizes[level]
            return ret

        childp = self.kvm_pte_follow(pte)
        ret = self.__kvm_pgtable_walk__(data, childp, level + 1)
        if ret:
            return ret

        if flags & KVM_PGTABLE_WALK_TABLE_POST:
            ret = self.kvm_pgtable_visitor_cb(data, addr, level, ptep, KVM_PGTABLE_WALK_TABLE_POST)

        return ret


@mypyc_attr(allow_interpreted_subclasses=True)
class MmuV5_12_9(Mmu):
    """The stage-2 part of mmu.c is the original's."""


CANDIDATE = Candidate(
    "v5.12.9",
    PgtableV5_12_9,
    MmuV5_12_9,
    "the original with upstream fix 357ad203d45c: the walk rounds its cursor down (B05)",
    order=60,
)
