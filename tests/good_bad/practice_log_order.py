# SPDX-License-Identifier: GPL-2.0-only
"""Versions that write-protect pages before the dirty log is in place, and similar versions that are right."""

from typing import Final

import candidate
from candidate import Candidate
from candidate.v5_14 import MmuV5_14, PgtableV5_14
from reference.kvm import KVM_DIRTY_LOG_INITIALLY_SET, KVM_MEM_LOG_DIRTY_PAGES, kvm, kvm_memory_slot, kvm_vcpu
from reference.kvm_main import KvmMain
from reference.mmu import KVM_MR_DELETE, KVM_MR_FLAGS_ONLY, Mmu
from reference.syndrome import kvm_is_write_fault

V5_14: Final = candidate.get("v5.14")


class ProtectTwiceMmu(MmuV5_14):
    """Right: write-protects a slot's pages before its log is in place, and again afterwards."""

    def kvm_arch_prepare_memory_region(self, kvm: kvm, memslot: kvm_memory_slot, change: int) -> int:
        ret = super().kvm_arch_prepare_memory_region(kvm, memslot, change)
        if not ret and change == KVM_MR_FLAGS_ONLY and memslot.flags & KVM_MEM_LOG_DIRTY_PAGES:
            self.early(kvm, memslot)
        return ret

    def early(self, kvm: kvm, memslot: kvm_memory_slot) -> None:
        self.kvm_mmu_wp_memory_region(kvm, memslot.id)


class ProtectBeforeLogMmu(ProtectTwiceMmu):
    """Wrong: write-protects them only before."""

    def early(self, kvm: kvm, memslot: kvm_memory_slot) -> None:
        if not kvm.manual_dirty_log_protect & KVM_DIRTY_LOG_INITIALLY_SET:
            super().early(kvm, memslot)

    def kvm_arch_commit_memory_region(self, kvm: kvm, slot: int, flags: int, change: int) -> None:
        if change != KVM_MR_FLAGS_ONLY:
            super().kvm_arch_commit_memory_region(kvm, slot, flags, change)


class UnmapBeforeLogMmu(ProtectBeforeLogMmu):
    """Wrong: unmaps the pages so that their next access is logged, but they may be mapped again at once, unlogged."""

    def early(self, kvm: kvm, memslot: kvm_memory_slot) -> None:
        self.k.lock("mmu")
        self.unmap_stage2_range(kvm, memslot.base_gfn << self.PAGE_SHIFT, memslot.npages << self.PAGE_SHIFT)
        self.k.unlock("mmu")


class UnmapThenProtectMmu(UnmapBeforeLogMmu):
    """Right: unmaps early and write-protects late."""

    def kvm_arch_commit_memory_region(self, kvm: kvm, slot: int, flags: int, change: int) -> None:
        if change != KVM_MR_DELETE:
            MmuV5_14.kvm_arch_commit_memory_region(self, kvm, slot, flags, change)


class HalfAgainMmu(ProtectBeforeLogMmu):
    """Wrong: write-protects only the first half of the slot again after the log is in place."""

    def kvm_arch_commit_memory_region(self, kvm: kvm, slot: int, flags: int, change: int) -> None:
        if change != KVM_MR_FLAGS_ONLY:
            super().kvm_arch_commit_memory_region(kvm, slot, flags, change)
        elif flags & KVM_MEM_LOG_DIRTY_PAGES:
            memslot = self.h.id_to_memslot(kvm, slot)
            assert memslot is not None
            start = memslot.base_gfn << self.PAGE_SHIFT
            self.k.lock("mmu")
            self.stage2_wp_range(kvm, start, start + (memslot.npages << self.PAGE_SHIFT >> 1))
            self.k.unlock("mmu")
            self.kvm_flush_remote_tlbs(kvm)


def version(name: str, mmu: type[MmuV5_14]) -> Candidate:
    return Candidate(name, PgtableV5_14, mmu, "for a test; on v5.14")


PROTECT_BEFORE_LOG: Final = version("case-protect-before-log", ProtectBeforeLogMmu)
UNMAP_BEFORE_LOG: Final = version("unmap-before-log", UnmapBeforeLogMmu)
HALF_AGAIN: Final = version("half-again", HalfAgainMmu)
PROTECT_TWICE: Final = version("protect-twice", ProtectTwiceMmu)
UNMAP_THEN_PROTECT: Final = version("unmap-then-protect", UnmapThenProtectMmu)


