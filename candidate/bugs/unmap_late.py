# SPDX-License-Identifier: GPL-2.0-only
"""A table that became empty is freed before the entry that pointed to it is flushed.

f62d4c3eb687 (v6.9) fixed a similar bug: flushes of tables were deferred to the end of the walk.
"""

from reference.services.structs import kvm_s2_mmu

from ..registry.declaration import Bug
from ..v5_14 import MmuV5_14, PgtableV5_14


class PgtableUnmapLate(PgtableV5_14):
    def stage2_unmap_walker(self, addr: int, end: int, level: int, ptep: int, flag: int, arg: kvm_s2_mmu) -> int:
        pte = self.load(ptep)
        if not self.kvm_pte_valid(pte) or not self.kvm_pte_table(pte, level):
            return super().stage2_unmap_walker(addr, end, level, ptep, flag, arg)

        child = self.k.virt_to_page(self.kvm_pte_follow(pte))
        if self.k.page_count(child) == 1:
            self.kvm_clear_pte(ptep)
            # Wrong: a CPU may still walk it.
            self.k.put_page(child)
            self.k.__kvm_tlb_flush_vmid_ipa__(arg, addr, level)
            self.k.put_page(self.k.virt_to_page(ptep))
        return 0


class MmuUnmapLate(MmuV5_14):
    """mmu.c is the base's."""


BUG = Bug(
    "bug-unmap-late",
    PgtableUnmapLate,
    MmuUnmapLate,
    base="v5.14",
    signature="lifetime: stage2_unmap_walker: freed before the flush",
    origin="as before upstream fix f62d4c3eb687 (v6.9): an empty table is freed before the flush",
    order=50,
)
