# SPDX-License-Identifier: GPL-2.0-only
# Derived from Linux 5.12: include/linux/kvm_host.h, virt/kvm/kvm_main.c, arch/arm64/include/asm/kvm_emulate.h.
"""The structures of KVM, and the functions below mmu.c: slots, frame look-up, dirty marks, fault syndromes."""

from typing import Final

from .compiled.annotations import mypyc_attr
from .events import Observer
from .kernel import Kernel
from .machine.address_space import ABSENT, DEVICE, POISON, THP, WRITABLE, AddressSpace, PageRun, Vma
from .pgtable import VTCR_EL2_SL0_MASK, VTCR_EL2_SL0_SHIFT, VTCR_EL2_T0SZ_MASK, kvm_pgtable
from .services.structs import kvm_mmu_memory_cache, kvm_s2_mmu

KVM_MEM_LOG_DIRTY_PAGES: Final = 1 << 0
KVM_MEM_READONLY: Final = 1 << 1
KVM_MEM_GUEST_MEMFD: Final = 1 << 2
KVM_MEMSLOT_INVALID: Final = 1 << 16

KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE: Final = 1 << 0
KVM_DIRTY_LOG_INITIALLY_SET: Final = 1 << 1

KVM_HVA_ERR_BAD: Final = -1
KVM_HVA_ERR_RO_BAD: Final = -2

KVM_PFN_ERR_HWPOISON: Final = -1
KVM_PFN_ERR_FAULT: Final = -2
KVM_PFN_ERR_RO_FAULT: Final = -3
KVM_PFN_NOSLOT: Final = -4

ESR_ELx_EC_SHIFT: Final = 26
ESR_ELx_EC_IABT_LOW: Final = 0x20
ESR_ELx_EC_DABT_LOW: Final = 0x24
ESR_ELx_IL: Final = 1 << 25
ESR_ELx_ISV: Final = 1 << 24
ESR_ELx_CM: Final = 1 << 8
ESR_ELx_S1PTW: Final = 1 << 7
ESR_ELx_WNR: Final = 1 << 6
ESR_ELx_FSC: Final = 0x3F
ESR_ELx_FSC_TYPE: Final = 0x3C
ESR_ELx_FSC_LEVEL: Final = 0x03
FSC_FAULT: Final = 0x04
FSC_ACCESS: Final = 0x08
FSC_PERM: Final = 0x0C
# DFSC of a TLB conflict abort (Arm ARM, ISS encoding of a Data Abort).
FSC_TLB_CONFLICT: Final = 0x30
FSC_SEA: Final = (0x10, 0x14, 0x15, 0x16, 0x17, 0x18, 0x1C, 0x1D, 0x1E, 0x1F)

HCR_TVM: Final = 1 << 26

# To have a page that may be written, where others take it away again.
ATTEMPTS: Final = 8


class kvm_memory_slot:
    """``struct kvm_memory_slot``; the bitmap has 64 pages a word."""

    def __init__(self, id: int, base_gfn: int, npages: int, flags: int, userspace_addr: int) -> None:
        self.id = id
        self.base_gfn = base_gfn
        self.npages = npages
        self.flags = flags
        self.userspace_addr = userspace_addr
        self.dirty_bitmap: list[int] | None = None


