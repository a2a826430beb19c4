# SPDX-License-Identifier: GPL-2.0-only
# Derived from Linux: arch/arm64/kvm/hyp/pgtable.c.
"""Versions from practice that unmap with other flushes than the original: right and wrong designs."""

from candidate import Candidate
from candidate.v5_14 import MmuV5_14, PgtableV5_14
from reference.capabilities import ARM64_HAS_TLB_RANGE
from reference.kernel import Kernel
from reference.kvm import kvm
from reference.pgtable import kvm_pgtable
from reference.services.structs import kvm_s2_mmu
from reference.tlbflush import MAX_TLBI_RANGE_PAGES

from .case import broken


def flush_range(k: Kernel, mmu: kvm_s2_mmu, addr: int, pages: int) -> None:
    """Flush a range like ``kvm_tlb_flush_vmid_range()`` of v6.6: in the largest pieces that one range TLBI covers."""
    for first in range(0, pages, MAX_TLBI_RANGE_PAGES):
        here = min(pages - first, MAX_TLBI_RANGE_PAGES)
        k.__kvm_tlb_flush_vmid_range__(mmu, addr + (first << k.granule.page_shift), here)


class BatchedUnmap(PgtableV5_14):
    """Right: flushes once for all entries that an unmap clears, then frees tables and cleans leaves."""

    batch: list[tuple[int, int]] | None = None
    # Range of guest addresses whose entries were cleared.
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
        """Flush the cleared entries, then free their tables and clean their leaves."""
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
    """Right: like `BatchedUnmap`, with one flush of the range if the CPU can."""

    short = 0

    def flush(self, mmu: kvm_s2_mmu) -> None:
        if self.k.cpus_have_const_cap(ARM64_HAS_TLB_RANGE):
            pages = (self.end - self.start) // self.PAGE_SIZE - self.short
            flush_range(self.k, mmu, self.start, pages)
        else:
            super().flush(mmu)


class RangeUnmapShort(RangeUnmap):
    """Wrong: the range ends a page early."""

    short = 1


class CleansBeforeFlush(BatchedUnmap):
    """Wrong: cleans the leaves before the flush, while guests can still write to them."""

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
    """Right: like `BatchedUnmap`, with one clean for adjacent frames."""

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
    """Wrong: flushes after the last part of a range: cond_resched_lock() drops the lock with the flush pending."""

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


class UnmapWholeTables(PgtableV5_14):
    """Right: an unmap that covers a whole last-level table detaches it with its pages. Flush, clean and free follow."""

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
        """Return the index of the level-2 entry that translates *addr*; -1 if there is none."""
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
    """Wrong: does not clean the pages that the table mapped."""

    def clean_below(self, childp: int) -> None:
        for index in range(self.PTRS_PER_PTE):
            if self.kvm_pte_valid(self.mem[childp + index]):
                self.k.put_page(self.k.virt_to_page(childp))


def on_v5_14(pgtable: type[PgtableV5_14]) -> Candidate:
    """Return a version that changes v5.14's pgtable.c."""
    return broken(pgtable, MmuV5_14)
