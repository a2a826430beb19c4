# SPDX-License-Identifier: GPL-2.0-only
"""An unmap cleans nothing: the clean goes to an alias that is not mapped.

094d00f8ca58 (v5.17) mended the address.
"""

from reference.compiled.annotations import mypyc_attr
from reference.kernel import kvm_s2_mmu
from reference.pgtable import NULL

from ..registry.declaration import Bug
from ..v5_14 import MmuV5_14, PgtableV5_14


@mypyc_attr(allow_interpreted_subclasses=True)
class PgtableUnmapClean(PgtableV5_14):
    def stage2_unmap_walker(self, addr: int, end: int, level: int, ptep: int, flag: int, arg: kvm_s2_mmu) -> int:
        pte = self.load(ptep)
        childp = NULL

        if not self.kvm_pte_valid(pte):
            if self.stage2_pte_is_counted(pte):
                self.kvm_clear_pte(ptep)
                self.k.put_page(self.k.virt_to_page(ptep))
            return 0

        if self.kvm_pte_table(pte, level):
            childp = self.kvm_pte_follow(pte)

            if self.k.page_count(self.k.virt_to_page(childp)) != 1:
                return 0

        # Wrong: nothing is cleaned.
        self.stage2_put_pte(ptep, arg, addr, level)

        if childp != NULL:
            self.k.put_page(self.k.virt_to_page(childp))

        return 0


@mypyc_attr(allow_interpreted_subclasses=True)
class MmuUnmapClean(MmuV5_14):
    """mmu.c is the base's."""


BUG = Bug(
    "bug-unmap-clean",
    PgtableUnmapClean,
    MmuUnmapClean,
    base="v5.14",
    signature="dcache: stage2_unmap_walker: unmapped, not cleaned L3",
    origin="upstream fix 094d00f8ca58 (v5.17) is lost: the clean of what an unmap breaks goes nowhere",
    order=170,
)
