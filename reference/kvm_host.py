# SPDX-License-Identifier: GPL-2.0-only
# Derived from Linux 5.12: include/linux/kvm_host.h, virt/kvm/kvm_main.c.
"""The functions below mmu.c that query the host: slots, frame look-up, dirty marks."""

from typing import Final

from .compiled.annotations import mypyc_attr
from .kernel import Kernel
from .kvm import KVM_MEMSLOT_INVALID, kvm, kvm_memory_slot, memslot_is_readonly
from .machine.address_space import ABSENT, DEVICE, POISON, THP, WRITABLE, AddressSpace, PageRun, Vma

KVM_HVA_ERR_BAD: Final = -1
KVM_HVA_ERR_RO_BAD: Final = -2

KVM_PFN_ERR_HWPOISON: Final = -1
KVM_PFN_ERR_FAULT: Final = -2
KVM_PFN_ERR_RO_FAULT: Final = -3
KVM_PFN_NOSLOT: Final = -4

# Tries to get a writable page while other actors take it away again.
ATTEMPTS: Final = 8


def kvm_is_error_hva(hva: int) -> bool:
    return hva < 0


def is_error_noslot_pfn(pfn: int) -> bool:
    return pfn < 0


@mypyc_attr(allow_interpreted_subclasses=True)
class KvmHost:
    """The functions that mmu.c calls from kvm_main.c, the host's memory management and fault injection.

    :param kernel: events, locks, pages
    :param mm: ``current->mm``
    """

    def __init__(self, kernel: Kernel, mm: AddressSpace) -> None:
        self.k = kernel
        self.mm = mm
        self.PAGE_SHIFT = kernel.granule.page_shift
        # References that fault handlers took on frames and have not dropped.
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
        """Return the host address, and whether the slot may be written."""
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
        """``get_user_pages_unlocked()``: return the host's page, created if needed; holds the mmap lock meanwhile."""
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
            # Other actors may have run in between and taken the page away.
            run = mm.run_at(addr)
        if steps is not None:
            steps.drop("mmap", 0)
        return run

    def pfn_valid(self, pfn: int) -> bool:
        """``pfn_valid()``: return whether the host has a page structure for the frame."""
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
            self.mm.drop_hold(pfn)
            for o in self.k.on.release:
                o.release(pfn)

    def mte_clear_page_tags(self, pfn: int, flagged: bool) -> None:
        """Report ``mte_clear_page_tags()`` of a frame; *flagged*: its page already has PG_mte_tagged."""
        for o in self.k.on.tags_cleared:
            o.tags_cleared(pfn, flagged)

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
        """Return an error, as if the firmware had reported nothing."""
        for o in self.k.on.sea:
            o.sea(fault_ipa)
        return 1

    def inject(self, what: str, address: int) -> None:
        """``kvm_inject_dabt()``, ``_pabt()``, ``_vabt()``"""
        for o in self.k.on.inject:
            o.inject(what, address)

    def io_mem_abort(self, fault_ipa: int) -> int:
        """Emulate a device access; always succeeds."""
        for o in self.k.on.io:
            o.io(fault_ipa)
        return 1
