# SPDX-License-Identifier: GPL-2.0-only
"""Ending a VM unmaps the tables that were walked last, even those of another VM.

If all VMs end together this has no visible effect, since the other VM ends too.
"""

from reference.kernel import Kernel
from reference.pgtable import NULL, kvm_pgtable, kvm_pgtable_walker

from ..registry.declaration import Bug
from ..v5_14 import MmuV5_14, PgtableV5_14


class PgtableEndOther(PgtableV5_14):
    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self.walked: kvm_pgtable | None = None

    def kvm_pgtable_walk(self, pgt: kvm_pgtable, addr: int, size: int, walker: kvm_pgtable_walker) -> int:
        last, self.walked = self.walked, pgt
        if walker.cb == self.stage2_free_walker and last is not None and last.pgd != NULL and last.mmu.vmid:
            # Wrong: the tables to be freed next should be unmapped; the tables walked last may be others.
            self.kvm_pgtable_stage2_unmap(last, 0, 1 << last.ia_bits)
        return super().kvm_pgtable_walk(pgt, addr, size, walker)


class MmuEndOther(MmuV5_14):
    """mmu.c is the base's."""


BUG = Bug(
    "bug-end-other",
    PgtableEndOther,
    MmuEndOther,
    base="v5.14",
    signature="translation: stage2_unmap_walker: change outside the range L3",
    origin="ending a VM unmaps the tables that were walked last instead of its own",
    order=340,
)
