# SPDX-License-Identifier: GPL-2.0-only
"""A leaf that gets more permissions is flushed only on this CPU, and not at all if it already has them.

The loser of a race keeps a stale entry without the permission and faults forever. be097997a273 (v6.7) fixed this in
a later form, where an unchanged entry makes the walk return -EAGAIN.
"""

from reference.pgtable import (
    KVM_PTE_LEAF_ATTR_HI_S2_XN,
    KVM_PTE_LEAF_ATTR_S2_PERMS,
    kvm_pgtable,
    stage2_map_data,
)
from reference.services.errors import EAGAIN

from ..registry.declaration import Bug
from ..v5_14 import MmuV5_14, PgtableV5_14


class PgtableRelaxLocal(PgtableV5_14):
    def kvm_pgtable_stage2_relax_perms(self, pgt: kvm_pgtable, addr: int, prot: int) -> int:
        wanted = stage2_map_data(0, pgt.mmu, None)
        self.stage2_map_set_prot_attr(prot, wanted)
        more = wanted.attr & KVM_PTE_LEAF_ATTR_S2_PERMS & ~KVM_PTE_LEAF_ATTR_HI_S2_XN
        less = KVM_PTE_LEAF_ATTR_HI_S2_XN & ~wanted.attr

        ret, pte, level = self.stage2_update_leaf_attrs(pgt, addr, 1, more, less)
        if not ret:
            if pte == (pte | more) & ~less:
                # Wrong: this CPU may hold the old entry.
                return -EAGAIN
            self.k.__kvm_tlb_flush_vmid_ipa_nsh__(pgt.mmu, addr, level)
        return ret


class MmuRelaxLocal(MmuV5_14):
    """mmu.c is the base's."""


BUG = Bug(
    "bug-relax-local",
    PgtableRelaxLocal,
    MmuRelaxLocal,
    base="v5.14",
    signature="progress: kvm_handle_guest_abort: access does not complete",
    origin="as before upstream fix be097997a273 (v6.7): a local flush, and none if the permission is already set",
    order=360,
)
