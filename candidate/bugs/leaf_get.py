# SPDX-License-Identifier: GPL-2.0-only
"""A leaf that replaces another takes a reference, but the old leaf's reference is not dropped.

5c646b7e1d8b (v5.10) fixed this.
"""

from reference.services.structs import kvm_s2_mmu

from ..registry.declaration import Bug
from ..v5_14 import MmuV5_14, PgtableV5_14


class PgtableLeafGet(PgtableV5_14):
    def stage2_put_pte(self, ptep: int, mmu: kvm_s2_mmu, addr: int, level: int) -> None:
        valid = self.kvm_pte_valid(self.load(ptep))
        if valid:
            self.kvm_clear_pte(ptep)
            self.k.__kvm_tlb_flush_vmid_ipa__(mmu, addr, level)

        # Wrong: when a map replaces the leaf, the leaf's reference stays.
        if not valid or self.k.walker != "stage2_map_walker":
            self.k.put_page(self.k.virt_to_page(ptep))


class MmuLeafGet(MmuV5_14):
    """mmu.c is the base's."""


BUG = Bug(
    "bug-leaf-get",
    PgtableLeafGet,
    MmuLeafGet,
    base="v5.14",
    signature="refcount: stage2_map_walker: too many references L3",
    origin="as before upstream fix 5c646b7e1d8b (v5.10): the reference of a leaf that a map replaces is never dropped",
    order=80,
)
