# SPDX-License-Identifier: GPL-2.0-only
"""The tables of a VM that ends are kept until the first VM ends.

Freeing them takes long, so they go to a list that only the first VM's end empties: when all VMs end together, the
first VM ends last, and nothing is left.
"""

from reference.kernel import Kernel
from reference.pgtable import kvm_pgtable

from ..registry.declaration import Bug
from ..v5_14 import MmuV5_14, PgtableV5_14


class PgtableEndParked(PgtableV5_14):
    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self.parked: list[kvm_pgtable] = []

    def kvm_pgtable_stage2_destroy(self, pgt: kvm_pgtable) -> None:
        self.parked.append(pgt)
        # Wrong: the first VM may run long after this one.
        while pgt.mmu.vmid == 1 and self.parked:
            super().kvm_pgtable_stage2_destroy(self.parked.pop())


class MmuEndParked(MmuV5_14):
    """mmu.c is the base's."""


BUG = Bug(
    "bug-end-parked",
    PgtableEndParked,
    MmuEndParked,
    base="v5.14",
    signature="leak: kvm_free_stage2_pgd: table pages left",
    origin="the tables of a VM that ends are not freed until the first VM ends",
    order=270,
)
