# SPDX-License-Identifier: GPL-2.0-only
"""A table that became empty is freed before the flush of the entry that named it.

f62d4c3eb687 (v6.9) mended the like of it: flushes of tables were put off to the end of the walk.
"""

from reference.compiled.annotations import mypyc_attr
from reference.kernel import kvm_s2_mmu
from reference.pgtable import NULL

from ..registry.declaration import Bug
from ..v5_14 import MmuV5_14, PgtableV5_14


@mypyc_attr(allow_interpreted_subclasses=True)
class PgtableUnmapLate(PgtableV5_14):
    def stage2_unmap_walker(self, addr: int, end: int, level: int, ptep: int, flag: int, arg: kvm_s2_mmu) -> int:
        pte = self.load(ptep)
        childp = NULL
        need_flush = False

        if not self.kvm_pte_valid(pte):
            if self.stage2_pte_is_counted(pte):
                self.kvm_clear_pte(ptep)
                self.k.put_page(self.k.virt_to_page(ptep))
            return 0

        if self.kvm_pte_table(pte, level):
            childp = self.kvm_pte_follow(pte)

            if self.k.page_count(self.k.virt_to_page(childp)) != 1:
                return 0
        elif self.stage2_pte_cacheable(pte):
            need_flush = True

        if childp != NULL:
            self.kvm_clear_pte(ptep)
            # Wrong: a CPU may still walk it.
            self.k.put_page(self.k.virt_to_page(childp))
            self.k.__kvm_tlb_flush_vmid_ipa__(arg, addr, level)
            self.k.put_page(self.k.virt_to_page(ptep))
            return 0

        self.stage2_put_pte(ptep, arg, addr, level)

        if need_flush:
            self.stage2_flush_dcache(self.kvm_pte_follow(pte), self.kvm_granule_size(level))

        return 0


@mypyc_attr(allow_interpreted_subclasses=True)
class MmuUnmapLate(MmuV5_14):
    """mmu.c is the base's."""


BUG = Bug(
    "bug-unmap-late",
    PgtableUnmapLate,
    MmuUnmapLate,
    base="v5.14",
    signature="lifetime: stage2_unmap_walker: freed before the flush",
    origin="as before upstream fix f62d4c3eb687 (v6.9): an empty table is freed before the flush",
    order=220,
)
