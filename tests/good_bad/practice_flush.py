# SPDX-License-Identifier: GPL-2.0-only
# Derived from Linux: arch/arm64/kvm/hyp/pgtable.c.
"""Versions from practice that flush TLBs differently from the original: right and wrong designs."""

from typing import ClassVar, Final

from reference.capabilities import ARM64_HAS_TLB_RANGE
from reference.mmu import Mmu
from reference.pgtable import (
    KVM_PTE_LEAF_ATTR_LO_S2_AF,
    KVM_PTE_TYPE,
    NULL,
    Pgtable,
    stage2_map_data,
)
from reference.services.structs import kvm_s2_mmu

from . import practice_unmap as unmap
from .case import broken


class CollapseFlushesOneAddress(Pgtable):
    """Wrong: flushes one address instead of the whole VMID when a block replaces a table."""

    def flush_for_block(self, addr: int, level: int, pte: int, mmu: kvm_s2_mmu) -> None:
        self.k.__kvm_tlb_flush_vmid_ipa__(mmu, addr, 0)

    def stage2_map_walk_table_pre(self, addr: int, end: int, level: int, ptep: int, data: stage2_map_data) -> int:
        if data.anchor != NULL or not self.kvm_block_mapping_supported(addr, end, data.phys, level):
            return 0
        pte = self.mem[ptep]
        self.kvm_set_invalid_pte(ptep)
        self.flush_for_block(addr, level, pte, data.mmu)
        data.anchor = ptep
        return 0


class CollapseFlushesPages(CollapseFlushesOneAddress):
    """Right: flushes each leaf of the table, and each empty table, by address."""

    # Number of leaves at the end that are not flushed.
    left_out: ClassVar[int] = 0
    hint = False

    def leaves_below(self, addr: int, level: int, pte: int) -> list[tuple[int, int]]:
        """Return (level, address) of the leaves below a table entry, and of empty tables with level 0."""
        found: list[tuple[int, int]] = []
        granule = self.kvm_granule_size(level + 1)
        childp = self.kvm_pte_follow(pte)
        for index in range(self.PTRS_PER_PTE):
            entry = self.mem[childp + index]
            if self.kvm_pte_valid(entry):
                below = addr + index * granule
                if self.kvm_pte_table(entry, level + 1):
                    found += self.leaves_below(below, level + 1, entry)
                else:
                    found.append((level + 1, below))
        return found or [(0, addr)]

    def flush_for_block(self, addr: int, level: int, pte: int, mmu: kvm_s2_mmu) -> None:
        leaves = self.leaves_below(addr, level, pte)
        for at, ipa in leaves[: len(leaves) - self.left_out]:
            self.k.__kvm_tlb_flush_vmid_ipa__(mmu, ipa, at if self.hint else 0)


class CollapseFlushesPagesWithHint(CollapseFlushesPages):
    """Right: each flush names the leaf's level."""

    hint = True


class CollapseForgetsAPage(CollapseFlushesPages):
    """Wrong: the last leaf is not flushed."""

    left_out = 1


class CollapseFlushesRange(CollapseFlushesOneAddress):
    """Right: flushes the whole block as a range if the CPU can."""

    def flush_for_block(self, addr: int, level: int, pte: int, mmu: kvm_s2_mmu) -> None:
        if self.k.cpus_have_const_cap(ARM64_HAS_TLB_RANGE):
            pages = self.kvm_granule_size(level) // self.PAGE_SIZE
            unmap.flush_range(self.k, mmu, addr, pages)
        else:
            self.k.__kvm_tlb_flush_vmid__(mmu)


class CollapseAfterResched(CollapseFlushesOneAddress):
    """Wrong: the lock may be dropped between a table's break and its flush."""

    def flush_for_block(self, addr: int, level: int, pte: int, mmu: kvm_s2_mmu) -> None:
        self.k.cond_resched_lock()
        self.k.__kvm_tlb_flush_vmid__(mmu)


class CollapseAges(CollapseFlushesOneAddress):
    """Right: clears the access flags of a detached table's leaves after the flush."""

    early = False

    def age(self, pte: int, level: int) -> None:
        childp = self.kvm_pte_follow(pte)
        for index in range(self.PTRS_PER_PTE):
            entry = self.mem[childp + index]
            if self.kvm_pte_table(entry, level + 1):
                self.age(entry, level + 1)
            elif self.kvm_pte_valid(entry):
                # The entry stays valid: the walk that follows puts one reference for each valid entry.
                self.k.WRITE_ONCE(childp + index, entry & ~KVM_PTE_LEAF_ATTR_LO_S2_AF)

    def flush_for_block(self, addr: int, level: int, pte: int, mmu: kvm_s2_mmu) -> None:
        if self.early:
            self.age(pte, level)
        self.k.__kvm_tlb_flush_vmid__(mmu)
        if not self.early:
            self.age(pte, level)


