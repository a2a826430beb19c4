# SPDX-License-Identifier: GPL-2.0-only
"""Versions with one mistake each in their use of locks."""

from reference.kvm import kvm, kvm_memory_slot, kvm_vcpu
from reference.mmu import Mmu
from reference.pgtable import (
    NULL,
    Pgtable,
    kvm_pgtable,
    stage2_map_data,
)
from reference.services.structs import kvm_mmu_memory_cache


class KeepLock(Mmu):
    def handle_access_fault(self, vcpu: kvm_vcpu, fault_ipa: int) -> None:
        super().handle_access_fault(vcpu, fault_ipa)
        self.k.lock("mmu")


class KeepMmap(Mmu):
    def handle_access_fault(self, vcpu: kvm_vcpu, fault_ipa: int) -> None:
        self.k.lock("mmap")
        super().handle_access_fault(vcpu, fault_ipa)


class KeepLockAtTheEnd(Mmu):
    def kvm_free_stage2_pgd(self, kvm: kvm) -> None:
        super().kvm_free_stage2_pgd(kvm)
        self.k.lock("mmu")


class LockTwice(Mmu):
    def handle_access_fault(self, vcpu: kvm_vcpu, fault_ipa: int) -> None:
        self.k.lock("mmu")
        super().handle_access_fault(vcpu, fault_ipa)
        self.k.unlock("mmu")


class UnlockTwice(Mmu):
    def handle_access_fault(self, vcpu: kvm_vcpu, fault_ipa: int) -> None:
        super().handle_access_fault(vcpu, fault_ipa)
        self.k.unlock("mmu")


class MmapUnderLock(Mmu):
    """Takes the two locks in the wrong order."""

    def stage2_unmap_vm(self, kvm: kvm) -> None:
        self.k.lock("srcu")
        self.k.lock("mmu")
        self.k.lock("mmap")
        for memslot in kvm.memslots:
            self.stage2_unmap_memslot(kvm, memslot)
        self.k.unlock("mmap")
        self.k.unlock("mmu")
        self.k.unlock("srcu")


class SrcuUnderLock(Mmu):
    def stage2_flush_vm(self, kvm: kvm) -> None:
        self.k.lock("mmu")
        self.k.lock("srcu")
        for memslot in kvm.memslots:
            self.stage2_flush_memslot(kvm, memslot)
        self.k.unlock("srcu")
        self.k.unlock("mmu")


class LeaveSrcuFirst(Mmu):
    def stage2_flush_vm(self, kvm: kvm) -> None:
        self.k.lock("srcu")
        self.k.lock("mmu")
        for memslot in kvm.memslots:
            self.stage2_flush_memslot(kvm, memslot)
        self.k.unlock("srcu")
        self.k.unlock("mmu")


class WithoutSrcu(Mmu):
    def _abort_in_slot(self, vcpu: kvm_vcpu, fault_ipa: int, is_iabt: bool, fault_status: int) -> int:
        self.k.unlock("srcu")
        ret = super()._abort_in_slot(vcpu, fault_ipa, is_iabt, fault_status)
        self.k.lock("srcu")
        return ret


class AreasWithoutMmap(Mmu):
    def stage2_unmap_vm(self, kvm: kvm) -> None:
        self.k.lock("srcu")
        self.k.lock("mmu")
        for memslot in kvm.memslots:
            self.stage2_unmap_memslot(kvm, memslot)
        self.k.unlock("mmu")
        self.k.unlock("srcu")


class FlushWithoutLock(Mmu):
    """Does not write to tables, but the loop over the slots drops the lock from time to time."""

    def stage2_flush_vm(self, kvm: kvm) -> None:
        self.k.lock("srcu")
        for memslot in kvm.memslots:
            self.stage2_flush_memslot(kvm, memslot)
        self.k.unlock("srcu")


class LookUpUnderLock(Mmu):
    def handle_access_fault(self, vcpu: kvm_vcpu, fault_ipa: int) -> None:
        self.k.lock("mmu")
        pfn, _ = self.h.gfn_to_pfn_prot(vcpu.kvm, fault_ipa >> self.PAGE_SHIFT, False)
        self.h.kvm_release_pfn_clean(pfn)
        self.k.unlock("mmu")
        super().handle_access_fault(vcpu, fault_ipa)


class AllocateUnderLock(Mmu):
    def handle_access_fault(self, vcpu: kvm_vcpu, fault_ipa: int) -> None:
        self.k.lock("mmu")
        self.k.kzalloc()
        self.k.kfree()
        self.k.unlock("mmu")
        super().handle_access_fault(vcpu, fault_ipa)


class RunOthersUnderLock(Mmu):
    def handle_access_fault(self, vcpu: kvm_vcpu, fault_ipa: int) -> None:
        self.k.lock("mmu")
        if self.k.need_resched():
            self.k.cond_resched()
        self.k.unlock("mmu")
        super().handle_access_fault(vcpu, fault_ipa)


