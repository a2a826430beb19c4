# SPDX-License-Identifier: GPL-2.0-only
"""Versions that pin, mark or release the frame of a fault in an unusual way, most of them wrongly."""

from typing import ClassVar

from candidate import Candidate
from reference.kvm import kvm, kvm_memory_slot, kvm_vcpu
from reference.kvm_host import KvmHost
from reference.mmu import Mmu
from reference.pgtable import Pgtable

from .case import broken


class Hosted(Mmu):
    """The original's mmu.c with other functions below it."""

    host: ClassVar[type[KvmHost]] = KvmHost

    def __init__(self, host: KvmHost, pgtable: Pgtable) -> None:
        below = self.host(host.k, host.mm)
        below.pins = host.pins
        super().__init__(below, pgtable)


def with_host(host: type[KvmHost]) -> Candidate:
    """Return a candidate that calls *host*'s functions."""
    return broken(mmu=type("Hosted", (Hosted,), {"host": host}))


class NotDirty(KvmHost):
    def kvm_set_pfn_dirty(self, pfn: int) -> None:
        pass


class NotDirtyAfterPermissionFault(KvmHost):
    def kvm_set_pfn_dirty(self, pfn: int) -> None:
        if "permission" not in self.k.cause:
            super().kvm_set_pfn_dirty(pfn)


class DirtyTooLate(KvmHost):
    """Marks the page after its reference is dropped."""

    late = -1

    def kvm_set_pfn_dirty(self, pfn: int) -> None:
        self.late = pfn

    def kvm_release_pfn_clean(self, pfn: int) -> None:
        super().kvm_release_pfn_clean(pfn)
        if self.late >= 0:
            super().kvm_set_pfn_dirty(self.late)


class AccessedTooLate(KvmHost):
    """Marks the page after its reference is dropped."""

    def kvm_set_pfn_accessed(self, pfn: int) -> None:
        pass

    def kvm_release_pfn_clean(self, pfn: int) -> None:
        super().kvm_release_pfn_clean(pfn)
        super().kvm_set_pfn_accessed(pfn)


class MarksWhatTheLockHolds(KvmHost):
    """Drops the reference, then marks the page. Freeing the page would have to wait for the mmu lock."""

    def kvm_set_pfn_dirty(self, pfn: int) -> None:
        super().kvm_release_pfn_clean(pfn)
        super().kvm_set_pfn_dirty(pfn)
        super().kvm_set_pfn_accessed(pfn)

    def kvm_set_pfn_accessed(self, pfn: int) -> None:
        pass

    def kvm_release_pfn_clean(self, pfn: int) -> None:
        pass


class NotAccessed(KvmHost):
    def kvm_set_pfn_accessed(self, pfn: int) -> None:
        pass


class NotAccessedAfterAgeing(KvmHost):
    def kvm_set_pfn_accessed(self, pfn: int) -> None:
        if "access flag" not in self.k.cause:
            super().kvm_set_pfn_accessed(pfn)


class AccessedNextFrame(KvmHost):
    """Marks the next frame."""

    def kvm_set_pfn_accessed(self, pfn: int) -> None:
        super().kvm_set_pfn_accessed(pfn + 1)


class MarksUnderTheLock(Mmu):
    def handle_access_fault(self, vcpu: kvm_vcpu, fault_ipa: int) -> None:
        self.k.lock("mmu")
        pgt = vcpu.kvm.pgt
        assert pgt is not None
        kpte = self.p.kvm_pgtable_stage2_mkyoung(pgt, fault_ipa)
        if self.p.kvm_pte_valid(kpte):
            self.h.kvm_set_pfn_accessed(self.p.kvm_pte_to_phys(kpte) >> self.PAGE_SHIFT)
        self.k.unlock("mmu")


