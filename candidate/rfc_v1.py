# SPDX-License-Identifier: GPL-2.0-only
# Derived from Linux: "KVM: arm64: Distinguish cases of memcache allocations completely", Yanan Wang, 8 Feb 2021.
"""RFC v1 4/4 on top of 1-3/4: the memory cache is filled later, and only if tables will be allocated.

Mail 20210208112250.163568-5-wangyanan55@huawei.com.
"""

from reference.capabilities import ARM64_HAS_CACHE_DIC
from reference.compiled.annotations import mypyc_attr
from reference.kvm import kvm_memory_slot, kvm_vcpu
from reference.kvm_host import KVM_PFN_ERR_HWPOISON, is_error_noslot_pfn
from reference.pgtable import (
    KVM_PGTABLE_PROT_DEVICE,
    KVM_PGTABLE_PROT_R,
    KVM_PGTABLE_PROT_W,
    KVM_PGTABLE_PROT_X,
)
from reference.services.errors import EAGAIN, EFAULT, ENOEXEC
from reference.syndrome import FSC_PERM, kvm_is_write_fault, kvm_vcpu_trap_get_fault_level, kvm_vcpu_trap_is_exec_fault

from .registry.declaration import Candidate
from .rfc_v1_3 import MmuRfcV1_3, PgtableRfcV1_3


@mypyc_attr(allow_interpreted_subclasses=True)
class PgtableRfcV1(PgtableRfcV1_3):
    """pgtable.c is as after 3/4."""


@mypyc_attr(allow_interpreted_subclasses=True)
class MmuRfcV1(MmuRfcV1_3):
    """mmu.c as after 4/4: `user_mem_abort` fills the memory cache under the lock, only if tables are needed."""

    def user_mem_abort(
        self, vcpu: kvm_vcpu, fault_ipa: int, memslot: kvm_memory_slot, hva: int, fault_status: int
    ) -> int:
        ret = 0
        force_pte = False
        device = False
        kvm = vcpu.kvm
        memcache = vcpu.mmu_page_cache
        logging_active = self.memslot_is_logging(memslot)
        fault_level = kvm_vcpu_trap_get_fault_level(vcpu)
        prot = KVM_PGTABLE_PROT_R

        fault_granule = self.p.sizes[fault_level]
        write_fault = kvm_is_write_fault(vcpu)
        exec_fault = kvm_vcpu_trap_is_exec_fault(vcpu)

        if fault_status == FSC_PERM and not write_fault and not exec_fault:
            self.h.kvm_err()
            return -EFAULT

        # Is the page a hugetlb page?
        self.k.lock("mmap")
        vma = self.h.find_vma_intersection(hva, hva + 1)
        if vma is None:
            self.h.kvm_err()
            self.k.unlock("mmap")
            return -EFAULT

        vma_shift = vma.huge_shift if vma.huge_shift else self.PAGE_SHIFT

        if logging_active or vma.pfnmap:
            force_pte = True
            vma_shift = self.PAGE_SHIFT

        if vma_shift == self.PUD_SHIFT and not self.fault_supports_stage2_huge_mapping(memslot, hva, self.PUD_SIZE):
            vma_shift = self.PMD_SHIFT
        elif vma_shift == self.CONT_PMD_SHIFT:
            vma_shift = self.PMD_SHIFT
        if vma_shift == self.PMD_SHIFT and not self.fault_supports_stage2_huge_mapping(memslot, hva, self.PMD_SIZE):
            vma_shift = self.CONT_PTE_SHIFT
        if vma_shift == self.CONT_PTE_SHIFT:
            vma_shift = self.PAGE_SHIFT
            force_pte = True
        if vma_shift not in (self.PAGE_SHIFT, self.PMD_SHIFT, self.PUD_SHIFT):
            self.k.warn("in user_mem_abort")

        vma_pagesize = 1 << vma_shift
        if vma_pagesize in (self.PMD_SIZE, self.PUD_SIZE):
            fault_ipa &= -vma_pagesize

        gfn = fault_ipa >> self.PAGE_SHIFT
        self.k.unlock("mmap")

        mmu_seq = kvm.mmu_notifier_seq
        # Sampled before the look-up: a notifier that comes after it either
        # shows in the retry check or finds the mapping made here.
        self.h.smp_rmb()

        pfn, writable = self.h.gfn_to_pfn_prot(kvm, gfn, write_fault)
        if pfn == KVM_PFN_ERR_HWPOISON:
            self.kvm_send_hwpoison_signal(hva, vma_shift)
            return 0
        if is_error_noslot_pfn(pfn):
            return -EFAULT

        if self.kvm_is_device_pfn(pfn):
            device = True
            force_pte = True
        elif logging_active and not write_fault:
            # Writable only if this is a write.
            writable = False

        if exec_fault and device:
            return -ENOEXEC

        self.k.lock("mmu")
        pgt = kvm.pgt
        assert pgt is not None
        if not self.h.mmu_notifier_retry(kvm, mmu_seq):
            if vma_pagesize == self.PAGE_SIZE and not force_pte:
                vma_pagesize, pfn, fault_ipa = self.transparent_hugepage_adjust(memslot, hva, pfn, fault_ipa)
            if writable:
                prot |= KVM_PGTABLE_PROT_W

            if fault_status != FSC_PERM and not device:
                self.clean_dcache_guest_page(pfn, vma_pagesize)

            if exec_fault:
                prot |= KVM_PGTABLE_PROT_X
                self.invalidate_icache_guest_page(pfn, vma_pagesize)

            if device:
                prot |= KVM_PGTABLE_PROT_DEVICE
            elif self.k.cpus_have_const_cap(ARM64_HAS_CACHE_DIC):
                prot |= KVM_PGTABLE_PROT_X

            # New in this patch, here under the lock: tables are needed only
            # if the fault level is above the level of the new mapping.
            if fault_granule > vma_pagesize:
                ret = self.k.kvm_mmu_topup_memory_cache(memcache, self.kvm_mmu_cache_min_pages(kvm))
                if ret:
                    return ret

            # A permission fault on a leaf of the same size: relax it. Any
            # other size means a new mapping.
            if fault_status == FSC_PERM and vma_pagesize == fault_granule:
                ret = self.p.kvm_pgtable_stage2_relax_perms(pgt, fault_ipa, prot)
            else:
                ret = self.p.kvm_pgtable_stage2_map(
                    pgt, fault_ipa, vma_pagesize, pfn << self.PAGE_SHIFT, prot, memcache
                )

            if writable and not ret:
                self.h.kvm_set_pfn_dirty(pfn)
                self.h.mark_page_dirty(kvm, gfn)

        # out_unlock:
        self.k.unlock("mmu")
        self.h.kvm_set_pfn_accessed(pfn)
        self.h.kvm_release_pfn_clean(pfn)
        return ret if ret != -EAGAIN else 0


CANDIDATE = Candidate(
    "rfc-v1",
    PgtableRfcV1,
    MmuRfcV1,
    "RFC v1 of 'Improve efficiency of stage2 page table', 1-4/4: "
    "also fills the memory cache under the lock, only where needed",
    order=30,
)
