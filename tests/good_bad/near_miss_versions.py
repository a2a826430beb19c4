# SPDX-License-Identifier: GPL-2.0-only
"""The versions of the near misses: each has a bug of its own that resembles a known one."""

from typing import Final

from reference.kvm import kvm, kvm_memory_slot, kvm_vcpu
from reference.kvm_host import KvmHost
from reference.mmu import Mmu
from reference.pgtable import (
    KVM_PGTABLE_WALK_TABLE_POST,
    KVM_PTE_LEAF_ATTR_LO_S2_AF,
    KVM_PTE_VALID,
    Pgtable,
    kvm_pgtable,
    kvm_pgtable_walk_data,
    stage2_map_data,
)
from reference.services.errors import EAGAIN, ENOEXEC
from reference.services.structs import kvm_mmu_memory_cache

UNMAP: Final = 3
ATTR: Final = 4


class LeavesTheLastPage(Pgtable):
    """Ends every range a page early."""

    def kvm_pgtable_stage2_unmap(self, pgt: kvm_pgtable, addr: int, size: int) -> int:
        return super().kvm_pgtable_stage2_unmap(pgt, addr, size - self.PAGE_SIZE)

    def kvm_pgtable_stage2_wrprotect(self, pgt: kvm_pgtable, addr: int, size: int) -> int:
        return super().kvm_pgtable_stage2_wrprotect(pgt, addr, size - self.PAGE_SIZE)

    def kvm_pgtable_stage2_flush(self, pgt: kvm_pgtable, addr: int, size: int) -> int:
        return super().kvm_pgtable_stage2_flush(pgt, addr, size - self.PAGE_SIZE)


class AbortsToUserSpace(KvmHost):
    """Exits to user space instead of injecting an abort."""

    def inject(self, what: str, address: int) -> None:
        self.io_mem_abort(address)


class EmulatesAborts(Mmu):
    def set_up(self, host: KvmHost, pgtable: Pgtable) -> None:
        super().set_up(AbortsToUserSpace(host.k, host.mm), pgtable)


class BlocksOverPages(Mmu):
    """Treats a page as part of a huge page although the host maps it as a single page."""

    def transparent_hugepage_adjust(
        self, memslot: kvm_memory_slot, hva: int, pfn: int, ipa: int
    ) -> tuple[int, int, int]:
        if not self.fault_supports_stage2_huge_mapping(memslot, hva, self.PMD_SIZE):
            return self.PAGE_SIZE, pfn, ipa
        self.h.kvm_release_pfn_clean(pfn)
        pfn &= -(self.PMD_SIZE >> self.PAGE_SHIFT)
        self.h.kvm_get_pfn(pfn)
        return self.PMD_SIZE, pfn, ipa & -self.PMD_SIZE


class RelaxMapsTheNextBlock(Pgtable):
    """Also maps the next block, without cleaning it, when it relaxes a block."""

    def kvm_pgtable_stage2_relax_perms(self, pgt: kvm_pgtable, addr: int, prot: int) -> int:
        ret, pte, level = self.stage2_update_leaf_attrs(pgt, addr, 1, 0, 0)
        if not ret and level == 2:
            size = self.kvm_granule_size(level)
            self.kvm_pgtable_stage2_map(pgt, (addr & -size) + size, size, self.kvm_pte_to_phys(pte) + size, 4, None)
        return super().kvm_pgtable_stage2_relax_perms(pgt, addr, prot)


class MapsTheNextFrameFirst(Pgtable):
    """Maps the frame after the given one. Relaxing permissions corrects this, without cleaning the frame."""

    def kvm_pgtable_stage2_map(
        self, pgt: kvm_pgtable, addr: int, size: int, phys: int, prot: int, mc: kvm_mmu_memory_cache | None
    ) -> int:
        return super().kvm_pgtable_stage2_map(pgt, addr, size, phys + self.PAGE_SIZE, prot, mc)

    def kvm_pgtable_stage2_relax_perms(self, pgt: kvm_pgtable, addr: int, prot: int) -> int:
        ret, pte, level = self.stage2_update_leaf_attrs(pgt, addr, 1, 0, 0)
        if ret:
            return ret
        phys = self.kvm_pte_to_phys(pte) - self.PAGE_SIZE
        return super().kvm_pgtable_stage2_map(pgt, addr, self.kvm_granule_size(level), phys, prot, None)


