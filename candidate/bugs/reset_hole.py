# SPDX-License-Identifier: GPL-2.0-only
"""A vCPU reset unmaps a slot only up to the first hole in the host's memory."""

from reference.kvm import kvm, kvm_memory_slot

from ..registry.declaration import Bug
from ..v5_14 import MmuV5_14, PgtableV5_14


class PgtableResetHole(PgtableV5_14):
    """pgtable.c is the base's."""


class MmuResetHole(MmuV5_14):
    def stage2_unmap_memslot(self, kvm: kvm, memslot: kvm_memory_slot) -> None:
        hva = memslot.userspace_addr
        addr = memslot.base_gfn << self.PAGE_SHIFT
        reg_end = hva + self.PAGE_SIZE * memslot.npages

        while hva < reg_end:
            vma = self.h.find_vma(hva)

            # Wrong: an area after a hole belongs to the slot too.
            if vma is None or vma.start > hva:
                break

            vm_end = min(reg_end, vma.end)

            if not vma.pfnmap:
                self.unmap_stage2_range(kvm, addr + (hva - memslot.userspace_addr), vm_end - hva)
            hva = vm_end


BUG = Bug(
    "bug-reset-hole",
    PgtableResetHole,
    MmuResetHole,
    base="v5.14",
    signature="translation: stage2_unmap_vm: still mapped after unmapping L3",
    origin="a vCPU reset unmaps a slot only up to the first hole in the host's memory",
    order=400,
)
