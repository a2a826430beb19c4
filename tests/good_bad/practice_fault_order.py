# SPDX-License-Identifier: GPL-2.0-only
"""A fault handler with its steps in right and wrong orders, wrong notifiers, and designs that map the next page too."""

from typing import Final

from candidate import Candidate
from reference.capabilities import ARM64_HAS_CACHE_DIC
from reference.kvm import kvm, kvm_memory_slot, kvm_vcpu
from reference.kvm_host import is_error_noslot_pfn
from reference.kvm_main import KvmMain
from reference.mmu import Mmu
from reference.pgtable import (
    KVM_PGTABLE_PROT_DEVICE,
    KVM_PGTABLE_PROT_R,
    KVM_PGTABLE_PROT_W,
    KVM_PGTABLE_PROT_X,
    Pgtable,
)
from reference.services.errors import EAGAIN, EFAULT, ENOEXEC
from reference.services.structs import kvm_mmu_memory_cache
from reference.syndrome import FSC_PERM, kvm_is_write_fault, kvm_vcpu_trap_is_exec_fault


class Steps(Mmu):
    """Maps single pages. `user_mem_abort` runs its steps in *order*; the default is the order of 5.12."""

    order = "mmap vma munmap topup sample rmb look-up lock retry map mark unlock release"

    def user_mem_abort(
        self, vcpu: kvm_vcpu, fault_ipa: int, memslot: kvm_memory_slot, hva: int, fault_status: int
    ) -> int:
        kvm = vcpu.kvm
        self.seq = self.ret = 0
        self.pfn = -1
        self.writable = self.retried = False
        for step in self.order.split():
            if step in ("mmap", "lock"):
                self.k.lock("mmap" if step == "mmap" else "mmu")
            elif step in ("munmap", "unlock"):
                self.k.unlock("mmap" if step == "munmap" else "mmu")
            elif step == "resched":
                self.k.cond_resched_lock()
            elif step == "vma":
                if self.h.find_vma_intersection(hva, hva + 1) is None:
                    self.k.unlock("mmap")
                    return -EFAULT
            elif step == "topup":
                ret = self.k.kvm_mmu_topup_memory_cache(vcpu.mmu_page_cache, self.kvm_mmu_cache_min_pages(kvm))
                if ret:
                    return ret
            elif step == "sample":
                self.seq = kvm.mmu_notifier_seq
            elif step == "rmb":
                self.h.smp_rmb()
            elif step == "wmb":
                self.k.smp_wmb()
            elif step == "mb":
                self.k.smp_mb()
            elif step.startswith("dsb-"):
                self.k.dsb(step.removeprefix("dsb-"))
            elif step == "look-up":
                self.pfn, self.writable = self.h.gfn_to_pfn_prot(
                    kvm, fault_ipa >> self.PAGE_SHIFT, kvm_is_write_fault(vcpu)
                )
                if is_error_noslot_pfn(self.pfn):
                    return 0 if self.pfn == -1 else -EFAULT
                if self.memslot_is_logging(memslot) and not kvm_is_write_fault(vcpu):
                    self.writable = False
                if kvm_vcpu_trap_is_exec_fault(vcpu) and not self.h.pfn_valid(self.pfn):
                    return -ENOEXEC
            elif step == "retry":
                self.retried = self.h.mmu_notifier_retry(kvm, self.seq)
            elif step == "ignored-retry":
                self.h.mmu_notifier_retry(kvm, self.seq)
            elif step == "compare":
                self.retried = kvm.mmu_notifier_count != 0 or kvm.mmu_notifier_seq != self.seq
            elif step == "map" and not self.retried:
                self.ret = self.map_page(vcpu, fault_ipa, fault_status)
            elif step == "mark" and not self.retried and self.writable and not self.ret:
                self.h.kvm_set_pfn_dirty(self.pfn)
                self.h.mark_page_dirty(kvm, fault_ipa >> self.PAGE_SHIFT)
            elif step == "release":
                self.h.kvm_set_pfn_accessed(self.pfn)
                self.h.kvm_release_pfn_clean(self.pfn)
        return self.ret if self.ret != -EAGAIN else 0

    def map_page(self, vcpu: kvm_vcpu, fault_ipa: int, fault_status: int) -> int:
        """Clean, then relax or map."""
        pgt = vcpu.kvm.pgt
        assert pgt is not None
        prot = KVM_PGTABLE_PROT_R | (KVM_PGTABLE_PROT_W if self.writable else 0)
        device = not self.h.pfn_valid(self.pfn)
        if not device:
            self.clean_dcache_guest_page(self.pfn, self.PAGE_SIZE)
        if kvm_vcpu_trap_is_exec_fault(vcpu):
            prot |= KVM_PGTABLE_PROT_X
            self.invalidate_icache_guest_page(self.pfn, self.PAGE_SIZE)
        elif not device and self.k.cpus_have_const_cap(ARM64_HAS_CACHE_DIC):
            prot |= KVM_PGTABLE_PROT_X
        prot |= KVM_PGTABLE_PROT_DEVICE if device else 0
        if fault_status == FSC_PERM and vcpu.esr & 3 == 3:
            return self.p.kvm_pgtable_stage2_relax_perms(pgt, fault_ipa, prot)
        return self.p.kvm_pgtable_stage2_map(
            pgt, fault_ipa, self.PAGE_SIZE, self.pfn << self.PAGE_SHIFT, prot, vcpu.mmu_page_cache
        )


