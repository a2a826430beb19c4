# SPDX-License-Identifier: GPL-2.0-only
# Derived from Linux 5.12: include/linux/kvm_host.h, arch/arm64/include/asm/kvm_host.h.
"""The structures of a VM: ``struct kvm``, its memory slots, its vCPUs."""

from typing import Final

from .events import Observer
from .kernel import Kernel
from .pgtable import VTCR_EL2_SL0_MASK, VTCR_EL2_SL0_SHIFT, VTCR_EL2_T0SZ_MASK, kvm_pgtable
from .services.structs import kvm_mmu_memory_cache, kvm_s2_mmu

KVM_MEM_LOG_DIRTY_PAGES: Final = 1 << 0
KVM_MEM_READONLY: Final = 1 << 1
KVM_MEM_GUEST_MEMFD: Final = 1 << 2
KVM_MEMSLOT_INVALID: Final = 1 << 16

KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE: Final = 1 << 0
KVM_DIRTY_LOG_INITIALLY_SET: Final = 1 << 1

HCR_TVM: Final = 1 << 26


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
    does each by a plain access.

    :param vtcr: VTCR_EL2 of the guest
    :param start_level_base: VTCR_EL2_TGRAN_SL0_BASE of the granule
    """

    def __init__(self, vtcr: int, start_level_base: int, vmid: int = 1) -> None:
        self.vtcr = vtcr
        # The value that the code of a tree composed; 0: none has.
        self.composed_vtcr = 0
        # ``pgd_phys``, the base address in VTTBR_EL2, as the code of a tree set it; -1: none has.
        self.pgd_phys = -1
        self.levels = ((vtcr & VTCR_EL2_SL0_MASK) >> VTCR_EL2_SL0_SHIFT) + 4 - start_level_base
        self.phys_size = 1 << (64 - (vtcr & VTCR_EL2_T0SZ_MASK))
        self.mmu = kvm_s2_mmu(vmid)
        self.root: kvm_pgtable | None = None
        # The one of ``kvm->arch.nested_mmus`` that vCPUs at EL1 use; None: no vCPU has EL2.
        self.nested_mmu: kvm_s2_mmu | None = None
        self.memslots: list[kvm_memory_slot] = []
        # ``mmu_notifier_seq``, for readers whose read must not count as a sample.
        self.sequence = 0
        self.mmu_notifier_count = 0
        # ``mn_active_invalidate_count`` (v5.14) when the count or the sequence last changed; -1: the version has none.
        self.active_notifiers = -1
        self.manual_dirty_log_protect = 0
        self.created_vcpus = 0
        # Sizes that user space requested by KVM_ENABLE_CAP, in bytes; 0: none.
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

    *cache_enabled* reflects SCTLR_EL1.{M,C}. Without FWB the cache controls
    are trapped from reset on (``vcpu_reset_hcr()``). *has_run_once*: it has entered the guest (``KVM_RUN``).
    *memory_fault*: guest address and size in bytes that the last exit reports (KVM_EXIT_MEMORY_FAULT)
    """

    def __init__(self, kvm: kvm, vcpu_id: int, fwb: bool) -> None:
        self.kvm = kvm
        self.vcpu_id = vcpu_id
        self.mmu_page_cache = kvm_mmu_memory_cache("mmu_page_cache")
        self.esr = 0
        self.hfar = 0
        self.fault_ipa = 0
        self.hcr = 0 if fwb else HCR_TVM
        self.cache_enabled = False
        self.skipped_instruction = False
        self.has_run_once = False
        self.memory_fault: tuple[int, int] | None = None


def memslot_is_readonly(slot: kvm_memory_slot) -> bool:
    return slot.flags & KVM_MEM_READONLY != 0


def first_bitmap(kvm: kvm, npages: int) -> list[int]:
    """Return a new dirty bitmap, 64 pages a word: all dirty if the VM was configured so (``bitmap_set()``)."""
    if not kvm.manual_dirty_log_protect & KVM_DIRTY_LOG_INITIALLY_SET:
        return [0] * ((npages + 63) >> 6)
    bitmap = [(1 << 64) - 1] * (npages >> 6)
    if npages & 63:
        bitmap.append((1 << (npages & 63)) - 1)
    return bitmap
