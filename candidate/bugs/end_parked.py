# SPDX-License-Identifier: GPL-2.0-only
"""The tables of a VM that ends wait for the end of the first one.

To free them takes long, and they go to a list that is emptied at one end only: when all end together, the first VM is
the last to go, and nothing is left.
"""

from reference.kvm_host import KvmHost, kvm
from reference.pgtable import kvm_pgtable

from ..registry.declaration import Bug
from ..v5_14 import MmuV5_14, PgtableV5_14


class PgtableEndParked(PgtableV5_14):
    """pgtable.c is the base's."""


class MmuEndParked(MmuV5_14):
    def __init__(self, host: KvmHost, pgtable: PgtableEndParked) -> None:
        super().__init__(host, pgtable)
        self.parked: list[kvm_pgtable] = []

    def kvm_free_stage2_pgd(self, kvm: kvm) -> None:
        self.k.lock("mmu")
        pgt = kvm.pgt
        if pgt is not None:
            kvm.pgt = None
            self.k.free_percpu()
            self.parked.append(pgt)
        self.k.unlock("mmu")

        # Wrong: the first VM may go on for long after this one.
        while kvm.mmu.vmid == 1 and self.parked:
            self.p.kvm_pgtable_stage2_destroy(self.parked.pop())
            self.k.kfree()


BUG = Bug(
    "bug-end-parked",
    PgtableEndParked,
    MmuEndParked,
    base="v5.14",
    signature="leak: kvm_free_stage2_pgd: table pages left",
    origin="the tables of a VM that ends are freed when the first VM ends, not before",
    order=265,
)