class CollapseAgesEarly(CollapseAges):
    """Wrong: clears the access flags before the flush."""

    early = True


class InOrder(Pgtable):
    """stage2_unmap_walker with its steps in another order. Derived classes replace `flush` or `clean`."""

    def flush(self, mmu: kvm_s2_mmu, addr: int, level: int, pte: int, childp: int) -> None:
        self.k.__kvm_tlb_flush_vmid_ipa__(mmu, addr, level)

    def stage2_unmap_walker(self, addr: int, end: int, level: int, ptep: int, flag: int, arg: kvm_s2_mmu) -> int:
        pte = self.mem[ptep]
        if not self.kvm_pte_valid(pte):
            return 0
        childp = self.kvm_pte_follow(pte) if self.kvm_pte_table(pte, level) else NULL
        if childp != NULL and self.k.page_count(self.k.virt_to_page(childp)) != 1:
            return 0
        self.kvm_set_invalid_pte(ptep)
        self.flush(arg, addr, level, pte, childp)
        self.k.put_page(self.k.virt_to_page(ptep))
        if childp != NULL:
            self.k.free_page(childp)
        elif self.stage2_pte_cacheable(pte):
            self.clean(pte, level)
        return 0

    def clean(self, pte: int, level: int) -> None:
        self.stage2_flush_dcache(self.kvm_pte_follow(pte), self.kvm_granule_size(level))


class FlushWithoutLock(InOrder):
    """Wrong: the mmu lock is dropped around the flush."""

    def flush(self, mmu: kvm_s2_mmu, addr: int, level: int, pte: int, childp: int) -> None:
        self.k.unlock("mmu")
        self.k.__kvm_tlb_flush_vmid_ipa__(mmu, addr, level)
        self.k.lock("mmu")


class StoreIntoDetachedTable(InOrder):
    """Wrong: writes to a detached table before the flush, while the hardware may still walk it."""

    def flush(self, mmu: kvm_s2_mmu, addr: int, level: int, pte: int, childp: int) -> None:
        if childp != NULL:
            self.k.WRITE_ONCE(childp, 0)
            self.k.WRITE_ONCE(childp + 8, 0x1000 | 0x7C3)
        self.k.__kvm_tlb_flush_vmid_ipa__(mmu, addr, level)


class CleanFirst(InOrder):
    """Wrong: a leaf is cleaned between its break and its flush."""

    def flush(self, mmu: kvm_s2_mmu, addr: int, level: int, pte: int, childp: int) -> None:
        if childp == NULL and self.stage2_pte_cacheable(pte):
            super().clean(pte, level)
        self.k.__kvm_tlb_flush_vmid_ipa__(mmu, addr, level)

    def clean(self, pte: int, level: int) -> None:
        pass


class CleanBeforeBreak(InOrder):
    """Wrong: a leaf is cleaned before it is broken."""

    def kvm_set_invalid_pte(self, ptep: int) -> None:
        pte = self.mem[ptep]
        level = 2 if not pte & KVM_PTE_TYPE else 3
        if not self.k.arena.holds(self.kvm_pte_to_phys(pte)):
            super().clean(pte, level)
        super().kvm_set_invalid_pte(ptep)

    def clean(self, pte: int, level: int) -> None:
        pass


class CleanLater(InOrder):
    """Wrong: the lock may be dropped between a leaf's flush and its clean."""

    def clean(self, pte: int, level: int) -> None:
        self.k.cond_resched_lock()
        super().clean(pte, level)


# Right designs, with the version that each changes.
DESIGNS: Final = {
    "one flush for an unmap": (unmap.on_v5_14(unmap.BatchedUnmap), "v5.14"),
    "one clean for frames in a row": (unmap.on_v5_14(unmap.OneCleanForAll), "v5.14"),
    "one range flush for an unmap": (unmap.on_v5_14(unmap.RangeUnmap), "v5.14"),
    "whole tables unmapped": (unmap.on_v5_14(unmap.UnmapWholeTables), "v5.14"),
    "a flush for each leaf of a table": (broken(CollapseFlushesPages), "original"),
    "a flush with hint for each leaf": (broken(CollapseFlushesPagesWithHint), "original"),
    "a range flush for a table": (broken(CollapseFlushesRange), "original"),
    "leaves written after the flush": (broken(CollapseAges), "original"),
    "unmap in another order": (broken(InOrder, Mmu), "original"),
}