class PinTwice(KvmHost):
    def gfn_to_pfn_prot(self, kvm: kvm, gfn: int, write_fault: bool) -> tuple[int, bool]:
        pfn, writable = super().gfn_to_pfn_prot(kvm, gfn, write_fault)
        self.kvm_get_pfn(pfn)
        return pfn, writable


class KeepAfterPermissionFault(KvmHost):
    def kvm_release_pfn_clean(self, pfn: int) -> None:
        if "permission" not in self.k.cause:
            super().kvm_release_pfn_clean(pfn)


class KeepOnRetry(Mmu):
    """Keeps the frame if a notifier ran in between. The guest then faults again, which pins another frame."""

    def user_mem_abort(
        self, vcpu: kvm_vcpu, fault_ipa: int, memslot: kvm_memory_slot, hva: int, fault_status: int
    ) -> int:
        before = vcpu.kvm.mmu_notifier_seq
        ret = super().user_mem_abort(vcpu, fault_ipa, memslot, hva, fault_status)
        if vcpu.kvm.mmu_notifier_seq != before:
            run = self.h.mm.run_at(hva)
            assert run is not None
            self.retried(self.h.mm.pfn_in(run, hva))
        return ret

    def retried(self, pfn: int) -> None:
        self.h.kvm_get_pfn(pfn)


class DirtyOnRetry(KeepOnRetry):
    """Marks the frame dirty if a notifier ran in between and took it away."""

    def retried(self, pfn: int) -> None:
        super().retried(pfn)
        self.h.kvm_set_pfn_dirty(pfn)
        self.h.kvm_release_pfn_clean(pfn)


class DirtyIfMapped(KvmHost):
    """Marks each page dirty that a fault maps, also without the right to write."""

    def kvm_set_pfn_accessed(self, pfn: int) -> None:
        super().kvm_set_pfn_accessed(pfn)
        if "translation" in self.k.cause:
            self.kvm_set_pfn_dirty(pfn)


class KeepTail(Mmu):
    """Pins the head of a huge page without releasing the tail."""

    def transparent_hugepage_adjust(
        self, memslot: kvm_memory_slot, hva: int, pfn: int, ipa: int
    ) -> tuple[int, int, int]:
        size, head, start = super().transparent_hugepage_adjust(memslot, hva, pfn, ipa)
        if size != self.PAGE_SIZE:
            self.h.kvm_get_pfn(pfn)
        return size, head, start


class TailOnly(Mmu):
    """Releases the head of a huge page although the pin stays on the tail."""

    def transparent_hugepage_adjust(
        self, memslot: kvm_memory_slot, hva: int, pfn: int, ipa: int
    ) -> tuple[int, int, int]:
        size, head, start = super().transparent_hugepage_adjust(memslot, hva, pfn, ipa)
        if size != self.PAGE_SIZE:
            self.h.kvm_release_pfn_clean(head)
            self.h.kvm_get_pfn(pfn)
        return size, head, start


class ReleaseTwice(KvmHost):
    def kvm_release_pfn_clean(self, pfn: int) -> None:
        super().kvm_release_pfn_clean(pfn)
        if "translation" in self.k.cause:
            super().kvm_release_pfn_clean(pfn)


class ReleaseAtOnce(KvmHost):
    """Drops the reference as soon as the frame is known."""

    early = -1

    def gfn_to_pfn_prot(self, kvm: kvm, gfn: int, write_fault: bool) -> tuple[int, bool]:
        pfn, writable = super().gfn_to_pfn_prot(kvm, gfn, write_fault)
        super().kvm_release_pfn_clean(pfn)
        return pfn, writable

    def kvm_release_pfn_clean(self, pfn: int) -> None:
        pass


class PinInNotifier(Mmu):
    """Takes a reference in ``change_pte`` that is never dropped."""

    def kvm_set_spte_hva(self, kvm: kvm, hva: int, pfn: int) -> int:
        self.h.kvm_get_pfn(pfn)
        return super().kvm_set_spte_hva(kvm, hva, pfn)