class TakesLate(KvmMain):
    """Takes the dirty bits after it has write-protected and flushed everything and dropped the lock."""

    def kvm_get_dirty_log_protect(self, id: int) -> tuple[int, list[int]]:
        memslot = self.mmu.h.id_to_memslot(self.kvm, id)
        assert memslot is not None
        assert memslot.dirty_bitmap is not None
        snapshot = [0] * len(memslot.dirty_bitmap)
        self.k.lock("mmu")
        self.protect(memslot)
        self.between()
        for i, mask in enumerate(memslot.dirty_bitmap[:]):
            if mask:
                snapshot[i] = mask
                self.take_bits(memslot, i, mask)
        self.after(memslot)
        return 0, snapshot

    def protect(self, memslot: kvm_memory_slot) -> None:
        for i, mask in enumerate(memslot.dirty_bitmap or ()):
            if mask:
                self.mmu.kvm_arch_mmu_enable_log_dirty_pt_masked(self.kvm, memslot, i * 64, mask)

    def between(self) -> None:
        self.k.unlock("mmu")
        self.mmu.kvm_flush_remote_tlbs(self.kvm)

    def after(self, memslot: kvm_memory_slot) -> None:
        pass


class TakesUnderTheLock(TakesLate):
    """Right: takes the bits last, but no fault can run in between."""

    def between(self) -> None:
        pass

    def after(self, memslot: kvm_memory_slot) -> None:
        self.between_is_over()

    def between_is_over(self) -> None:
        self.k.unlock("mmu")
        self.mmu.kvm_flush_remote_tlbs(self.kvm)


class TakesAfterResched(TakesUnderTheLock):
    """Wrong: the lock may be dropped before it takes the bits."""

    def between(self) -> None:
        self.k.cond_resched_lock()


class TakesThenProtectsAgain(TakesLate):
    """Right: protects again after it has taken the bits."""

    def after(self, memslot: kvm_memory_slot) -> None:
        self.k.lock("mmu")
        self.mmu.stage2_wp_range(
            self.kvm,
            memslot.base_gfn << self.mmu.PAGE_SHIFT,
            (memslot.base_gfn + memslot.npages) << self.mmu.PAGE_SHIFT,
        )
        self.k.unlock("mmu")
        self.mmu.kvm_flush_remote_tlbs(self.kvm)


class MarksLateMmu(Mmu):
    """Right: a fault marks its page dirty once more after it has dropped the lock, as later kernels do."""

    def user_mem_abort(
        self, vcpu: kvm_vcpu, fault_ipa: int, memslot: kvm_memory_slot, hva: int, fault_status: int
    ) -> int:
        ret = super().user_mem_abort(vcpu, fault_ipa, memslot, hva, fault_status)
        if not ret and kvm_is_write_fault(vcpu):
            self.h.mark_page_dirty(vcpu.kvm, fault_ipa >> self.PAGE_SHIFT)
        return ret


class TakesWords(TakesUnderTheLock):
    """Right only if faults mark pages under the lock: exchanges each word, also for bits that it has not looked at."""

    def take_bits(self, memslot: kvm_memory_slot, word: int, mask: int, whole: bool = False) -> None:
        super().take_bits(memslot, word, mask, True)


class TakesWordsThenProtectsAgain(TakesWords):
    """Right: protects again under the same hold of the lock."""

    def after(self, memslot: kvm_memory_slot) -> None:
        start = memslot.base_gfn << self.mmu.PAGE_SHIFT
        self.mmu.stage2_wp_range(self.kvm, start, start + (memslot.npages << self.mmu.PAGE_SHIFT))
        super().after(memslot)


class ClearsLate(KvmMain):
    """Handles KVM_CLEAR_DIRTY_LOG: protects and flushes before it clears the bits."""

    def kvm_clear_dirty_log_protect(self, id: int, first_page: int, num_pages: int, bitmap: list[int]) -> int:
        memslot = self.mmu.h.id_to_memslot(self.kvm, id)
        assert memslot is not None
        assert memslot.dirty_bitmap is not None
        self.k.lock("mmu")
        for i, mask in enumerate(bitmap):
            if mask:
                self.mmu.kvm_arch_mmu_enable_log_dirty_pt_masked(self.kvm, memslot, first_page + i * 64, mask)
        self.k.unlock("mmu")
        self.mmu.kvm_flush_remote_tlbs(self.kvm)
        for i, mask in enumerate(bitmap):
            self.take_bits(memslot, (first_page >> 6) + i, mask)
        return 0