class kvm:
    """``struct kvm``; *mmu* and *pgt* are ``kvm->arch.mmu`` and its ``pgt``.

    Setting *pgt* and reading *mmu_notifier_seq* are events, since kernel code
    does either by a plain access.

    :param vtcr: VTCR_EL2 of the guest
    :param start_level_base: VTCR_EL2_TGRAN_SL0_BASE of the granule
    """

    def __init__(self, vtcr: int, start_level_base: int, vmid: int = 1) -> None:
        self.vtcr = vtcr
        # Its fields PS and DS as kernel code has composed them; 0: it does not say.
        self.composed_vtcr = 0
        self.levels = ((vtcr & VTCR_EL2_SL0_MASK) >> VTCR_EL2_SL0_SHIFT) + 4 - start_level_base
        self.phys_size = 1 << (64 - (vtcr & VTCR_EL2_T0SZ_MASK))
        self.mmu = kvm_s2_mmu(vmid)
        self.root: kvm_pgtable | None = None
        self.memslots: list[kvm_memory_slot] = []
        # ``mmu_notifier_seq``, for those whose reading it is no sample.
        self.sequence = 0
        self.mmu_notifier_count = 0
        self.manual_dirty_log_protect = 0
        self.created_vcpus = 0
        # What user space asks for by KVM_ENABLE_CAP, in bytes; 0: nothing.
        self.split_page_chunk_size = 0
        self.dirty_ring_size = 0
        self.dirty_ring_with_bitmap = False
        self.on_root: list[Observer] = []
        self.on_sample: list[Observer] = []

    def attach(self, kernel: Kernel) -> None:
        """Send events to the observers of *kernel*."""
        self.on_root = kernel.on.root_linked
        self.on_sample = kernel.on.sample

    @property
    def pgt(self) -> kvm_pgtable | None:
        return self.root

    @pgt.setter
    def pgt(self, pgt: kvm_pgtable | None) -> None:
        if pgt is self.root:
            return
        self.root = pgt
        for o in self.on_root:
            o.root_linked(self.mmu.vmid, pgt is not None)

    @property
    def mmu_notifier_seq(self) -> int:
        for o in self.on_sample:
            o.sample(self.sequence)
        return self.sequence

    @mmu_notifier_seq.setter
    def mmu_notifier_seq(self, sequence: int) -> None:
        self.sequence = sequence


class kvm_vcpu:
    """``struct kvm_vcpu``: memory cache, syndrome of the last exit, trap bits.

    *cache_enabled* is what SCTLR_EL1.{M,C} say. Without FWB the cache controls
    are trapped from reset on (``vcpu_reset_hcr()``). *has_run_once*: it has entered the guest (``KVM_RUN``).
    """

    def __init__(self, kvm: kvm, vcpu_id: int, fwb: bool) -> None:
        self.kvm = kvm
        self.vcpu_id = vcpu_id
        self.mmu_page_cache = kvm_mmu_memory_cache()
        self.esr = 0
        self.hfar = 0
        self.fault_ipa = 0
        self.hcr = 0 if fwb else HCR_TVM
        self.cache_enabled = False
        self.skipped_instruction = False
        self.has_run_once = False


def kvm_vcpu_trap_get_fault_type(vcpu: kvm_vcpu) -> int:
    return vcpu.esr & ESR_ELx_FSC_TYPE


def kvm_vcpu_trap_get_fault_level(vcpu: kvm_vcpu) -> int:
    return vcpu.esr & ESR_ELx_FSC_LEVEL


def kvm_vcpu_trap_is_iabt(vcpu: kvm_vcpu) -> bool:
    return vcpu.esr >> ESR_ELx_EC_SHIFT == ESR_ELx_EC_IABT_LOW


def kvm_vcpu_abt_iss1tw(vcpu: kvm_vcpu) -> bool:
    return vcpu.esr & ESR_ELx_S1PTW != 0


def kvm_vcpu_trap_is_exec_fault(vcpu: kvm_vcpu) -> bool:
    return kvm_vcpu_trap_is_iabt(vcpu) and not kvm_vcpu_abt_iss1tw(vcpu)


def kvm_vcpu_dabt_is_cm(vcpu: kvm_vcpu) -> bool:
    return vcpu.esr & ESR_ELx_CM != 0


def kvm_vcpu_abt_issea(vcpu: kvm_vcpu) -> bool:
    return vcpu.esr & ESR_ELx_FSC in FSC_SEA


def kvm_is_write_fault(vcpu: kvm_vcpu) -> bool:
    if kvm_vcpu_abt_iss1tw(vcpu):
        return True

    if kvm_vcpu_trap_is_iabt(vcpu):
        return False

    return vcpu.esr & ESR_ELx_WNR != 0


def kvm_is_error_hva(hva: int) -> bool:
    return hva < 0


def is_error_noslot_pfn(pfn: int) -> bool:
    return pfn < 0


def memslot_is_readonly(slot: kvm_memory_slot) -> bool:
    return slot.flags & KVM_MEM_READONLY != 0


def first_bitmap(kvm: kvm, npages: int) -> list[int]:
    """Return a dirty bitmap as it is made, 64 pages a word: all dirty where the VM was set up so (``bitmap_set()``)."""
    if not kvm.manual_dirty_log_protect & KVM_DIRTY_LOG_INITIALLY_SET:
        return [0] * ((npages + 63) >> 6)
    bitmap = [(1 << 64) - 1] * (npages >> 6)
    if npages & 63:
        bitmap.append((1 << (npages & 63)) - 1)
    return bitmap


