# SPDX-License-Identifier: GPL-2.0-only
"""A block that gets more permissions is flushed with the hint for level 2, whatever its level.

With level hints a CPU may keep the old 1G block, and the access that needs
the permissions faults forever.
"""

from reference.pgtable import (
    KVM_PGTABLE_PROT_R,
    KVM_PGTABLE_PROT_W,
    KVM_PGTABLE_PROT_X,
    KVM_PTE_LEAF_ATTR_HI_S2_XN,
    KVM_PTE_LEAF_ATTR_LO_S2_S2AP_R,
    KVM_PTE_LEAF_ATTR_LO_S2_S2AP_W,
    kvm_pgtable,
)

from ..registry.declaration import Bug
from ..v5_14 import MmuV5_14, PgtableV5_14


class PgtableRelaxHint(PgtableV5_14):
    def kvm_pgtable_stage2_relax_perms(self, pgt: kvm_pgtable, addr: int, prot: int) -> int:
        set_ = 0
        clr = 0

        if prot & KVM_PGTABLE_PROT_R:
            set_ |= KVM_PTE_LEAF_ATTR_LO_S2_S2AP_R

        if prot & KVM_PGTABLE_PROT_W:
            set_ |= KVM_PTE_LEAF_ATTR_LO_S2_S2AP_W

        if prot & KVM_PGTABLE_PROT_X:
            clr |= KVM_PTE_LEAF_ATTR_HI_S2_XN

        ret, _, level = self.stage2_update_leaf_attrs(pgt, addr, 1, set_, clr)
        if not ret:
            # Wrong: a leaf that is not a page may be at level 1.
            self.k.__kvm_tlb_flush_vmid_ipa__(pgt.mmu, addr, max(level, 2))
        return ret


class MmuRelaxHint(MmuV5_14):
    """mmu.c is the base's."""


BUG = Bug(
    "bug-relax-hint",
    PgtableRelaxHint,
    MmuRelaxHint,
    base="v5.14",
    signature="progress: kvm_handle_guest_abort: access does not complete",
    origin="a 1G block that gains permissions is flushed with the level hint of a 2M block",
    order=440,
)
