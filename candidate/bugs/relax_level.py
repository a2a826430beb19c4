# SPDX-License-Identifier: GPL-2.0-only
"""If the permission is already there, the local flush uses a level that was never written.

The form of v6.7, before the fix of 2026 (100baf018489). Here the stack happens to hold
the level of a block, while the leaf is usually a page.
"""

from reference.pgtable import KVM_PTE_LEAF_ATTR_HI_S2_XN, KVM_PTE_LEAF_ATTR_S2_PERMS, kvm_pgtable, stage2_map_data
from reference.services.errors import EAGAIN

from ..registry.declaration import Bug
from ..v5_14 import MmuV5_14, PgtableV5_14


class PgtableRelaxLevel(PgtableV5_14):
    def kvm_pgtable_stage2_relax_perms(self, pgt: kvm_pgtable, addr: int, prot: int) -> int:
        asked = stage2_map_data(0, pgt.mmu, None)
        self.stage2_map_set_prot_attr(prot, asked)
        rights = asked.attr & KVM_PTE_LEAF_ATTR_S2_PERMS
        forbidden = KVM_PTE_LEAF_ATTR_HI_S2_XN & ~rights

        ret, old, level = self.stage2_update_leaf_attrs(pgt, addr, 1, rights & ~KVM_PTE_LEAF_ATTR_HI_S2_XN, forbidden)
        if not ret and (old | rights) & ~forbidden == old:
            # Wrong: the walk ended before it wrote the level.
            ret, level = -EAGAIN, 2
        if ret in (0, -EAGAIN):
            self.k.__kvm_tlb_flush_vmid_ipa_nsh__(pgt.mmu, addr, level)
        return ret


class MmuRelaxLevel(MmuV5_14):
    """mmu.c is the base's."""


BUG = Bug(
    "bug-relax-level",
    PgtableRelaxLevel,
    MmuRelaxLevel,
    base="v5.14",
    signature="progress: kvm_handle_guest_abort: access does not complete",
    origin="as before upstream fix 100baf018489 (2026): a flush with a level hint that was never written",
    order=410,
)
