# SPDX-License-Identifier: GPL-2.0-only
# Derived from Linux: arch/arm64/kvm/hyp/pgtable.c.
"""Versions from practice that flush TLBs in another way than the original does: right designs, and wrong ones."""

from typing import ClassVar, Final

from candidate import Candidate
from candidate.v5_14 import MmuV5_14, PgtableV5_14
from reference.kernel import ARM64_HAS_TLB_RANGE, kvm_s2_mmu
from reference.kvm_host import kvm
from reference.mmu import Mmu
from reference.pgtable import (
    KVM_PTE_LEAF_ATTR_LO_S2_AF,
    KVM_PTE_TYPE,
    NULL,
    Pgtable,
    kvm_pgtable,
    stage2_map_data,
)

from .case import broken


class BatchedUnmap(PgtableV5_14):
    """Right: one flush for all that an unmap clears; the tables below are freed, and leaves cleaned, after it."""

    batch: list[tuple[int, int]] | None = None
    # Of what was cleared, in guest addresses.
    start = end = 0

    def stage2_unmap_walker(self, addr: int, end: int, level: int, ptep: int, flag: int, arg: kvm_s2_mmu) -> int:
        pte = self.mem[ptep]
        if self.batch is None or not self.kvm_pte_valid(pte):
            return super().stage2_unmap_walker(addr, end, level, ptep, flag, arg)
        if self.kvm_pte_table(pte, level) and self.k.page_count(self.k.virt_to_page(self.kvm_pte_follow(pte))) != 1:
            return 0
        self.kvm_clear_pte(ptep)
        self.k.put_page(self.k.virt_to_page(ptep))
        granule = self.kvm_granule_size(level)
        first = addr & -granule
        self.start = min(self.start, first) if self.batch else first
        self.end = max(self.end, first + granule) if self.batch else first + granule
        self.batch.append((pte, level))
        return 0

    def flush(self, mmu: kvm_s2_mmu) -> None:
        self.k.__kvm_tlb_flush_vmid__(mmu)

    def finish(self, mmu: kvm_s2_mmu) -> None:
        """Flush, clean and free what was cleared."""
        batch, self.batch = self.batch, None
        if batch:
            self.flush(mmu)
            for pte, level in batch:
                if self.kvm_pte_table(pte, level):
                    self.k.put_page(self.k.virt_to_page(self.kvm_pte_follow(pte)))
                elif self.stage2_pte_cacheable(pte):
                    self.stage2_flush_dcache(self.kvm_pte_follow(pte), self.kvm_granule_size(level))

    def kvm_pgtable_stage2_unmap(self, pgt: kvm_pgtable, addr: int, size: int) -> int:
        self.batch = []
        ret = super().kvm_pgtable_stage2_unmap(pgt, addr, size)
        self.finish(pgt.mmu)
        return ret


class RangeUnmap(BatchedUnmap):
    """Right: as `BatchedUnmap`, with one flush of the range where the CPU can."""

    short = 0

    def flush(self, mmu: kvm_s2_mmu) -> None:
        if self.k.cpus_have_const_cap(ARM64_HAS_TLB_RANGE):
            pages = (self.end - self.start) // self.PAGE_SIZE - self.short
            self.k.__kvm_tlb_flush_vmid_range__(mmu, self.start, pages)
        else:
            super().flush(mmu)


class RangeUnmapShort(RangeUnmap):
    """Wrong: the range ends a page early."""

    short = 1


class CleansBeforeFlush(BatchedUnmap):
    """Wrong: the leaves are cleaned before the one flush, when guests can still write to them."""

    def flush(self, mmu: kvm_s2_mmu) -> None:
        for pte, level in self.batch or ():
            if not self.kvm_pte_table(pte, level) and self.stage2_pte_cacheable(pte):
                self.stage2_flush_dcache(self.kvm_pte_follow(pte), self.kvm_granule_size(level))
        super().flush(mmu)

    def finish(self, mmu: kvm_s2_mmu) -> None:
        if self.batch:
            self.flush(mmu)
            for pte, level in self.batch:
                if self.kvm_pte_table(pte, level):
                    self.k.put_page(self.k.virt_to_page(self.kvm_pte_follow(pte)))
        self.batch = None


