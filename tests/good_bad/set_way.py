# SPDX-License-Identifier: GPL-2.0-only
"""A right design of another hypervisor: a set/way operation invalidates all entries, and faults restore them."""

from typing import Final

from candidate import Candidate
from candidate.v5_14 import MmuV5_14, PgtableV5_14
from reference.kvm import HCR_TVM, kvm_memory_slot, kvm_vcpu
from reference.pgtable import KVM_PGTABLE_WALK_LEAF, KVM_PTE_VALID, kvm_pgtable, kvm_pgtable_walker
from reference.syndrome import FSC_PERM


class SetWayInvalidates(PgtableV5_14):
    """Clears VALID in all entries and flushes. The next fault at an entry cleans its memory and restores VALID."""

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
        self.kvm_pgtable_walk(pgt, addr, 1, kvm_pgtable_walker(self.resolve_walker, KVM_PGTABLE_WALK_LEAF, found))
        self.k.dsb("ishst")
        return bool(found)


class SetWayInvalidatesMmu(MmuV5_14):
    p: SetWayInvalidates

    def kvm_set_way_flush(self, vcpu: kvm_vcpu) -> None:
        if not vcpu.hcr & HCR_TVM:
            pgt = vcpu.kvm.pgt
            assert pgt is not None
            self.k.lock("mmu")
            self.p.invalidate_all(pgt)
            self.k.unlock("mmu")
            vcpu.hcr |= HCR_TVM

    def user_mem_abort(
        self, vcpu: kvm_vcpu, fault_ipa: int, memslot: kvm_memory_slot, hva: int, fault_status: int
    ) -> int:
        if fault_status != FSC_PERM:
            pgt = vcpu.kvm.pgt
            assert pgt is not None
            self.k.lock("mmu")
            done = self.p.resolve(pgt, fault_ipa)
            self.k.unlock("mmu")
            if done:
                return 0
        return super().user_mem_abort(vcpu, fault_ipa, memslot, hva, fault_status)


SETWAY: Final = Candidate("case-setway", SetWayInvalidates, SetWayInvalidatesMmu, "for a test; on v5.14")