@mypyc_attr(allow_interpreted_subclasses=True)
class KvmHost:
    """The functions that mmu.c calls: of kvm_main.c, of the host's memory management and of fault injection.

    :param kernel: events, locks, pages
    :param mm: ``current->mm``
    """

    def __init__(self, kernel: Kernel, mm: AddressSpace) -> None:
        self.k = kernel
        self.mm = mm
        self.PAGE_SHIFT = kernel.granule.page_shift
        # References that fault handlers took on frames and did not give back.
        self.pins: dict[int, int] = {}

    def find_vma(self, hva: int) -> Vma | None:
        vma = self.mm.find_vma(hva)
        for o in self.k.on.vma:
            o.vma(hva, vma.start if vma else -1, vma.end if vma else -1)
        return vma

    def find_vma_intersection(self, start: int, end: int) -> Vma | None:
        vma = self.find_vma(start)
        if vma and end <= vma.start:
            return None
        return vma

    def gfn_to_memslot(self, kvm: kvm, gfn: int) -> kvm_memory_slot | None:
        for slot in kvm.memslots:
            if slot.base_gfn <= gfn < slot.base_gfn + slot.npages:
                return slot
        return None

    def id_to_memslot(self, kvm: kvm, id: int) -> kvm_memory_slot | None:
        for slot in kvm.memslots:
            if slot.id == id:
                return slot
        return None

    def __gfn_to_hva_many__(self, slot: kvm_memory_slot | None, gfn: int, write: bool) -> int:
        if slot is None or slot.flags & KVM_MEMSLOT_INVALID:
            return KVM_HVA_ERR_BAD

        if memslot_is_readonly(slot) and write:
            return KVM_HVA_ERR_RO_BAD

        return slot.userspace_addr + ((gfn - slot.base_gfn) << self.PAGE_SHIFT)

    def gfn_to_hva_memslot_prot(self, slot: kvm_memory_slot | None, gfn: int) -> tuple[int, bool]:
        """:returns: the address, and whether the slot may be written"""
        hva = self.__gfn_to_hva_many__(slot, gfn, False)
        writable = False
        if slot is not None and not kvm_is_error_hva(hva):
            writable = not memslot_is_readonly(slot)

        return hva, writable

    def hva_to_gfn_memslot(self, hva: int, slot: kvm_memory_slot) -> int:
        return slot.base_gfn + ((hva - slot.userspace_addr) >> self.PAGE_SHIFT)

    def gfn_to_pfn_prot(self, kvm: kvm, gfn: int, write_fault: bool) -> tuple[int, bool]:
        """Look up and pin the frame of *gfn*; a write breaks copy-on-write.

        :returns: frame or a KVM_PFN error, and whether it may be mapped writable
        """
        self.k.reached("lookup")
        slot = self.gfn_to_memslot(kvm, gfn)
        addr = self.__gfn_to_hva_many__(slot, gfn, write_fault)
        writable = False
        if slot is None or kvm_is_error_hva(addr):
            pfn = KVM_PFN_ERR_RO_FAULT if addr == KVM_HVA_ERR_RO_BAD else KVM_PFN_NOSLOT
        else:
            pfn, writable = self.hva_to_pfn(addr, write_fault)
            writable = writable and not memslot_is_readonly(slot)
        for o in self.k.on.gfn_to_pfn:
            o.gfn_to_pfn(gfn, pfn, write_fault, writable)
        self.k.passed("lookup")
        return pfn, writable

    def hva_to_pfn(self, addr: int, write_fault: bool) -> tuple[int, bool]:
        mm = self.mm
        run = mm.run_at(addr)
        if run is None or run.flags & (ABSENT | DEVICE | POISON) or not run.flags & WRITABLE:
            if write_fault and mm.is_protected(addr):
                # check_vma_flags()
                return KVM_PFN_ERR_FAULT, False
            run = self.hva_to_pfn_slow(addr, write_fault)
        if run is not None and run.flags & POISON:
            return KVM_PFN_ERR_HWPOISON, False
        if run is None or run.flags & ABSENT or (write_fault and not run.flags & WRITABLE):
            return KVM_PFN_ERR_FAULT, False

        pfn = mm.pfn_in(run, addr)
        if not run.flags & DEVICE:
            self.pins[pfn] = self.pins.get(pfn, 0) + 1
            mm.hold(pfn)
            for o in self.k.on.pin:
                o.pin(pfn)
        return pfn, run.flags & WRITABLE != 0

    def hva_to_pfn_slow(self, addr: int, write_fault: bool) -> PageRun | None:
        """``get_user_pages_unlocked()``: the page that the host has, or makes now; it holds the mmap lock meanwhile."""
        mm = self.mm
        steps = self.k.steps
        if steps is not None:
            steps.take("mmap", 0, False)
        run = mm.run_at(addr)
        for _ in range(ATTEMPTS):
            if run is not None and run.flags & POISON:
                break
            if run is None or run.flags & ABSENT:
                mm.populate(addr, write_fault)
                run = mm.run_at(addr)
            if run is None or not write_fault or run.flags & (ABSENT | WRITABLE | DEVICE):
                break
            mm.break_cow(addr)
            # Other actors may have come between, and taken the page away.
            run = mm.run_at(addr)
        if steps is not None:
            steps.drop("mmap", 0)
        return run

    def pfn_valid(self, pfn: int) -> bool:
        """``pfn_valid()``: whether the host has a page structure for it."""
        return not self.mm.is_device(pfn)

    def kvm_is_transparent_hugepage(self, pfn: int) -> bool:
        yes = self.mm.frame_has(pfn, THP)
        for o in self.k.on.thp:
            o.thp(pfn, yes)
        return yes

    def kvm_get_pfn(self, pfn: int) -> None:
        if self.pfn_valid(pfn):
            self.pins[pfn] = self.pins.get(pfn, 0) + 1
            self.mm.hold(pfn)
            for o in self.k.on.get_pfn:
                o.get_pfn(pfn)

    def kvm_release_pfn_clean(self, pfn: int) -> None:
        if not is_error_noslot_pfn(pfn) and self.pfn_valid(pfn):
            left = self.pins.get(pfn, 0) - 1
            if left:
                self.pins[pfn] = left
            else:
                del self.pins[pfn]
            self.mm.let_go(pfn)
            for o in self.k.on.release:
                o.release(pfn)

    def kvm_set_pfn_accessed(self, pfn: int) -> None:
        if self.pfn_valid(pfn):
            for o in self.k.on.set_accessed:
                o.set_accessed(pfn)

    def kvm_set_pfn_dirty(self, pfn: int) -> None:
        if self.pfn_valid(pfn):
            for o in self.k.on.set_dirty:
                o.set_dirty(pfn)

    def mark_page_dirty(self, kvm: kvm, gfn: int) -> None:
        slot = self.gfn_to_memslot(kvm, gfn)
        if slot is None:
            return
        logged = slot.dirty_bitmap is not None
        if slot.dirty_bitmap is not None:
            rel_gfn = gfn - slot.base_gfn
            slot.dirty_bitmap[rel_gfn >> 6] |= 1 << (rel_gfn & 63)
        for o in self.k.on.mark_page_dirty:
            o.mark_page_dirty(gfn, slot.id, logged)

    def smp_rmb(self) -> None:
        for o in self.k.on.rmb:
            o.rmb()

    def mmu_notifier_retry(self, kvm: kvm, mmu_seq: int) -> bool:
        result = kvm.mmu_notifier_count != 0 or kvm.sequence != mmu_seq
        for o in self.k.on.retry:
            o.retry(mmu_seq, kvm.sequence, kvm.mmu_notifier_count, result)
        return result

    def kvm_err(self) -> None:
        for o in self.k.on.kvm_err:
            o.kvm_err()

    def send_sig_mceerr(self, address: int, lsb: int) -> None:
        for o in self.k.on.sigbus:
            o.sigbus(address, lsb)

    def kvm_handle_guest_sea(self, fault_ipa: int) -> int:
        """:returns: an error, as where the firmware has nothing to say"""
        for o in self.k.on.sea:
            o.sea(fault_ipa)
        return 1

    def inject(self, what: str, address: int) -> None:
        """``kvm_inject_dabt()``, ``_pabt()``, ``_vabt()``"""
        for o in self.k.on.inject:
            o.inject(what, address)

    def io_mem_abort(self, fault_ipa: int) -> int:
        """An emulated device access; it always succeeds."""
        for o in self.k.on.io:
            o.io(fault_ipa)
        return 1
