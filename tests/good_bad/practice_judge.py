# SPDX-License-Identifier: GPL-2.0-only
"""Versions on which the judge was once wrong, and more of their kinds: what excuses, what counts, what is allowed."""

from typing import ClassVar

from candidate.v5_14 import MmuV5_14, PgtableV5_14
from reference.kernel import kvm_s2_mmu
from reference.kvm_host import (
    FSC_FAULT,
    FSC_PERM,
    HCR_TVM,
    kvm,
    kvm_is_write_fault,
    kvm_memory_slot,
    kvm_vcpu,
    kvm_vcpu_trap_is_exec_fault,
)
from reference.mmu import Mmu
from reference.pgtable import (
    KVM_PGTABLE_PROT_DEVICE,
    KVM_PGTABLE_PROT_X,
    KVM_PGTABLE_WALK_LEAF,
    KVM_PTE_VALID,
    Pgtable,
    kvm_pgtable,
    kvm_pgtable_walker,
    stage2_map_data,
)


class ExecNoFlush(PgtableV5_14):
    """Everything but devices is mapped executable (right); nothing that is unmapped is flushed (fatal)."""

    def stage2_put_pte(self, ptep: int, mmu: kvm_s2_mmu, addr: int, level: int) -> None:
        if self.kvm_pte_valid(self.mem[ptep]):
            self.kvm_clear_pte(ptep)
        self.k.put_page(self.k.virt_to_page(ptep))

    def stage2_map_set_prot_attr(self, prot: int, data: stage2_map_data) -> int:
        return super().stage2_map_set_prot_attr(
            prot if prot & KVM_PGTABLE_PROT_DEVICE else prot | KVM_PGTABLE_PROT_X, data
        )


class FreesTablesEarly(Pgtable):
    """Wrong: the table under an entry that stays is freed as soon as it is empty."""

    def stage2_unmap_walker(self, addr: int, end: int, level: int, ptep: int, flag: int, arg: kvm_s2_mmu) -> int:
        pte = self.mem[ptep]
        if self.kvm_pte_table(pte, level) and self.k.page_count(self.k.virt_to_page(self.kvm_pte_follow(pte))) == 1:
            self.k.free_page(self.kvm_pte_follow(pte))
            return 0
        return super().stage2_unmap_walker(addr, end, level, ptep, flag, arg)


class SetWayInvalidates(PgtableV5_14):
    """Right: a set/way operation clears VALID everywhere and flushes; the next fault cleans and restores."""

    def invalidate_walker(self, addr: int, end: int, level: int, ptep: int, flag: int, arg: None) -> int:
        pte = self.mem[ptep]
        if pte & KVM_PTE_VALID:
            self.k.WRITE_ONCE(ptep, pte & ~KVM_PTE_VALID)
        return 0

    def invalidate_all(self, pgt: kvm_pgtable) -> None:
        walker = kvm_pgtable_walker(self.invalidate_walker, KVM_PGTABLE_WALK_LEAF)
        self.kvm_pgtable_walk(pgt, 0, 1 << pgt.ia_bits, walker)
        self.k.__kvm_tlb_flush_vmid__(pgt.mmu)

    def resolve_walker(self, addr: int, end: int, level: int, ptep: int, flag: int, arg: list[int]) -> int:
        pte = self.mem[ptep]
        if pte and not pte & KVM_PTE_VALID:
            self.stage2_flush_dcache(self.kvm_pte_follow(pte), self.kvm_granule_size(level))
            if self.stage2_pte_executable(pte):
                self.invalidate_icache_guest_page(self.kvm_pte_follow(pte), self.kvm_granule_size(level))
            self.k.smp_store_release(ptep, pte | KVM_PTE_VALID)
            arg.append(ptep)
        return 0

    def resolve(self, pgt: kvm_pgtable, addr: int) -> bool:
        found: list[int] = []
        walker = kvm_pgtable_walker(self.resolve_walker, KVM_PGTABLE_WALK_LEAF, found)
        self.kvm_pgtable_walk(pgt, addr, 1, walker)
        self.k.dsb("ishst")
        return bool(found)


class SetWayInvalidatesMmu(MmuV5_14):
    def kvm_set_way_flush(self, vcpu: kvm_vcpu) -> None:
        pgt = vcpu.kvm.pgt
        assert pgt is not None
        assert isinstance(self.p, SetWayInvalidates)
        if not vcpu.hcr & HCR_TVM:
            self.k.lock("mmu")
            self.p.invalidate_all(pgt)
            self.k.unlock("mmu")
            vcpu.hcr |= HCR_TVM

    def user_mem_abort(
        self, vcpu: kvm_vcpu, fault_ipa: int, memslot: kvm_memory_slot, hva: int, fault_status: int
    ) -> int:
        pgt = vcpu.kvm.pgt
        assert pgt is not None
        assert isinstance(self.p, SetWayInvalidates)
        if fault_status != FSC_PERM:
            self.k.lock("mmu")
            done = self.p.resolve(pgt, fault_ipa)
            self.k.unlock("mmu")
            if done:
                return 0
        return super().user_mem_abort(vcpu, fault_ipa, memslot, hva, fault_status)


class SetWayUnmaps(Mmu):
    """Right: a set/way operation, or a toggle of the caches, unmaps the guest's memory, which leaves it clean."""

    def stage2_flush_vm(self, kvm: kvm) -> None:
        self.stage2_unmap_vm(kvm)


class MapsNeighbours(MmuV5_14):
    """Right: a read that faults maps the pages behind it as well, each as a fault of its own would.

    That one of those is poisoned is nobody's business yet.
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
    """Wrong: a fault unmaps what lies 4M behind it, in the same slot."""

    def user_mem_abort(
        self, vcpu: kvm_vcpu, fault_ipa: int, memslot: kvm_memory_slot, hva: int, fault_status: int
    ) -> int:
        self.k.lock("mmu")
        self.unmap_stage2_range(vcpu.kvm, fault_ipa + (4 << 20), self.PAGE_SIZE)
        self.k.unlock("mmu")
        return super().user_mem_abort(vcpu, fault_ipa, memslot, hva, fault_status)
