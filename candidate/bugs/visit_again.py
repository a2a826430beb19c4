# SPDX-License-Identifier: GPL-2.0-only
"""The walk rereads an entry after the callback that may have detached its table.

The table is then neither walked nor freed, and the anchor of the walk stays, so the
table above is freed as if it were below an anchor. A later bug was the reverse: a9f0e3d5a089 (v6.4).
"""

from reference.pgtable import (
    KVM_PGTABLE_WALK_LEAF,
    KVM_PGTABLE_WALK_TABLE_POST,
    KVM_PGTABLE_WALK_TABLE_PRE,
    kvm_pgtable_walk_data,
)

from ..registry.declaration import Bug
from ..v5_14 import MmuV5_14, PgtableV5_14


class PgtableVisitAgain(PgtableV5_14):
    def __kvm_pgtable_visit__(self, data: kvm_pgtable_walk_data, ptep: int, level: int) -> int:
        addr = data.addr
        table = self.kvm_pte_table(self.load(ptep), level)
        when = KVM_PGTABLE_WALK_TABLE_PRE if table else KVM_PGTABLE_WALK_LEAF
        ret = self.kvm_pgtable_visitor_cb(data, addr, level, ptep, when) if data.walker.flags & when else 0
        if ret:
            return ret

        # Wrong for a table that existed before the callback: it must be walked and freed.
        pte = self.load(ptep)
        if not self.kvm_pte_table(pte, level):
            data.addr = (data.addr & -self.sizes[level]) + self.sizes[level]
            return 0

        ret = self.__kvm_pgtable_walk__(data, self.kvm_pte_follow(pte), level + 1)
        if not ret and data.walker.flags & KVM_PGTABLE_WALK_TABLE_POST:
            ret = self.kvm_pgtable_visitor_cb(data, addr, level, ptep, KVM_PGTABLE_WALK_TABLE_POST)
        return ret


class MmuVisitAgain(MmuV5_14):
    """mmu.c is the base's."""


BUG = Bug(
    "bug-visit-again",
    PgtableVisitAgain,
    MmuVisitAgain,
    base="v5.14",
    signature="lifetime: stage2_free_walker: double free",
    origin="the dual of upstream fix a9f0e3d5a089 (v6.4): an entry is reread after its table was detached",
    order=180,
)