class OneCleanForAll(BatchedUnmap):
    """Right: as `BatchedUnmap`, with one clean for frames that lie in a row."""

    def finish(self, mmu: kvm_s2_mmu) -> None:
        batch, self.batch = self.batch, None
        if not batch:
            return
        self.flush(mmu)
        frames: list[tuple[int, int]] = []
        for pte, level in batch:
            if self.kvm_pte_table(pte, level):
                self.k.put_page(self.k.virt_to_page(self.kvm_pte_follow(pte)))
            elif self.stage2_pte_cacheable(pte):
                frames.append((self.kvm_pte_to_phys(pte), self.kvm_granule_size(level)))
        row = size = 0
        for start, length in sorted(frames):
            if size and start != row + size:
                self.stage2_flush_dcache(self.k.__va__(row), size)
                size = 0
            row = start if not size else row
            size += length
        if size:
            self.stage2_flush_dcache(self.k.__va__(row), size)


class FlushOwedOverResched(BatchedUnmap):
    """Wrong: the flush comes after the last part of a range: cond_resched_lock() drops the lock with it owed."""

    outer = False

    def kvm_pgtable_stage2_unmap(self, pgt: kvm_pgtable, addr: int, size: int) -> int:
        if self.outer:
            return PgtableV5_14.kvm_pgtable_stage2_unmap(self, pgt, addr, size)
        return super().kvm_pgtable_stage2_unmap(pgt, addr, size)


class FlushOwedOverReschedMmu(MmuV5_14):
    def __unmap_stage2_range__(self, kvm: kvm, start: int, size: int, may_block: bool) -> None:
        assert isinstance(self.p, FlushOwedOverResched)
        self.p.outer = True
        self.p.batch = []
        super().__unmap_stage2_range__(kvm, start, size, may_block)
        self.p.outer = False
        self.p.finish(kvm.mmu)


class CollapseFlushesOneAddress(Pgtable):
    """Wrong: a table becomes a block, and one address is flushed where the VMID is meant."""

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
    """Right: each leaf of the table is flushed by its address, as is each table below."""

    # Leaves that are left out, from the last.
    left_out: ClassVar[int] = 0
    hint = False

    def leaves_below(self, addr: int, level: int, pte: int) -> list[tuple[int, int]]:
        """(level, address) of the leaves below a table entry, and of the tables that are empty."""
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
    """Right: the whole block is flushed as a range, where the CPU can."""

    def flush_for_block(self, addr: int, level: int, pte: int, mmu: kvm_s2_mmu) -> None:
        if self.k.cpus_have_const_cap(ARM64_HAS_TLB_RANGE):
            pages = self.kvm_granule_size(level) // self.PAGE_SIZE
            self.k.__kvm_tlb_flush_vmid_range__(mmu, addr, pages)
        else:
            self.k.__kvm_tlb_flush_vmid__(mmu)


class CollapseAfterResched(CollapseFlushesOneAddress):
    """Wrong: the lock may be dropped between a table's break and its flush."""

    def flush_for_block(self, addr: int, level: int, pte: int, mmu: kvm_s2_mmu) -> None:
        self.k.cond_resched_lock()
        self.k.__kvm_tlb_flush_vmid__(mmu)


class CollapseAges(CollapseFlushesOneAddress):
    """Right: the leaves of a table that was cut off lose their access flags after the flush."""

    early = False

    def age(self, pte: int, level: int) -> None:
        childp = self.kvm_pte_follow(pte)
        for index in range(self.PTRS_PER_PTE):
            entry = self.mem[childp + index]
            if self.kvm_pte_table(entry, level + 1):
                self.age(entry, level + 1)
            elif self.kvm_pte_valid(entry):
                # Valid as before: the walk that comes puts a reference for each.
                self.k.WRITE_ONCE(childp + index, entry & ~KVM_PTE_LEAF_ATTR_LO_S2_AF)

    def flush_for_block(self, addr: int, level: int, pte: int, mmu: kvm_s2_mmu) -> None:
        if self.early:
            self.age(pte, level)
        self.k.__kvm_tlb_flush_vmid__(mmu)
        if not self.early:
            self.age(pte, level)


class CollapseAgesEarly(CollapseAges):
    """Wrong: they lose them before the flush."""

    early = True


