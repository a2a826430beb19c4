# SPDX-License-Identifier: GPL-2.0-only
# Derived from Linux: arch/arm64/kvm/mmu.c, Copyright (C) 2012 - Virtual Open Systems and Columbia University,
# Author: Christoffer Dall.
"""The stage-2 part of arch/arm64/kvm/mmu.c, function by function, in the file's order.

Version: blob 8711894db8c2 (v5.12.9); the series' pre-image 77cb2d28f2a4
differs from it only in whether a slot may end at the very last page of the
guest's address space. Names are the C file's. A name that begins with two
underscores also ends with two. ``kvm->arch.mmu.pgt`` is ``kvm.pgt``.
"""

from collections.abc import Callable
from typing import ClassVar, Final

from .capabilities import ARM64_HAS_CACHE_DIC, ARM64_HAS_STAGE2_FWB, ICACHE_ALIASING, ICACHE_VPIPT, NO_VHE
from .compiled.annotations import mypyc_attr
from .kvm import (
    HCR_TVM,
    KVM_DIRTY_LOG_INITIALLY_SET,
    KVM_MEM_LOG_DIRTY_PAGES,
    KVM_MEM_READONLY,
    kvm,
    kvm_memory_slot,
    kvm_vcpu,
)
from .kvm_host import KVM_PFN_ERR_HWPOISON, KvmHost, is_error_noslot_pfn, kvm_is_error_hva
from .pgtable import (
    KVM_PGTABLE_PROT_DEVICE,
    KVM_PGTABLE_PROT_R,
    KVM_PGTABLE_PROT_W,
    KVM_PGTABLE_PROT_X,
    KVM_PTE_LEAF_ATTR_LO_S2_AF,
    KVM_PTE_VALID,
    Pgtable,
    kvm_pgtable,
)
from .services.errors import EAGAIN, EFAULT, EINVAL, ENOEXEC, ENOMEM
from .services.structs import kvm_mmu_memory_cache
from .syndrome import (
    FSC_ACCESS,
    FSC_FAULT,
    FSC_PERM,
    kvm_is_write_fault,
    kvm_vcpu_abt_iss1tw,
    kvm_vcpu_abt_issea,
    kvm_vcpu_dabt_is_cm,
    kvm_vcpu_trap_get_fault_level,
    kvm_vcpu_trap_get_fault_type,
    kvm_vcpu_trap_is_exec_fault,
    kvm_vcpu_trap_is_iabt,
)

# enum kvm_mr_change
KVM_MR_CREATE: Final = 0
KVM_MR_DELETE: Final = 1
KVM_MR_MOVE: Final = 2
KVM_MR_FLAGS_ONLY: Final = 3

# Sizes of a hugetlb page made of contiguous entries, by log2 of the page size.
CONT_PTE_SHIFT: Final = {12: 16, 14: 21, 16: 21}
CONT_PMD_SHIFT: Final = {12: 25, 14: 30, 16: 34}