class TablesFromTheAllocator(Pgtable):
    """Allocates tables with GFP_KERNEL while the mmu lock is held."""

    def stage2_map_walk_leaf(self, addr: int, end: int, level: int, ptep: int, data: stage2_map_data) -> int:
        if data.anchor != NULL or self.kvm_block_mapping_supported(addr, end, data.phys, level):
            return super().stage2_map_walk_leaf(addr, end, level, ptep, data)
        self.kvm_set_table_pte(ptep, self.k.get_zeroed_page())
        self.k.get_page(self.k.virt_to_page(ptep))
        return 0


class AgeWithoutLock(Mmu):
    def handle_access_fault(self, vcpu: kvm_vcpu, fault_ipa: int) -> None:
        pgt = vcpu.kvm.pgt
        assert pgt is not None
        self.h.kvm_set_pfn_accessed(
            self.p.kvm_pte_to_phys(self.p.kvm_pgtable_stage2_mkyoung(pgt, fault_ipa)) >> self.PAGE_SHIFT
        )


class ProtectWithoutLock(Mmu):
    def kvm_mmu_wp_memory_region(self, kvm: kvm, slot: int) -> None:
        memslot = self.h.id_to_memslot(kvm, slot)
        assert memslot is not None
        self.protect(kvm, memslot)
        self.kvm_flush_remote_tlbs(kvm)

    def protect(self, kvm: kvm, memslot: kvm_memory_slot) -> None:
        start = memslot.base_gfn << self.PAGE_SHIFT
        assert kvm.pgt is not None
        self.p.kvm_pgtable_stage2_wrprotect(kvm.pgt, start, memslot.npages << self.PAGE_SHIFT)


class ClearsWhatItFrees(Pgtable):
    """Writes entries during destruction, correctly without a lock."""

    def stage2_free_walker(self, addr: int, end: int, level: int, ptep: int, flag: int, arg: None) -> int:
        pte = self.mem[ptep]
        ret = super().stage2_free_walker(addr, end, level, ptep, flag, arg)
        if self.kvm_pte_valid(pte) and self.k.counts[self.k.virt_to_page(ptep)]:
            self.k.WRITE_ONCE(ptep, 0)
        return ret


class MadeWithEntries(Pgtable):
    """Writes entries during creation, correctly without a lock."""

    def kvm_pgtable_stage2_init(self, pgt: kvm_pgtable, vtcr: int, mmu: object) -> int:
        ret = super().kvm_pgtable_stage2_init(pgt, vtcr, mmu)  # type: ignore[arg-type]
        if not ret:
            self.k.WRITE_ONCE(pgt.pgd, 0)
        return ret


class BlocksAlways(Mmu):
    """May drop the lock even if the notifier must not block."""

    def kvm_unmap_hva_handler(self, kvm: kvm, gpa: int, size: int, may_block: bool) -> int:
        return super().kvm_unmap_hva_handler(kvm, gpa, size, True)


class RunsOthersInNotifier(Mmu):
    def kvm_unmap_hva_range(self, kvm: kvm, start: int, end: int, blockable: bool) -> int:
        self.k.unlock("mmu")
        self.k.cond_resched()
        self.k.lock("mmu")
        return super().kvm_unmap_hva_range(kvm, start, end, blockable)


class WaitsInNotifier(Mmu):
    def kvm_unmap_hva_range(self, kvm: kvm, start: int, end: int, blockable: bool) -> int:
        self.k.unlock("mmu")
        self.k.synchronize_srcu()
        self.k.lock("mmu")
        return super().kvm_unmap_hva_range(kvm, start, end, blockable)


class FillsInNotifier(Mmu):
    def kvm_unmap_hva_range(self, kvm: kvm, start: int, end: int, blockable: bool) -> int:
        cache = kvm_mmu_memory_cache()
        self.k.unlock("mmu")
        self.k.kvm_mmu_topup_memory_cache(cache, 1)
        self.k.kvm_mmu_free_memory_cache(cache)
        self.k.lock("mmu")
        return super().kvm_unmap_hva_range(kvm, start, end, blockable)


class UnlinkWithoutLock(Mmu):
    def kvm_free_stage2_pgd(self, kvm: kvm) -> None:
        pgt = kvm.pgt
        if pgt is not None:
            kvm.pgt = None
            self.k.free_percpu()
            self.p.kvm_pgtable_stage2_destroy(pgt)
            self.k.kfree()


class UnlinkAfterUnlock(Mmu):
    """Reads the root under the lock, and unlinks it after dropping the lock."""

    def kvm_free_stage2_pgd(self, kvm: kvm) -> None:
        self.k.lock("mmu")
        pgt = kvm.pgt
        self.k.unlock("mmu")
        if pgt is not None:
            self.k.free_percpu()
            kvm.pgt = None
            self.p.kvm_pgtable_stage2_destroy(pgt)
            self.k.kfree()