class InOrder(Pgtable):
    """stage2_unmap_walker with its steps in another order; *flush* is what differs."""

    def flush(self, mmu: kvm_s2_mmu, addr: int, level: int, pte: int, childp: int) -> None:
        self.k.__kvm_tlb_flush_vmid_ipa__(mmu, addr, level)

    def stage2_unmap_walker(self, addr: int, end: int, level: int, ptep: int, flag: int, arg: kvm_s2_mmu) -> int:
        pte = self.mem[ptep]
        childp = NULL
        if not self.kvm_pte_valid(pte):
            return 0
        if self.kvm_pte_table(pte, level):
            childp = self.kvm_pte_follow(pte)
            if self.k.page_count(self.k.virt_to_page(childp)) != 1:
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
    """Wrong: a table that was cut off is written before the flush: the hardware may still walk it."""

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


class UnmapWholeTables(PgtableV5_14):
    """Right: an unmap that covers all of a last table cuts it off with its pages; flush, clean, free."""

    def whole(self, addr: int, end: int, level: int, pte: int) -> bool:
        granule = self.kvm_granule_size(level)
        return level == 2 and self.kvm_pte_table(pte, level) and addr % granule == 0 and end - addr >= granule

    def clean_below(self, childp: int) -> None:
        for index in range(self.PTRS_PER_PTE):
            entry = self.mem[childp + index]
            if self.kvm_pte_valid(entry):
                if self.stage2_pte_cacheable(entry):
                    self.stage2_flush_dcache(self.kvm_pte_follow(entry), self.PAGE_SIZE)
                self.k.put_page(self.k.virt_to_page(childp))

    def cut_off(self, addr: int, level: int, ptep: int, mmu: kvm_s2_mmu) -> None:
        childp = self.kvm_pte_follow(self.mem[ptep])
        self.kvm_clear_pte(ptep)
        self.k.__kvm_tlb_flush_vmid__(mmu)
        self.k.put_page(self.k.virt_to_page(ptep))
        self.clean_below(childp)
        self.k.put_page(self.k.virt_to_page(childp))

    def kvm_pgtable_stage2_unmap(self, pgt: kvm_pgtable, addr: int, size: int) -> int:
        granule = self.kvm_granule_size(2)
        at = (addr + granule - 1) & -granule
        while at + granule <= addr + size:
            ptep = self.entry_of(pgt, at)
            if ptep >= 0 and self.kvm_pte_table(self.mem[ptep], 2):
                self.cut_off(at, 2, ptep, pgt.mmu)
            at += granule
        return super().kvm_pgtable_stage2_unmap(pgt, addr, size)

    def entry_of(self, pgt: kvm_pgtable, addr: int) -> int:
        """Index of the level-2 entry that translates *addr*; -1: there is none."""
        table = pgt.pgd
        level = pgt.start_level
        index = addr >> self.kvm_granule_shift(level)
        while level < 2:
            pte = self.mem[table + index]
            if not self.kvm_pte_table(pte, level):
                return -1
            table = self.kvm_pte_follow(pte)
            level += 1
            index = addr >> self.kvm_granule_shift(level) & (self.PTRS_PER_PTE - 1)
        return table + index


class UnmapWholeTablesUncleaned(UnmapWholeTables):
    """Wrong: what the table mapped is not cleaned."""

    def clean_below(self, childp: int) -> None:
        for index in range(self.PTRS_PER_PTE):
            if self.kvm_pte_valid(self.mem[childp + index]):
                self.k.put_page(self.k.virt_to_page(childp))


def on_v5_14(pgtable: type[PgtableV5_14]) -> Candidate:
    """A change of v5.14's pgtable.c."""
    return broken(pgtable, MmuV5_14)


# Right designs, with the version that each changes.
DESIGNS: Final = {
    "one flush for an unmap": (on_v5_14(BatchedUnmap), "v5.14"),
    "one clean for frames in a row": (on_v5_14(OneCleanForAll), "v5.14"),
    "one range flush for an unmap": (on_v5_14(RangeUnmap), "v5.14"),
    "whole tables unmapped": (on_v5_14(UnmapWholeTables), "v5.14"),
    "a flush for each leaf of a table": (broken(CollapseFlushesPages), "original"),
    "a flush with hint for each leaf": (broken(CollapseFlushesPagesWithHint), "original"),
    "a range flush for a table": (broken(CollapseFlushesRange), "original"),
    "leaves written after the flush": (broken(CollapseAges), "original"),
    "unmap in another order": (broken(InOrder, Mmu), "original"),
}