@mypyc_attr(allow_interpreted_subclasses=True)
class Mmu:
    """The functions of mmu.c; a candidate overrides those its patch changes.

    :param host: slots, frames, notifier counts
    :param pgtable: the pgtable.c that this mmu.c is linked with
    """

    # A fault samples the notifier sequence before it drops the mmap lock of its VMA (13ec9308a857, v6.3).
    SAMPLES_UNDER_MMAP: ClassVar[bool] = False
    # KVM reports to user space that a guest_memfd has no page (KVM_EXIT_MEMORY_FAULT).
    TELLS_MEMORY_FAULTS: ClassVar[bool] = False
    # KVM refuses memory of a device that user space maps with caches, where a CPU would need cache maintenance (v6.17).
    REFUSES_UNCACHEABLE: ClassVar[bool] = False
    # Table pages are counted in the memory statistics (``kvm_account_pgtable_pages()``, v6.1).
    ACCOUNTS_TABLES: ClassVar[bool] = False

    def __init__(self, host: KvmHost, pgtable: Pgtable) -> None:
        # mypyc runs this twice for a subclass without its own __init__, and what is
        # assigned here a second time would never be freed.
        self.set_up(host, pgtable)

    def set_up(self, host: KvmHost, pgtable: Pgtable) -> None:
        self.h = host
        self.k = host.k
        self.p = pgtable
        granule = self.k.granule
        self.PAGE_SHIFT = granule.page_shift
        self.PAGE_SIZE = granule.page_size
        self.PMD_SHIFT = granule.level_shift(2)
        self.PMD_SIZE = 1 << self.PMD_SHIFT
        self.PUD_SHIFT = granule.level_shift(1)
        self.PUD_SIZE = 1 << self.PUD_SHIFT
        self.CONT_PTE_SHIFT = CONT_PTE_SHIFT[granule.page_shift]
        self.CONT_PMD_SHIFT = CONT_PMD_SHIFT[granule.page_shift]

    def kvm_mmu_cache_min_pages(self, kvm: kvm) -> int:
        """``kvm_mmu_cache_min_pages()`` of asm/stage2_pgtable.h"""
        return kvm.levels - 1

    def stage2_pgd_addr_end(self, kvm: kvm, addr: int, end: int) -> int:
        """``stage2_pgd_addr_end()`` of asm/stage2_pgtable.h"""
        pgdir_size = self.p.sizes[4 - kvm.levels]
        boundary = (addr + pgdir_size) & -pgdir_size

        return boundary if boundary - 1 < end - 1 else end

    def stage2_apply_range(
        self, kvm: kvm, addr: int, end: int, fn: Callable[[kvm_pgtable, int, int], int], resched: bool
    ) -> int:
        while True:
            pgt = kvm.pgt
            if pgt is None:
                return -EINVAL

            next = self.stage2_pgd_addr_end(kvm, addr, end)
            ret = fn(pgt, addr, next - addr)
            if ret:
                break

            if resched and next != end:
                self.k.cond_resched_lock()

            addr = next
            if addr == end:
                break

        return ret

    def stage2_apply_range_resched(
        self, kvm: kvm, addr: int, end: int, fn: Callable[[kvm_pgtable, int, int], int]
    ) -> int:
        return self.stage2_apply_range(kvm, addr, end, fn, True)

    def memslot_is_logging(self, memslot: kvm_memory_slot) -> bool:
        return memslot.dirty_bitmap is not None and not memslot.flags & KVM_MEM_READONLY

    def kvm_flush_remote_tlbs(self, kvm: kvm) -> None:
        self.k.__kvm_tlb_flush_vmid__(kvm.mmu)

    def kvm_is_device_pfn(self, pfn: int) -> bool:
        return not self.h.pfn_valid(pfn)

    def __unmap_stage2_range__(self, kvm: kvm, start: int, size: int, may_block: bool) -> None:
        """Unmap a range, then clean it.

        The I/O subsystem must not hit stale lines that a guest's uncached writes bypassed. The C function takes the
        ``struct kvm_s2_mmu``.
        """
        end = start + size

        self.k.assert_spin_locked()
        self.k.WARN_ON(size & (self.PAGE_SIZE - 1) != 0, "__unmap_stage2_range")
        ret = self.stage2_apply_range(kvm, start, end, self.p.kvm_pgtable_stage2_unmap, may_block)
        self.k.WARN_ON(ret != 0, "__unmap_stage2_range")

    def unmap_stage2_range(self, kvm: kvm, start: int, size: int) -> None:
        self.__unmap_stage2_range__(kvm, start, size, True)

    def stage2_flush_memslot(self, kvm: kvm, memslot: kvm_memory_slot) -> None:
        addr = memslot.base_gfn << self.PAGE_SHIFT
        end = addr + self.PAGE_SIZE * memslot.npages

        self.stage2_apply_range_resched(kvm, addr, end, self.p.kvm_pgtable_stage2_flush)

    def stage2_flush_vm(self, kvm: kvm) -> None:
        self.k.lock("srcu")
        self.k.lock("mmu")

        for memslot in kvm.memslots:
            self.stage2_flush_memslot(kvm, memslot)

        self.k.unlock("mmu")
        self.k.unlock("srcu")

    def kvm_init_stage2_mmu(self, kvm: kvm) -> int:
        if kvm.pgt is not None:
            self.h.kvm_err()
            return -EINVAL

        if not self.k.kzalloc():
            return -ENOMEM
        pgt = kvm_pgtable()

        err = self.p.kvm_pgtable_stage2_init(pgt, kvm.vtcr, kvm.mmu)
        if err:
            self.k.kfree()
            return err

        # mmu->last_vcpu_ran
        if not self.k.alloc_percpu():
            self.p.kvm_pgtable_stage2_destroy(pgt)
            self.k.kfree()
            return -ENOMEM

        kvm.pgt = pgt
        return 0

    def stage2_unmap_memslot(self, kvm: kvm, memslot: kvm_memory_slot) -> None:
        hva = memslot.userspace_addr
        addr = memslot.base_gfn << self.PAGE_SHIFT
        reg_end = hva + self.PAGE_SIZE * memslot.npages

        # The slot may cover several areas and holes between them.
        while True:
            vma = self.h.find_vma(hva)

            if vma is None or vma.start >= reg_end:
                break

            vm_start = max(hva, vma.start)
            vm_end = min(reg_end, vma.end)

            if not vma.pfnmap:
                gpa = addr + (vm_start - memslot.userspace_addr)
                self.unmap_stage2_range(kvm, gpa, vm_end - vm_start)
            hva = vm_end
            if hva >= reg_end:
                break

    def stage2_unmap_vm(self, kvm: kvm) -> None:
        self.k.lock("srcu")
        self.k.lock("mmap")
        self.k.lock("mmu")

        for memslot in kvm.memslots:
            self.stage2_unmap_memslot(kvm, memslot)

        self.k.unlock("mmu")
        self.k.unlock("mmap")
        self.k.unlock("srcu")

    def kvm_free_stage2_pgd(self, kvm: kvm) -> None:
        self.k.lock("mmu")
        pgt = kvm.pgt
        if pgt is not None:
            kvm.pgt = None
            self.k.free_percpu()
        self.k.unlock("mmu")

        if pgt is not None:
            self.p.kvm_pgtable_stage2_destroy(pgt)
            self.k.kfree()

    def kvm_phys_addr_ioremap(self, kvm: kvm, guest_ipa: int, pa: int, size: int, writable: bool) -> int:
        ret = 0
        cache = kvm_mmu_memory_cache()
        pgt = kvm.pgt
        assert pgt is not None
        prot = KVM_PGTABLE_PROT_DEVICE | KVM_PGTABLE_PROT_R | (KVM_PGTABLE_PROT_W if writable else 0)

        size += guest_ipa & (self.PAGE_SIZE - 1)
        guest_ipa &= -self.PAGE_SIZE

        addr = guest_ipa
        while addr < guest_ipa + size:
            ret = self.k.kvm_mmu_topup_memory_cache(cache, self.kvm_mmu_cache_min_pages(kvm))
            if ret:
                break

            self.k.lock("mmu")
            ret = self.p.kvm_pgtable_stage2_map(pgt, addr, self.PAGE_SIZE, pa, prot, cache)
            self.k.unlock("mmu")
            if ret:
                break

            pa += self.PAGE_SIZE
            addr += self.PAGE_SIZE

        self.k.kvm_mmu_free_memory_cache(cache)
        return ret

    def stage2_wp_range(self, kvm: kvm, addr: int, end: int) -> None:
        self.stage2_apply_range_resched(kvm, addr, end, self.p.kvm_pgtable_stage2_wrprotect)

    def kvm_mmu_wp_memory_region(self, kvm: kvm, slot: int) -> None:
        memslot = self.h.id_to_memslot(kvm, slot)

        if memslot is None:
            self.k.warn("in kvm_mmu_wp_memory_region")
            return

        start = memslot.base_gfn << self.PAGE_SHIFT
        end = (memslot.base_gfn + memslot.npages) << self.PAGE_SHIFT

        self.k.lock("mmu")
        self.stage2_wp_range(kvm, start, end)
        self.k.unlock("mmu")
        self.kvm_flush_remote_tlbs(kvm)

    def kvm_mmu_write_protect_pt_masked(self, kvm: kvm, slot: kvm_memory_slot, gfn_offset: int, mask: int) -> None:
        base_gfn = slot.base_gfn + gfn_offset
        ffs = (mask & -mask).bit_length() - 1
        fls = mask.bit_length() - 1
        start = (base_gfn + ffs) << self.PAGE_SHIFT
        end = (base_gfn + fls + 1) << self.PAGE_SHIFT

        self.stage2_wp_range(kvm, start, end)

    def kvm_arch_mmu_enable_log_dirty_pt_masked(
        self, kvm: kvm, slot: kvm_memory_slot, gfn_offset: int, mask: int
    ) -> None:
        self.kvm_mmu_write_protect_pt_masked(kvm, slot, gfn_offset, mask)

    def __clean_dcache_guest_page__(self, pfn: int, size: int) -> None:
        """``__clean_dcache_guest_page()`` of asm/kvm_mmu.h"""
        if self.k.cpus_have_const_cap(ARM64_HAS_STAGE2_FWB):
            return

        self.k.__flush_dcache_area__(self.k.__va__(pfn << self.PAGE_SHIFT), size)

    def __invalidate_icache_guest_page__(self, pfn: int, size: int) -> None:
        """``__invalidate_icache_guest_page()`` of asm/kvm_mmu.h"""
        if self.k.cpus_have_const_cap(ICACHE_ALIASING):
            self.k.__flush_icache_all__()
        elif not self.k.cpus_have_const_cap(NO_VHE) or not self.k.cpus_have_const_cap(ICACHE_VPIPT):
            self.k.invalidate_icache_range(self.k.__va__(pfn << self.PAGE_SHIFT), size)

    def clean_dcache_guest_page(self, pfn: int, size: int) -> None:
        self.__clean_dcache_guest_page__(pfn, size)

    def invalidate_icache_guest_page(self, pfn: int, size: int) -> None:
        self.__invalidate_icache_guest_page__(pfn, size)

    def kvm_send_hwpoison_signal(self, address: int, lsb: int) -> None:
        self.h.send_sig_mceerr(address, lsb)

    def fault_supports_stage2_huge_mapping(self, memslot: kvm_memory_slot, hva: int, map_size: int) -> bool:
        if map_size == self.PAGE_SIZE:
            return True

        size = memslot.npages * self.PAGE_SIZE

        gpa_start = memslot.base_gfn << self.PAGE_SHIFT

        uaddr_start = memslot.userspace_addr
        uaddr_end = uaddr_start + size

        # Guest and host address must have the same offset within the block, or
        # the block would map the wrong pages.
        if gpa_start & (map_size - 1) != uaddr_start & (map_size - 1):
            return False

        # The block must not stick out of the slot.
        start = hva & -map_size
        return start >= uaddr_start and start + map_size <= uaddr_end

    def transparent_hugepage_adjust(
        self, memslot: kvm_memory_slot, hva: int, pfn: int, ipa: int
    ) -> tuple[int, int, int]:
        """Return the size of the mapping, the frame (``*pfnp``), and the address (``*ipap``)."""
        if self.h.kvm_is_transparent_hugepage(pfn) and self.fault_supports_stage2_huge_mapping(
            memslot, hva, self.PMD_SIZE
        ):
            # The pin moves to the head page; the huge page cannot split
            # meanwhile, its notifier waits for the mmu lock.
            ipa &= -self.PMD_SIZE
            self.h.kvm_release_pfn_clean(pfn)
            pfn &= -(1 << (self.PMD_SHIFT - self.PAGE_SHIFT))
            self.h.kvm_get_pfn(pfn)

            return self.PMD_SIZE, pfn, ipa

        return self.PAGE_SIZE, pfn, ipa

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

        # A permission fault changes an existing leaf and needs no table,
        # except for the write that splits a block while pages are logged.
        if fault_status != FSC_PERM or (logging_active and write_fault):
            ret = self.k.kvm_mmu_topup_memory_cache(memcache, self.kvm_mmu_cache_min_pages(kvm))
            if ret:
                return ret

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

    def handle_access_fault(self, vcpu: kvm_vcpu, fault_ipa: int) -> None:
        self.k.lock("mmu")
        pgt = vcpu.kvm.pgt
        assert pgt is not None
        kpte = self.p.kvm_pgtable_stage2_mkyoung(pgt, fault_ipa)
        self.k.unlock("mmu")

        if kpte & KVM_PTE_VALID:
            self.h.kvm_set_pfn_accessed(self.p.kvm_pte_to_phys(kpte) >> self.PAGE_SHIFT)

    def kvm_handle_guest_abort(self, vcpu: kvm_vcpu) -> int:
        fault_status = kvm_vcpu_trap_get_fault_type(vcpu)

        fault_ipa = vcpu.fault_ipa & -4096
        is_iabt = kvm_vcpu_trap_is_iabt(vcpu)

        if kvm_vcpu_abt_issea(vcpu):
            if self.h.kvm_handle_guest_sea(fault_ipa):
                self.h.inject("vabt", 0)

            return 1

        if fault_status not in (FSC_FAULT, FSC_PERM, FSC_ACCESS):
            self.h.kvm_err()
            return -EFAULT

        self.k.lock("srcu")
        ret = self._abort_in_slot(vcpu, fault_ipa, is_iabt, fault_status)
        self.k.unlock("srcu")
        return ret

    def _abort_in_slot(self, vcpu: kvm_vcpu, fault_ipa: int, is_iabt: bool, fault_status: int) -> int:
        """Handle an abort between taking and releasing SRCU.

        This is the part of `kvm_handle_guest_abort` whose gotos become returns.
        """
        gfn = fault_ipa >> self.PAGE_SHIFT
        memslot = self.h.gfn_to_memslot(vcpu.kvm, gfn)
        hva, writable = self.h.gfn_to_hva_memslot_prot(memslot, gfn)
        write_fault = kvm_is_write_fault(vcpu)
        if memslot is None or kvm_is_error_hva(hva) or (write_fault and not writable):
            # An instruction fetch or page table walk where there is no memory: user space
            # cannot handle it, so the guest gets the abort back.
            if is_iabt:
                self.h.inject("pabt", vcpu.hfar)
                return 1

            if kvm_vcpu_abt_iss1tw(vcpu):
                self.h.inject("dabt", vcpu.hfar)
                return 1

            # Cache maintenance outside of any slot: nothing there can be cached.
            if kvm_is_error_hva(hva) and kvm_vcpu_dabt_is_cm(vcpu):
                vcpu.skipped_instruction = True
                return 1

            # The syndrome holds only the address bits from bit 12 up.
            fault_ipa |= vcpu.hfar & ((1 << 12) - 1)
            return self.h.io_mem_abort(fault_ipa)

        if fault_status == FSC_ACCESS:
            self.handle_access_fault(vcpu, fault_ipa)
            return 1

        ret = self.user_mem_abort(vcpu, fault_ipa, memslot, hva, fault_status)
        if ret == 0:
            ret = 1
        if ret == -ENOEXEC:
            self.h.inject("pabt", vcpu.hfar)
            ret = 1
        return ret

    def handle_hva_to_gpa(self, kvm: kvm, start: int, end: int, handler: Callable[[kvm, int, int], int]) -> int:
        """The C function also passes a ``void *data`` to its callback; here *handler* has it bound."""
        ret = 0

        for memslot in kvm.memslots:
            hva_start = max(start, memslot.userspace_addr)
            hva_end = min(end, memslot.userspace_addr + (memslot.npages << self.PAGE_SHIFT))
            if hva_start >= hva_end:
                continue

            gpa = self.h.hva_to_gfn_memslot(hva_start, memslot) << self.PAGE_SHIFT
            ret |= handler(kvm, gpa, hva_end - hva_start)

        return ret

    def kvm_unmap_hva_handler(self, kvm: kvm, gpa: int, size: int, may_block: bool) -> int:
        self.__unmap_stage2_range__(kvm, gpa, size, may_block)
        return 0

    def kvm_unmap_hva_range(self, kvm: kvm, start: int, end: int, blockable: bool) -> int:
        if kvm.pgt is None:
            return 0

        self.handle_hva_to_gpa(
            kvm, start, end, lambda kvm, gpa, size: self.kvm_unmap_hva_handler(kvm, gpa, size, blockable)
        )
        return 0

    def kvm_set_spte_handler(self, kvm: kvm, gpa: int, size: int, pfn: int) -> int:
        self.k.WARN_ON(size != self.PAGE_SIZE, "kvm_set_spte_handler")
        assert kvm.pgt is not None

        # A huge page was unmapped before change_pte() is called: no table to
        # allocate, hence no memory cache.
        self.p.kvm_pgtable_stage2_map(kvm.pgt, gpa, self.PAGE_SIZE, pfn << self.PAGE_SHIFT, KVM_PGTABLE_PROT_R, None)
        return 0

    def kvm_set_spte_hva(self, kvm: kvm, hva: int, pfn: int) -> int:
        end = hva + self.PAGE_SIZE

        if kvm.pgt is None:
            return 0

        # The page moved, probably by copy-on-write: clean as for a translation fault.
        self.clean_dcache_guest_page(pfn, self.PAGE_SIZE)
        self.handle_hva_to_gpa(kvm, hva, end, lambda kvm, gpa, size: self.kvm_set_spte_handler(kvm, gpa, size, pfn))
        return 0

    def kvm_age_hva_handler(self, kvm: kvm, gpa: int, size: int) -> int:
        self.k.WARN_ON(size not in (self.PAGE_SIZE, self.PMD_SIZE, self.PUD_SIZE), "kvm_age_hva_handler")
        assert kvm.pgt is not None
        kpte = self.p.kvm_pgtable_stage2_mkold(kvm.pgt, gpa)
        return int(kpte & KVM_PTE_VALID != 0 and kpte & KVM_PTE_LEAF_ATTR_LO_S2_AF != 0)

    def kvm_test_age_hva_handler(self, kvm: kvm, gpa: int, size: int) -> int:
        self.k.WARN_ON(size not in (self.PAGE_SIZE, self.PMD_SIZE, self.PUD_SIZE), "kvm_test_age_hva_handler")
        assert kvm.pgt is not None
        return int(self.p.kvm_pgtable_stage2_is_young(kvm.pgt, gpa))

    def kvm_age_hva(self, kvm: kvm, start: int, end: int) -> int:
        if kvm.pgt is None:
            return 0
        return self.handle_hva_to_gpa(kvm, start, end, self.kvm_age_hva_handler)

    def kvm_test_age_hva(self, kvm: kvm, hva: int) -> int:
        if kvm.pgt is None:
            return 0
        return self.handle_hva_to_gpa(kvm, hva, hva + self.PAGE_SIZE, self.kvm_test_age_hva_handler)

    def kvm_arch_commit_memory_region(self, kvm: kvm, slot: int, flags: int, change: int) -> None:
        # The new slots are in place: pages get write-protected, unless all of
        # them count as dirty from the start.
        if change != KVM_MR_DELETE and flags & KVM_MEM_LOG_DIRTY_PAGES:
            if not kvm.manual_dirty_log_protect & KVM_DIRTY_LOG_INITIALLY_SET:
                self.kvm_mmu_wp_memory_region(kvm, slot)

    def kvm_arch_prepare_memory_region(self, kvm: kvm, memslot: kvm_memory_slot, change: int) -> int:
        hva = memslot.userspace_addr
        memory_size = memslot.npages << self.PAGE_SHIFT
        guest_phys_addr = memslot.base_gfn << self.PAGE_SHIFT
        reg_end = hva + memory_size
        writable = not memslot.flags & KVM_MEM_READONLY
        ret = 0

        if change not in (KVM_MR_CREATE, KVM_MR_MOVE, KVM_MR_FLAGS_ONLY):
            return 0

        # The slot must lie within the guest's address space.
        if memslot.base_gfn + memslot.npages > kvm.phys_size >> self.PAGE_SHIFT:
            return -EFAULT

        self.k.lock("mmap")
        # Device areas under the slot are mapped right away.
        while True:
            vma = self.h.find_vma(hva)

            if vma is None or vma.start >= reg_end:
                break

            vm_start = max(hva, vma.start)
            vm_end = min(reg_end, vma.end)

            if vma.pfnmap:
                gpa = guest_phys_addr + (vm_start - memslot.userspace_addr)
                pa = (vma.pgoff << self.PAGE_SHIFT) + vm_start - vma.start

                # Device memory has no dirty log.
                if memslot.flags & KVM_MEM_LOG_DIRTY_PAGES:
                    self.k.unlock("mmap")
                    return -EINVAL

                ret = self.kvm_phys_addr_ioremap(kvm, gpa, pa, vm_end - vm_start, writable)
                if ret:
                    break
            hva = vm_end
            if hva >= reg_end:
                break

        if change != KVM_MR_FLAGS_ONLY:
            self.k.lock("mmu")
            if ret:
                self.unmap_stage2_range(kvm, guest_phys_addr, memory_size)
            elif not self.k.cpus_have_const_cap(ARM64_HAS_STAGE2_FWB):
                self.stage2_flush_memslot(kvm, memslot)
            self.k.unlock("mmu")
        self.k.unlock("mmap")
        return ret

    def kvm_arch_flush_shadow_all(self, kvm: kvm) -> None:
        self.kvm_free_stage2_pgd(kvm)

    def kvm_arch_flush_shadow_memslot(self, kvm: kvm, slot: kvm_memory_slot) -> None:
        gpa = slot.base_gfn << self.PAGE_SHIFT
        size = slot.npages << self.PAGE_SHIFT

        self.k.lock("mmu")
        self.unmap_stage2_range(kvm, gpa, size)
        self.k.unlock("mmu")

    def kvm_set_way_flush(self, vcpu: kvm_vcpu) -> None:
        # The first set/way operation flushes all memory; from then on the
        # traps on the cache controls show when to do so again.
        if not vcpu.hcr & HCR_TVM:
            self.stage2_flush_vm(vcpu.kvm)
            vcpu.hcr |= HCR_TVM

    def kvm_toggle_cache(self, vcpu: kvm_vcpu, was_enabled: bool) -> None:
        now_enabled = vcpu.cache_enabled

        if now_enabled != was_enabled:
            self.stage2_flush_vm(vcpu.kvm)

        # With the caches on there is nothing to trap until a set/way operation.
        if now_enabled:
            vcpu.hcr &= ~HCR_TVM