class RelaxesTheNextPageToo(Pgtable):
    """Gives the next page the same permissions."""

    def kvm_pgtable_stage2_relax_perms(self, pgt: kvm_pgtable, addr: int, prot: int) -> int:
        super().kvm_pgtable_stage2_relax_perms(pgt, addr + self.PAGE_SIZE, prot)
        return super().kvm_pgtable_stage2_relax_perms(pgt, addr, prot)


class MapsTheNextPageToo(Pgtable):
    """Also maps the next page, to the same frame."""

    def kvm_pgtable_stage2_map(
        self, pgt: kvm_pgtable, addr: int, size: int, phys: int, prot: int, mc: kvm_mmu_memory_cache | None
    ) -> int:
        super().kvm_pgtable_stage2_map(pgt, addr + size, size, phys, prot, mc)
        return super().kvm_pgtable_stage2_map(pgt, addr, size, phys, prot, mc)


class EmptyTablesUnflushed(Pgtable):
    """Detaches and frees an empty table without a flush."""

    def kvm_pgtable_visitor_cb(self, data: kvm_pgtable_walk_data, addr: int, level: int, ptep: int, flag: int) -> int:
        if data.walker.number != UNMAP or flag != KVM_PGTABLE_WALK_TABLE_POST:
            return super().kvm_pgtable_visitor_cb(data, addr, level, ptep, flag)
        childp = self.kvm_pte_follow(self.mem[ptep])
        if self.k.page_count(self.k.virt_to_page(childp)) == 1:
            self.kvm_set_invalid_pte(ptep)
            self.k.put_page(self.k.virt_to_page(ptep))
            self.k.free_page(childp)
        return 0


class AgesOddSizes(Mmu):
    """Passes each range to the handler without its last page."""

    def kvm_age_hva(self, kvm: kvm, start: int, end: int) -> int:
        return super().kvm_age_hva(kvm, start, end - self.PAGE_SIZE)


class TopsUpNothing(Mmu):
    """Requests no pages for the memory cache."""

    def kvm_mmu_cache_min_pages(self, kvm: kvm) -> int:
        return 0


class NeverMaps(Pgtable):
    """Treats every new leaf as already present."""

    def stage2_map_walker_try_leaf(self, addr: int, end: int, level: int, ptep: int, data: stage2_map_data) -> int:
        return -EAGAIN


class SkipsOddPages(Pgtable):
    """Never clears the access flag of odd pages."""

    def kvm_pgtable_visitor_cb(self, data: kvm_pgtable_walk_data, addr: int, level: int, ptep: int, flag: int) -> int:
        clears = data.walker.number == ATTR and data.walker.arg.attr_clr & KVM_PTE_LEAF_ATTR_LO_S2_AF
        if clears and addr >> self.PAGE_SHIFT & 1:
            return 0
        return super().kvm_pgtable_visitor_cb(data, addr, level, ptep, flag)


class AgesEachPage(Mmu):
    """Maps huge pages by single pages and ages every page of a range, unlike versions with bug A2."""

    def transparent_hugepage_adjust(
        self, memslot: kvm_memory_slot, hva: int, pfn: int, ipa: int
    ) -> tuple[int, int, int]:
        return self.PAGE_SIZE, pfn, ipa

    def kvm_age_hva(self, kvm: kvm, start: int, end: int) -> int:
        young = 0
        for hva in range(start, end, self.PAGE_SIZE):
            young |= super().kvm_age_hva(kvm, hva, hva + self.PAGE_SIZE)
        return young


class RefusesWalks(Mmu):
    """Treats a fault of a stage-1 walk like an instruction fetch from device memory."""

    def user_mem_abort(
        self, vcpu: kvm_vcpu, fault_ipa: int, memslot: kvm_memory_slot, hva: int, fault_status: int
    ) -> int:
        return -ENOEXEC


class MarksAnotherFrame(Pgtable):
    """Creates leaves without the access flag. The access flag fault then marks the next frame."""

    def stage2_map_set_prot_attr(self, prot: int, data: stage2_map_data) -> int:
        ret = super().stage2_map_set_prot_attr(prot, data)
        data.attr &= ~KVM_PTE_LEAF_ATTR_LO_S2_AF
        return ret

    def kvm_pgtable_stage2_mkyoung(self, pgt: kvm_pgtable, addr: int) -> int:
        pte = super().kvm_pgtable_stage2_mkyoung(pgt, addr)
        return pte + self.PAGE_SIZE if pte & KVM_PTE_VALID else pte
