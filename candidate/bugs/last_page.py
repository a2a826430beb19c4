# SPDX-License-Identifier: GPL-2.0-only
"""No slot may contain the last page of the guest's address space: the check of mmu.c blob 77cb2d28f2a4 (v5.12-rc2)."""

from reference.kvm import kvm, kvm_memory_slot
from reference.mmu import KVM_MR_DELETE, Mmu
from reference.pgtable import Pgtable
from reference.services.errors import EFAULT

from ..registry.declaration import Bug


class PgtableLastPage(Pgtable):
    """pgtable.c is the base's."""


class MmuLastPage(Mmu):
    def kvm_arch_prepare_memory_region(self, kvm: kvm, memslot: kvm_memory_slot, change: int) -> int:
        # Wrong: a slot that ends at the end of the address space lies within it.
        if change != KVM_MR_DELETE and memslot.base_gfn + memslot.npages >= kvm.phys_size >> self.PAGE_SHIFT:
            return -EFAULT

        return super().kvm_arch_prepare_memory_region(kvm, memslot, change)


BUG = Bug(
    "bug-last-page",
    PgtableLastPage,
    MmuLastPage,
    base="original",
    signature="contract: kvm_set_memory_region: error -14",
    origin="mmu.c blob 77cb2d28f2a4 (v5.12-rc2): no slot may hold the last page of the guest's address space",
    order=330,
)