def steps(text: str) -> Candidate:
    """Return a version whose faults run these steps."""

    class Ordered(Steps):
        order = text

    return Candidate("steps", Pgtable, Ordered, "for a test")


class KeepsLock(Steps):
    """Returns from the VM's first fault with the mmu lock held, so the next fault begins with it."""

    order = "mmap vma munmap topup sample rmb look-up retry map mark unlock release"

    def user_mem_abort(
        self, vcpu: kvm_vcpu, fault_ipa: int, memslot: kvm_memory_slot, hva: int, fault_status: int
    ) -> int:
        if "mmu" in self.k.locks:
            return super().user_mem_abort(vcpu, fault_ipa, memslot, hva, fault_status)
        self.k.lock("mmu")
        return 0


class KeepsLockAndSamplesLate(KeepsLock):
    order = "mmap vma munmap topup look-up sample rmb retry map mark unlock release"


# Right orders, keyed by their peculiarity.
GOOD: Final = {
    "5.12": Steps.order,
    "6.1": "topup mmap vma sample munmap look-up lock retry map mark unlock release",
    "6.12": "topup mmap vma sample munmap look-up lock retry map unlock mark release",
    "top-up after the look-up's sample": "mmap vma munmap sample rmb topup look-up lock retry map mark unlock release",
    "asked before the lock too": "mmap vma munmap topup sample rmb look-up retry lock retry map mark unlock release",
    "a full barrier": "mmap vma munmap topup sample mb look-up lock retry map mark unlock release",
    "a DSB of loads": "mmap vma munmap topup sample dsb-ld look-up lock retry map mark unlock release",
    "a full DSB": "mmap vma munmap topup sample dsb-ish look-up lock retry map mark unlock release",
    "sampled twice before": "mmap vma sample munmap topup sample rmb look-up lock retry map mark unlock release",
    "compares by itself": "mmap vma munmap topup sample rmb look-up lock compare map mark unlock release",
    "looks up twice": "mmap vma munmap topup sample rmb look-up release sample rmb look-up lock retry map mark unlock"
    " release",
    "marked before, and after": "mmap vma munmap topup sample rmb look-up lock mark retry map mark unlock release",
}
UNCHECKED: Final = "mapped without mmu_notifier_retry()"
OTHER_HOLD: Final = "mapped under another hold of mmu_lock than mmu_notifier_retry()"
LATE: Final = "notifier sequence sampled after the look-up"
NO_BARRIER: Final = "notifier sequence sampled without a barrier"
# Wrong orders, each with the event that is reported.
BAD: Final = (
    (UNCHECKED, "mmap vma munmap topup sample rmb look-up lock map mark unlock release"),
    (UNCHECKED, "mmap vma munmap topup sample rmb look-up lock map retry mark unlock release"),
    (OTHER_HOLD, "mmap vma munmap topup sample rmb look-up retry lock map mark unlock release"),
    (OTHER_HOLD, "mmap vma munmap topup sample rmb look-up lock retry unlock lock map mark unlock release"),
    (OTHER_HOLD, "mmap vma munmap topup sample rmb look-up lock retry resched map mark unlock release"),
    (LATE, "mmap vma munmap topup look-up sample rmb lock retry map mark unlock release"),
    (LATE, "mmap vma munmap topup look-up lock sample rmb retry map mark unlock release"),
    (LATE, "mmap vma munmap topup look-up release look-up sample rmb lock retry map mark unlock release"),
    (NO_BARRIER, "mmap vma munmap topup sample look-up rmb lock retry map mark unlock release"),
    (NO_BARRIER, "mmap vma munmap topup sample look-up mb lock retry map mark unlock release"),
    (NO_BARRIER, "mmap vma munmap topup mb sample look-up lock retry map mark unlock release"),
    (NO_BARRIER, "mmap vma munmap topup sample wmb look-up lock retry map mark unlock release"),
    (NO_BARRIER, "mmap vma munmap topup sample dsb-ishst look-up lock retry map mark unlock release"),
    (NO_BARRIER, "mmap vma munmap topup sample dsb-nsh look-up lock retry map mark unlock release"),
)  # fmt: skip
# Orders that mark the page dirty too early.
MARKED_EARLY: Final = (
    "mmap vma munmap topup sample rmb look-up mark lock retry map unlock release",
    "mmap vma munmap topup sample rmb look-up lock mark unlock lock retry map unlock release",
)
IGNORED: Final = "mmap vma munmap topup sample rmb look-up lock ignored-retry map mark unlock release"


