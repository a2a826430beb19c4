# SPDX-License-Identifier: GPL-2.0-only
"""Versions that the judge once judged wrongly, and similar ones. They test excuses, counting and permitted designs."""

from typing import ClassVar

from candidate.v5_14 import MmuV5_14, PgtableV5_14
from reference.kvm import kvm, kvm_memory_slot, kvm_vcpu
from reference.mmu import Mmu
from reference.pgtable import (
    KVM_PGTABLE_PROT_DEVICE,
    KVM_PGTABLE_PROT_X,
    Pgtable,
    stage2_map_data,
)
from reference.services.structs import kvm_s2_mmu
from reference.syndrome import FSC_FAULT, kvm_is_write_fault, kvm_vcpu_trap_is_exec_fault


class ExecNoFlush(PgtableV5_14):
    """Maps everything except devices executable (right), and flushes nothing that it unmaps (fatal)."""

    def stage2_put_pte(self, ptep: int, mmu: kvm_s2_mmu, addr: int, level: int) -> None:
        if self.kvm_pte_valid(self.mem[ptep]):
            self.kvm_clear_pte(ptep)
        self.k.put_page(self.k.virt_to_page(ptep))

    def stage2_map_set_prot_attr(self, prot: int, data: stage2_map_data) -> int:
        return super().stage2_map_set_prot_attr(
            prot if prot & KVM_PGTABLE_PROT_DEVICE else prot | KVM_PGTABLE_PROT_X, data
        )


class FreesTablesEarly(Pgtable):
    """Wrong: frees a table as soon as it is empty, while an entry still refers to it."""

    def stage2_unmap_walker(self, addr: int, end: int, level: int, ptep: int, flag: int, arg: kvm_s2_mmu) -> int:
        pte = self.mem[ptep]
        if self.kvm_pte_table(pte, level) and self.k.page_count(self.k.virt_to_page(self.kvm_pte_follow(pte))) == 1:
            self.k.free_page(self.kvm_pte_follow(pte))
            return 0
        return super().stage2_unmap_walker(addr, end, level, ptep, flag, arg)


class PutsTwice(PgtableV5_14):
    """Wrong: clearing an entry drops two references of its table, so the table is freed with entries in it."""

    def stage2_put_pte(self, ptep: int, mmu: kvm_s2_mmu, addr: int, level: int) -> None:
        super().stage2_put_pte(ptep, mmu, addr, level)
        self.k.put_page(self.k.virt_to_page(ptep))


class SetWayUnmaps(Mmu):
    """Right: a set/way operation or a toggle of the caches unmaps the guest's memory, which cleans it."""

    def stage2_flush_vm(self, kvm: kvm) -> None:
        self.stage2_unmap_vm(kvm)


class MapsNeighbours(MmuV5_14):
    """Right: a read fault also maps the pages after it, each like a fault of its own.

    It sends no signal if one of these pages is poisoned.
    """

    window: ClassVar[int] = 3
    ahead = False

    def kvm_send_hwpoison_signal(self, address: int, lsb: int) -> None:
        if not self.ahead:
            super().kvm_send_hwpoison_signal(address, lsb)

    def user_mem_abort(
        self, vcpu: kvm_vcpu, fault_ipa: int, memslot: kvm_memory_slot, hva: int, fault_status: int
    ) -> int:
        ret = super().user_mem_abort(vcpu, fault_ipa, memslot, hva, fault_status)
        if ret or fault_status != FSC_FAULT or kvm_is_write_fault(vcpu) or kvm_vcpu_trap_is_exec_fault(vcpu):
            return ret
        end = (memslot.base_gfn + memslot.npages) << self.PAGE_SHIFT
        self.ahead = True
        for page in range(1, self.window + 1):
            there = fault_ipa + page * self.PAGE_SIZE
            if there >= end:
                break
            super().user_mem_abort(vcpu, there, memslot, hva + page * self.PAGE_SIZE, fault_status)
        self.ahead = False
        return ret


class DropsAPageBehind(Mmu):
    """Wrong: a fault unmaps the page 4M after it, in the same slot."""

    def user_mem_abort(
        self, vcpu: kvm_vcpu, fault_ipa: int, memslot: kvm_memory_slot, hva: int, fault_status: int
    ) -> int:
        self.k.lock("mmu")
        self.unmap_stage2_range(vcpu.kvm, fault_ipa + (4 << 20), self.PAGE_SIZE)
        self.k.unlock("mmu")
        return super().user_mem_abort(vcpu, fault_ipa, memslot, hva, fault_status)


class MovesWithoutUnmapping(Mmu):
    def kvm_arch_flush_shadow_memslot(self, kvm: kvm, slot: kvm_memory_slot) -> None:
        pass
