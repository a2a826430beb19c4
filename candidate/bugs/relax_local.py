# SPDX-License-Identifier: GPL-2.0-only
"""A leaf that gets more rights is flushed on this CPU alone, and not at all where it has them already.

The loser of a race keeps a stale entry without the right, and faults for ever; be097997a273 (v6.7) mended this in a
later shape, where an entry that stays as it is makes the walk return -EAGAIN.
"""

from reference.compiled.annotations import mypyc_attr
from reference.kernel import EAGAIN
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


@mypyc_attr(allow_interpreted_subclasses=True)
class PgtableRelaxLocal(PgtableV5_14):
    def kvm_pgtable_stage2_relax_perms(self, pgt: kvm_pgtable, addr: int, prot: int) -> int:
        set_ = 0
        clr = 0

        if prot & KVM_PGTABLE_PROT_R:
            set_ |= KVM_PTE_LEAF_ATTR_LO_S2_S2AP_R

        if prot & KVM_PGTABLE_PROT_W:
            set_ |= KVM_PTE_LEAF_ATTR_LO_S2_S2AP_W

        if prot & KVM_PGTABLE_PROT_X:
            clr |= KVM_PTE_LEAF_ATTR_HI_S2_XN

        ret, pte, level = self.stage2_update_leaf_attrs(pgt, addr, 1, set_, clr)
        if ret:
            return ret
        if pte & set_ == set_ and not pte & clr:
            # Wrong: this CPU may hold the entry as it was.
            return -EAGAIN
        self.k.__kvm_tlb_flush_vmid_ipa_nsh__(pgt.mmu, addr, level)
        return ret


@mypyc_attr(allow_interpreted_subclasses=True)
class MmuRelaxLocal(MmuV5_14):
    """mmu.c is the base's."""


BUG = Bug(
    "bug-relax-local",
    PgtableRelaxLocal,
    MmuRelaxLocal,
    base="v5.14",
    signature="progress: kvm_handle_guest_abort: access does not complete",
    origin="as before upstream fix be097997a273 (v6.7): a local flush, and none where the right is there already",
    order=200,
)