class KeepsCount(KvmMain):
    """Leaves the notifier count raised at the end of an invalidation."""

    def invalidate_range_end(self) -> None:
        super().invalidate_range_end()
        self.kvm.mmu_notifier_count += 1


class CountsLate(KvmMain):
    """Raises the notifier count after it has unmapped everything."""

    def invalidate_range_start(self, start: int, end: int, blockable: bool) -> None:
        self.k.lock("srcu")
        self.k.lock("mmu")
        if self.mmu.kvm_unmap_hva_range(self.kvm, start, end, blockable):
            self.mmu.kvm_flush_remote_tlbs(self.kvm)
        self.kvm.mmu_notifier_count += 1
        self._seq()
        self.k.unlock("mmu")
        self.k.unlock("srcu")


class CountsActive(KvmMain):
    """Also counts notifiers between their two halves (``mn_active_invalidate_count``)."""

    def invalidate_range_start(self, start: int, end: int, blockable: bool) -> None:
        self.kvm.active_notifiers = 1
        super().invalidate_range_start(start, end, blockable)


class CountsActiveLate(KvmMain):
    """Counts an active notifier only after it has unmapped everything."""

    def invalidate_range_start(self, start: int, end: int, blockable: bool) -> None:
        self.kvm.active_notifiers = 0
        super().invalidate_range_start(start, end, blockable)
        self.kvm.active_notifiers = 1


class MapsNeighbourUnchecked(Mmu):
    """Wrong: looks up the next page after the fault, and maps it without a check."""

    def user_mem_abort(
        self, vcpu: kvm_vcpu, fault_ipa: int, memslot: kvm_memory_slot, hva: int, fault_status: int
    ) -> int:
        ret = super().user_mem_abort(vcpu, fault_ipa, memslot, hva, fault_status)
        gfn = (fault_ipa >> self.PAGE_SHIFT) + 1
        kvm = vcpu.kvm
        pgt = kvm.pgt
        if ret or pgt is None or gfn >= memslot.base_gfn + memslot.npages or fault_status == FSC_PERM:
            return ret
        cache = kvm_mmu_memory_cache()
        self.k.kvm_mmu_topup_memory_cache(cache, self.kvm_mmu_cache_min_pages(kvm))
        seq = kvm.mmu_notifier_seq
        self.h.smp_rmb()
        pfn, _ = self.h.gfn_to_pfn_prot(kvm, gfn, False)
        if is_error_noslot_pfn(pfn):
            return 0
        self.k.lock("mmu")
        if self.may_map(kvm, seq):
            self.clean_dcache_guest_page(pfn, self.PAGE_SIZE)
            addr = gfn << self.PAGE_SHIFT
            prot = KVM_PGTABLE_PROT_R
            self.p.kvm_pgtable_stage2_map(pgt, addr, self.PAGE_SIZE, pfn << self.PAGE_SHIFT, prot, cache)
        self.k.unlock("mmu")
        self.h.kvm_set_pfn_accessed(pfn)
        self.h.kvm_release_pfn_clean(pfn)
        self.k.kvm_mmu_free_memory_cache(cache)
        return 0

    def may_map(self, kvm: kvm, seq: int) -> bool:
        return True


class MapsNeighbourChecked(MapsNeighbourUnchecked):
    """Right: checks before it maps the next page."""

    def may_map(self, kvm: kvm, seq: int) -> bool:
        return not self.h.mmu_notifier_retry(kvm, seq)
