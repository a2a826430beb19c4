# SPDX-License-Identifier: GPL-2.0-only
"""Of a root of several pages, only the first page begins with a reference.

1d58a17ef545 (v5.15) fixed this for the hypervisor's own allocator, which
allocated the pages as one block that only counted references of the first page.
"""

from reference.pgtable import kvm_pgtable
from reference.services.structs import kvm_s2_mmu

from ..registry.declaration import Bug
from ..v5_14 import MmuV5_14, PgtableV5_14


class PgtableRootGet(PgtableV5_14):
    def kvm_pgtable_stage2_init(self, pgt: kvm_pgtable, vtcr: int, mmu: kvm_s2_mmu) -> int:
        ret = super().kvm_pgtable_stage2_init(pgt, vtcr, mmu)
        if not ret:
            for number in range(1, self.kvm_pgd_pages(pgt.ia_bits, pgt.start_level)):
                # Wrong: each page of the root has its own count and is in use.
                self.k.put_page(self.k.virt_to_page(pgt.pgd + number * self.PTRS_PER_PTE))
        return ret


class MmuRootGet(MmuV5_14):
    """mmu.c is the base's."""


BUG = Bug(
    "bug-root-get",
    PgtableRootGet,
    MmuRootGet,
    base="v5.14",
    signature="lifetime: kvm_init_stage2_mmu: root freed L1",
    origin="as before upstream fix 1d58a17ef545 (v5.15): only the first page of a concatenated root has a reference",
    order=30,
)
