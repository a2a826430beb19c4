# SPDX-License-Identifier: GPL-2.0-only
"""The entry is read again behind PRE, and what PRE has broken is no table any more.

The opposite of what a9f0e3d5a089 (v6.4) mended in a later shape.
"""

from reference.compiled.annotations import mypyc_attr
from reference.pgtable import (
    KVM_PGTABLE_WALK_LEAF,
    KVM_PGTABLE_WALK_TABLE_POST,
    KVM_PGTABLE_WALK_TABLE_PRE,
    KVM_PTE_VALID,
    kvm_pgtable_walk_data,
)

from ..registry.declaration import Bug
from ..v5_14 import MmuV5_14, PgtableV5_14


@mypyc_attr(allow_interpreted_subclasses=True)
class PgtableVisitReread(PgtableV5_14):
    def __kvm_pgtable_visit__(self, data: kvm_pgtable_walk_data, ptep: int, level: int) -> int:
        ret = 0
        addr = data.addr
        pte = self.load(ptep)
        table = pte & KVM_PTE_VALID != 0 and self.kvm_pte_table(pte, level)
        flags = data.walker.flags

        if table and flags & KVM_PGTABLE_WALK_TABLE_PRE:
            ret = self.kvm_pgtable_visitor_cb(data, addr, level, ptep, KVM_PGTABLE_WALK_TABLE_PRE)
            # Wrong: an anchor has no valid entry any more.
            pte = self.load(ptep)
            table = pte & KVM_PTE_VALID != 0 and self.kvm_pte_table(pte, level)

        if not table and flags & KVM_PGTABLE_WALK_LEAF:
            ret = self.kvm_pgtable_visitor_cb(data, addr, level, ptep, KVM_PGTABLE_WALK_LEAF)
            pte = self.load(ptep)
            table = pte & KVM_PTE_VALID != 0 and self.kvm_pte_table(pte, level)

        if ret:
            return ret

        if not table:
            data.addr = (data.addr & -self.sizes[level]) + self.sizes[level]
            return ret

        childp = self.kvm_pte_follow(pte)
        ret = self.__kvm_pgtable_walk__(data, childp, level + 1)
        if ret:
            return ret

        if flags & KVM_PGTABLE_WALK_TABLE_POST:
            ret = self.kvm_pgtable_visitor_cb(data, addr, level, ptep, KVM_PGTABLE_WALK_TABLE_POST)

        return ret


@mypyc_attr(allow_interpreted_subclasses=True)
class MmuVisitReread(MmuV5_14):
    """mmu.c is the base's."""


BUG = Bug(
    "bug-visit-reread",
    PgtableVisitReread,
    MmuVisitReread,
    base="v5.14",
    signature="lifetime: stage2_free_walker: double free",
    origin="the entry is read again behind PRE, so the walk does not go below the table that was cut off",
    order=190,
)
