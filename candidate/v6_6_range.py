# SPDX-License-Identifier: GPL-2.0-only
# Derived from Linux: arch/arm64/kvm/hyp/pgtable.c and mmu.c as of v6.6.
"""v6.6-range: v5.14, with v6.6's range flush where a slot is write-protected.

* 117940aa6e5f, v6.6: ``kvm_tlb_flush_vmid_range()`` flushes a range in pieces of the largest size per instruction, or
  the whole VM if the CPU has no range flushes.
* c42b6f0b1cde, 3756b6f2bb24, v6.6: a slot that is write-protected is flushed as a range.

Left out: the range flush where a table becomes a block (defc8cc7abf0), and after an unmap (7657ea920c54).
"""

from reference.capabilities import ARM64_HAS_TLB_RANGE
from reference.compiled.annotations import mypyc_attr
from reference.kvm import kvm, kvm_memory_slot
from reference.services.structs import kvm_s2_mmu
from reference.tlbflush import MAX_TLBI_RANGE_PAGES

from .registry.declaration import Candidate
from .v5_14 import MmuV5_14, PgtableV5_14


@mypyc_attr(allow_interpreted_subclasses=True)
class PgtableV6_6Range(PgtableV5_14):
    """pgtable.c of v5.14, with the range flush of v6.6."""

    def kvm_tlb_flush_vmid_range(self, mmu: kvm_s2_mmu, addr: int, size: int) -> None:
        if not self.k.cpus_have_const_cap(ARM64_HAS_TLB_RANGE):
            self.k.__kvm_tlb_flush_vmid__(mmu)
            return

        pages = size >> self.PAGE_SHIFT
        while pages > 0:
            inval_pages = min(pages, MAX_TLBI_RANGE_PAGES)
            self.k.__kvm_tlb_flush_vmid_range__(mmu, addr, inval_pages)
            addr += inval_pages << self.PAGE_SHIFT
            pages -= inval_pages


@mypyc_attr(allow_interpreted_subclasses=True)
class MmuV6_6Range(MmuV5_14):
    """mmu.c of v5.14: a write-protected slot is flushed as a range."""

    def kvm_flush_remote_tlbs_memslot(self, kvm: kvm, memslot: kvm_memory_slot) -> None:
        """... and ``kvm_arch_flush_remote_tlbs_range()``, which it calls."""
        assert isinstance(self.p, PgtableV6_6Range)
        size = memslot.npages << self.PAGE_SHIFT
        self.p.kvm_tlb_flush_vmid_range(kvm.mmu, memslot.base_gfn << self.PAGE_SHIFT, size)

    def kvm_mmu_wp_memory_region(self, kvm: kvm, slot: int) -> None:
        memslot = self.h.id_to_memslot(kvm, slot)
        if self.k.WARN_ON(memslot is None, "kvm_mmu_wp_memory_region") or memslot is None:
            return

        start = memslot.base_gfn << self.PAGE_SHIFT
        self.k.lock("mmu")
        self.stage2_wp_range(kvm, start, start + (memslot.npages << self.PAGE_SHIFT))
        self.k.unlock("mmu")
        self.kvm_flush_remote_tlbs_memslot(kvm, memslot)


CANDIDATE = Candidate(
    "v6.6-range",
    PgtableV6_6Range,
    MmuV6_6Range,
    "v5.14, with a write-protected slot flushed as a range (117940aa6e5f, v6.6)",
    adds=("kvm_tlb_flush_vmid_range", "kvm_flush_remote_tlbs_memslot"),
    order=80,
)
