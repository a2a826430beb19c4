# SPDX-License-Identifier: GPL-2.0-only
"""Versions with their own bug in addition to a known one, or with a violation that another rule's excuse might hide."""

from collections.abc import Callable

from candidate.v5_14 import MmuV5_14
from reference.kvm import kvm, kvm_memory_slot, kvm_vcpu
from reference.mmu import KVM_MR_FLAGS_ONLY, Mmu
from reference.pgtable import (
    KVM_PGTABLE_PROT_DEVICE,
    KVM_PGTABLE_PROT_R,
    KVM_PGTABLE_PROT_W,
    KVM_PTE_LEAF_ATTR_LO_S2_AF,
    NULL,
    Pgtable,
    kvm_pgtable,
)
from reference.services.structs import kvm_mmu_memory_cache, kvm_s2_mmu

from .practice_log_order import ProtectBeforeLogMmu


class ProtectsByUnmapping(Mmu):
    """Right: unmaps memory instead of write-protecting it. B05 and B21 then strike in another walker than usual."""

    def stage2_wp_range(self, kvm: kvm, addr: int, end: int) -> None:
        self.stage2_apply_range_resched(kvm, addr, end, self.p.kvm_pgtable_stage2_unmap)


class AlwaysWritable(Pgtable):
    """Wrong: maps all normal memory writable, logged or not."""

    def kvm_pgtable_stage2_map(
        self, pgt: kvm_pgtable, addr: int, size: int, phys: int, prot: int, mc: kvm_mmu_memory_cache | None
    ) -> int:
        if not prot & KVM_PGTABLE_PROT_DEVICE:
            prot |= KVM_PGTABLE_PROT_W
        return super().kvm_pgtable_stage2_map(pgt, addr, size, phys, prot, mc)


class ReadsAgain(ProtectBeforeLogMmu):
    """Wrong: protects pages before the log is in place, and only reads their entries afterwards."""

    def kvm_arch_commit_memory_region(self, kvm: kvm, slot: int, flags: int, change: int) -> None:
        if change != KVM_MR_FLAGS_ONLY:
            super().kvm_arch_commit_memory_region(kvm, slot, flags, change)
            return
        memslot = self.h.id_to_memslot(kvm, slot)
        assert memslot is not None
        assert kvm.pgt is not None
        self.k.lock("mmu")
        for page in range(memslot.npages):
            self.p.kvm_pgtable_stage2_is_young(kvm.pgt, (memslot.base_gfn + page) << self.PAGE_SHIFT)
        self.k.unlock("mmu")


class MapsNextOfHugePage(MmuV5_14):
    """Right: a fault also maps the next page of a transparent huge page, under the first page's reference and check."""

    checked = True
    next_pfn = -1

    def transparent_hugepage_adjust(
        self, memslot: kvm_memory_slot, hva: int, pfn: int, ipa: int
    ) -> tuple[int, int, int]:
        size, pfn, ipa = super().transparent_hugepage_adjust(memslot, hva, pfn, ipa)
        end = (memslot.base_gfn + memslot.npages) << self.PAGE_SHIFT
        # The next page is in the same huge page, and in the same table: the top-up suffices for one table.
        inside = pfn + 1 & (self.PMD_SIZE >> self.PAGE_SHIFT) - 1 and ipa + self.PAGE_SIZE & self.PMD_SIZE - 1
        if size == self.PAGE_SIZE and inside and ipa + self.PAGE_SIZE < end and self.h.kvm_is_transparent_hugepage(pfn):
            self.next_pfn = pfn + 1
            if self.checked:
                self.map_next(ipa)
        return size, pfn, ipa

    def map_next(self, ipa: int) -> None:
        """Map the next page, read-only, with the lock held."""
        assert self.vcpu.kvm.pgt is not None
        pfn, self.next_pfn = self.next_pfn, -1
        self.p.kvm_pgtable_stage2_map(
            self.vcpu.kvm.pgt,
            ipa + self.PAGE_SIZE,
            self.PAGE_SIZE,
            pfn << self.PAGE_SHIFT,
            KVM_PGTABLE_PROT_R,
            self.vcpu.mmu_page_cache,
        )

    def user_mem_abort(
        self, vcpu: kvm_vcpu, fault_ipa: int, memslot: kvm_memory_slot, hva: int, fault_status: int
    ) -> int:
        self.vcpu = vcpu
        return super().user_mem_abort(vcpu, fault_ipa, memslot, hva, fault_status)


class MapsNextUnchecked(MapsNextOfHugePage):
    """Wrong: maps the next page under another hold of the lock, without a check. A reference keeps only the frame."""

    checked = False

    def user_mem_abort(
        self, vcpu: kvm_vcpu, fault_ipa: int, memslot: kvm_memory_slot, hva: int, fault_status: int
    ) -> int:
        ret = super().user_mem_abort(vcpu, fault_ipa, memslot, hva, fault_status)
        if self.next_pfn >= 0:
            self.k.lock("mmu")
            self.map_next(fault_ipa)
            self.k.unlock("mmu")
        return ret


class OldLeavesUnflushed(Pgtable):
    """Skips the flush of a leaf whose access flag is clear. Right only if the hardware never sets the flag."""

    def stage2_unmap_walker(self, addr: int, end: int, level: int, ptep: int, flag: int, arg: kvm_s2_mmu) -> int:
        pte = self.mem[ptep]
        table = self.kvm_pte_table(pte, level)
        if not self.kvm_pte_valid(pte) or table or pte & KVM_PTE_LEAF_ATTR_LO_S2_AF:
            return super().stage2_unmap_walker(addr, end, level, ptep, flag, arg)
        self.kvm_set_invalid_pte(ptep)
        self.k.put_page(self.k.virt_to_page(ptep))
        self.stage2_flush_dcache(self.kvm_pte_follow(pte), self.kvm_granule_size(level))
        return 0


class DataAbortForFetch(Mmu):
    """Wrong: answers an instruction fetch outside memory with a data abort."""

    def _abort_in_slot(self, vcpu: kvm_vcpu, fault_ipa: int, is_iabt: bool, fault_status: int) -> int:
        if is_iabt and self.h.gfn_to_memslot(vcpu.kvm, fault_ipa >> self.PAGE_SHIFT) is None:
            self.h.inject("dabt", vcpu.hfar)
            return 1
        return super()._abort_in_slot(vcpu, fault_ipa, is_iabt, fault_status)


class ReschedulesAtFirst(Mmu):
    """Wrong: reschedules after each page of the first 2M, and never afterwards."""

    def stage2_apply_range(
        self, kvm: kvm, addr: int, end: int, fn: Callable[[kvm_pgtable, int, int], int], resched: bool
    ) -> int:
        assert kvm.pgt is not None
        first = min(end, (addr + self.PMD_SIZE) & -self.PMD_SIZE)
        while resched and addr < first:
            fn(kvm.pgt, addr, self.PAGE_SIZE)
            self.k.cond_resched_lock()
            addr += self.PAGE_SIZE
        return super().stage2_apply_range(kvm, addr, end, fn, False) if addr < end else 0


class WarnsOfItsOwn(Pgtable):
    """Wrong: ageing warns for another reason than bug A1."""

    def kvm_pgtable_stage2_mkold(self, pgt: kvm_pgtable, addr: int) -> int:
        self.k.WARN_ON(pgt.pgd != NULL, "kvm_pgtable_stage2_mkold")
        return super().kvm_pgtable_stage2_mkold(pgt, addr)
