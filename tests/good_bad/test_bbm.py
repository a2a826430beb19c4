# SPDX-License-Identifier: GPL-2.0-only
"""bbm: changes that require it are made by break, flush, make."""

from typing import Any, ClassVar

from candidate.rfc_v1_3 import MmuRfcV1_3, PgtableRfcV1_3
from reference.pgtable import (
    KVM_PGTABLE_WALK_LEAF,
    KVM_PGTABLE_WALK_TABLE_POST,
    KVM_PGTABLE_WALK_TABLE_PRE,
    KVM_PTE_LEAF_ATTR_LO_S2_MEMATTR,
    KVM_PTE_TYPE,
    KVM_PTE_VALID,
    NULL,
    Pgtable,
    kvm_pgtable,
    kvm_pgtable_walker,
    stage2_map_data,
)

from .case import Case, broken, each
from .switched import Coalesce, Split, Unmap


class MapsInTwoSteps(Pgtable):
    """Maps a page by an entry changed by *xor*, then by the right entry, then flushes."""

    xor = 0

    def stage2_map_walker_try_leaf(self, addr: int, end: int, level: int, ptep: int, data: stage2_map_data) -> int:
        new = self.kvm_init_valid_leaf_pte(data.phys, data.attr, level)
        if level == 3 and not self.kvm_pte_valid(self.mem[ptep]):
            self.k.smp_store_release(ptep, new ^ self.xor)
            self.k.get_page(self.k.virt_to_page(ptep))
            self.k.smp_store_release(ptep, new)
            self.k.__kvm_tlb_flush_vmid_ipa__(data.mmu, addr, level)
            return 0
        return super().stage2_map_walker_try_leaf(addr, end, level, ptep, data)


class NeighbourFirst(MapsInTwoSteps):
    xor = 0x1000


class OtherTypeFirst(MapsInTwoSteps):
    xor = KVM_PTE_LEAF_ATTR_LO_S2_MEMATTR ^ 1 << 2


class PermissionsLater(MapsInTwoSteps):
    xor = 1 << 6


class SplitInPlace(Split):
    """Overwrites the block, which is still valid, with the table."""

    out = frozenset({"break"})

    def kvm_set_table_pte(self, ptep: int, childp: int) -> None:
        pte = self.kvm_phys_to_pte(self.k.__pa__(childp)) | KVM_PTE_TYPE | KVM_PTE_VALID
        self.k.smp_store_release(ptep, pte)


class CoalesceInPlace(PgtableRfcV1_3):
    """Overwrites the table, which is still valid, with the block."""

    steps: ClassVar[tuple[str, ...]] = ("flush",)

    def stage2_coalesce_tables_into_block(self, addr: int, level: int, ptep: int, data: stage2_map_data) -> None:
        new = self.kvm_init_valid_leaf_pte(data.phys, data.attr, level)
        if "break" in self.steps:
            self.kvm_set_invalid_pte(ptep)
        if "flush" in self.steps:
            self.k.__kvm_tlb_flush_vmid__(data.mmu)
        if "flush one address" in self.steps:
            self.k.__kvm_tlb_flush_vmid_ipa__(data.mmu, addr, 0)
        self.k.smp_store_release(ptep, new)
        data.phys += self.kvm_granule_size(level)


class CoalesceWithoutFlush(CoalesceInPlace):
    steps = ("break",)


class CoalesceFlushesOneAddress(CoalesceInPlace):
    steps = ("break", "flush one address")


class CoalesceFlushes(CoalesceInPlace):
    steps = ("break", "flush")


class PagesFirst(Coalesce):
    """Breaks the pages below, then their table, and flushes only for the table."""

    flush_pages = False

    def stage2_map_walk_table_pre(self, addr: int, end: int, level: int, ptep: int, data: stage2_map_data) -> int:
        if data.anchor != NULL or not self.kvm_block_mapping_supported(addr, end, data.phys, level):
            return 0
        childp = self.kvm_pte_follow(self.mem[ptep])
        for i in range(self.PTRS_PER_PTE):
            if self.kvm_pte_valid(self.mem[childp + i]):
                self.kvm_set_invalid_pte(childp + i)
                if self.flush_pages:
                    self.k.__kvm_tlb_flush_vmid_ipa__(data.mmu, addr + i * self.PAGE_SIZE, level + 1)
                self.k.put_page(self.k.virt_to_page(childp))
        self.kvm_set_invalid_pte(ptep)
        self.k.__kvm_tlb_flush_vmid_ipa__(data.mmu, addr, 0)
        data.anchor = ptep
        return 0


class PagesFirstFlushed(PagesFirst):
    flush_pages = True


class SplitWithWrongHint(Split):
    """The flush names the level of the pages, not of the block that is replaced."""

    def break_leaf(self, addr: int, level: int, ptep: int, data: stage2_map_data) -> None:
        super().break_leaf(addr, level + 1, ptep, data)


class PlainTable(Pgtable):
    """Writes a table entry by an ordinary store."""

    def kvm_set_table_pte(self, ptep: int, childp: int) -> None:
        self.k.WRITE_ONCE(ptep, self.kvm_phys_to_pte(self.k.__pa__(childp)) | KVM_PTE_TYPE | KVM_PTE_VALID)


class PlainTableAfterBarrier(PlainTable):
    """Legal: a barrier orders the table's contents before the entry that refers to it."""

    def kvm_set_table_pte(self, ptep: int, childp: int) -> None:
        self.k.dsb("ishst")
        super().kvm_set_table_pte(ptep, childp)


class PlainTableAfterWmb(PlainTable):
    """Legal: the barrier of generic Linux code."""

    def kvm_set_table_pte(self, ptep: int, childp: int) -> None:
        self.k.smp_wmb()
        super().kvm_set_table_pte(ptep, childp)


class PlainTableAfterMb(PlainTable):
    """Legal: a full barrier orders stores too."""

    def kvm_set_table_pte(self, ptep: int, childp: int) -> None:
        self.k.smp_mb()
        super().kvm_set_table_pte(ptep, childp)


class PlainTableAfterRmb(PlainTable):
    """A barrier for loads does not order stores."""

    def kvm_set_table_pte(self, ptep: int, childp: int) -> None:
        self.k.dmb("ishld")
        super().kvm_set_table_pte(ptep, childp)


class PlainTableAfterLocalBarrier(PlainTable):
    """The barrier orders the stores only for the CPU itself."""

    def kvm_set_table_pte(self, ptep: int, childp: int) -> None:
        self.k.dmb("nshst")
        self.k.dsb("nshst")
        super().kvm_set_table_pte(ptep, childp)


class PlainTableAfterAnothersBarrier(PlainTable):
    """The barrier orders the stores of another CPU."""

    def kvm_set_table_pte(self, ptep: int, childp: int) -> None:
        cpu, self.k.cpu = self.k.cpu, 1
        self.k.smp_wmb()
        self.k.cpu = cpu
        super().kvm_set_table_pte(ptep, childp)


class PlainTableBeforeBarrier(PlainTable):
    """The barrier comes after the store of the table entry."""

    def kvm_set_table_pte(self, ptep: int, childp: int) -> None:
        super().kvm_set_table_pte(ptep, childp)
        self.k.smp_wmb()


class TableWrittenAfterBarrier(PlainTable):
    """The barrier comes before a store to the table."""

    def kvm_set_table_pte(self, ptep: int, childp: int) -> None:
        self.k.dsb("ishst")
        self.k.WRITE_ONCE(childp, 0)
        super().kvm_set_table_pte(ptep, childp)


class TableWrittenAfterWmb(PlainTable):
    """The same with a data memory barrier."""

    def kvm_set_table_pte(self, ptep: int, childp: int) -> None:
        self.k.smp_wmb()
        self.k.WRITE_ONCE(childp, 0)
        super().kvm_set_table_pte(ptep, childp)


class TableOutAndIn(Pgtable):
    """Detaches the last-level table when it reads an access flag, changes its leaves by *xor*, and links it again.

    While the table is detached, it flushes the next page, and with it the walk caches.
    """

    xor = 0

    def out_and_in(self, addr: int, end: int, level: int, ptep: int, flag: int, arg: Any) -> int:
        pte = self.mem[ptep]
        if flag == KVM_PGTABLE_WALK_LEAF and self.kvm_pte_valid(pte):
            self.k.WRITE_ONCE(ptep, pte ^ self.xor)
        elif flag == KVM_PGTABLE_WALK_TABLE_PRE and level == 2:
            self.kvm_set_invalid_pte(ptep)
            self.k.__kvm_tlb_flush_vmid_ipa__(arg, addr + self.PAGE_SIZE, 0)
        elif flag == KVM_PGTABLE_WALK_TABLE_POST and level == 2:
            self.k.smp_store_release(ptep, pte | KVM_PTE_VALID)
        return 0

    def kvm_pgtable_stage2_is_young(self, pgt: kvm_pgtable, addr: int) -> bool:
        flags = KVM_PGTABLE_WALK_LEAF | KVM_PGTABLE_WALK_TABLE_PRE | KVM_PGTABLE_WALK_TABLE_POST
        self.kvm_pgtable_walk(pgt, addr, 1, kvm_pgtable_walker(self.out_and_in, flags, pgt.mmu))
        self.k.__kvm_tlb_flush_vmid__(pgt.mmu)
        return super().kvm_pgtable_stage2_is_young(pgt, addr)


class TableOutAndInElsewhere(TableOutAndIn):
    xor = 0x1000


PAGES = "vm cpus=1 fwb=on\nslot a size=8K backing=anon\n"
LOGGED = "vm cpus=1 fwb=on\nslot a size=8K backing=anon log=on\n"
COALESCE = "vm cpus=1 fwb=on\nslot a size=2M backing=thp log=on\ncpu0 read a+4K\nlog a off\ncpu0 read a+8K\n"
SPLIT = "vm cpus=1 fwb=on\nslot a size=2M backing=thp\ncpu0 read a+0\nlog a on\ncpu0 write a+4K\n"

CASES = (
    Case(
        "a writable page to another address",
        "bbm: stage2_map_walker: page->page elsewhere without break L3",
        broken(NeighbourFirst),
        PAGES + "cpu0 read a+0\n",
        broken(PermissionsLater),
    ),
    Case(
        "a page to another memory type",
        "bbm: stage2_map_walker: page->page of another memory type without break L3",
        broken(OtherTypeFirst),
        LOGGED + "cpu0 read a+0\n",
        # The page is read-only, and both frames are zeroed: the address may change.
        broken(NeighbourFirst),
    ),
    Case(
        "a read-only page to other contents",
        "bbm: stage2_map_walker: page->page elsewhere without break L3",
        broken(NeighbourFirst),
        LOGGED + "host write a+4K 4K\ncpu0 read a+0\n",
    ),
    Case(
        "block to table",
        "bbm: stage2_map_walker: block->table without break L2",
        broken(SplitInPlace),
        SPLIT,
        Split.without(),
    ),
    Case(
        "table to block",
        "bbm: stage2_map_walker: table->block without break L2",
        broken(CoalesceInPlace, MmuRfcV1_3),
        COALESCE,
        broken(CoalesceFlushes, MmuRfcV1_3),
    ),
    Case(
        "table to block, not flushed",
        "bbm: stage2_map_walker: table->block made before the flush L2",
        broken(CoalesceWithoutFlush, MmuRfcV1_3),
        COALESCE,
        broken(CoalesceFlushes, MmuRfcV1_3),
    ),
    Case(
        "table to block, one address flushed",
        "tlb: stage2_map_walker: two sizes for one address, the other L3 L2",
        broken(CoalesceFlushesOneAddress, MmuRfcV1_3),
        COALESCE,
        broken(CoalesceFlushes, MmuRfcV1_3),
    ),
    Case(
        "pages to block, only their table flushed",
        "bbm: stage2_map_walker: page->block made before the flush L2",
        broken(PagesFirst),
        COALESCE,
        broken(PagesFirstFlushed),
    ),
    Case(
        "block to table, not flushed",
        "bbm: stage2_map_walker: block->table made before the flush L2",
        Split.without("flush"),
        SPLIT,
        Split.without(),
    ),
    Case(
        "block to table, flushed with the wrong hint",
        "bbm: stage2_map_walker: block->table made before the flush L2",
        broken(SplitWithWrongHint),
        SPLIT.replace("fwb=on", "fwb=on ttl=on"),
    ),
    Case(
        "page to another address, not flushed",
        "bbm: stage2_map_walker: page->page elsewhere made before the flush L3",
        Unmap.without("leaf flush"),
        PAGES + "cpu0 write a+0\ncpu0 read a+4K\nhost merge a+0\n",
        Unmap.without(),
    ),
    Case(
        "a table put back with other pages",
        "bbm: out_and_in: page->page elsewhere made before the flush L3",
        broken(TableOutAndInElsewhere),
        PAGES + "cpu0 read a+0\nhost testage a+0\n",
        broken(TableOutAndIn),
    ),
    Case(
        "a table without release",
        "bbm: stage2_map_walker: table stored without release L1",
        broken(PlainTable),
        PAGES + "cpu0 read a+0\n",
        broken(PlainTableAfterBarrier),
    ),
    Case(
        "a table written after the barrier",
        "bbm: stage2_map_walker: table stored without release L1",
        broken(TableWrittenAfterBarrier),
        PAGES + "cpu0 read a+0\n",
        broken(PlainTableAfterBarrier),
    ),
    Case(
        "a table written after smp_wmb()",
        "bbm: stage2_map_walker: table stored without release L1",
        broken(TableWrittenAfterWmb),
        PAGES + "cpu0 read a+0\n",
        broken(PlainTableAfterWmb),
    ),
    Case(
        "a table before smp_wmb()",
        "bbm: stage2_map_walker: table stored without release L1",
        broken(PlainTableBeforeBarrier),
        PAGES + "cpu0 read a+0\n",
        broken(PlainTableAfterMb),
    ),
    Case(
        "a table after a barrier of loads",
        "bbm: stage2_map_walker: table stored without release L1",
        broken(PlainTableAfterRmb),
        PAGES + "cpu0 read a+0\n",
    ),
    Case(
        "a table after a barrier of the CPU alone",
        "bbm: stage2_map_walker: table stored without release L1",
        broken(PlainTableAfterLocalBarrier),
        PAGES + "cpu0 read a+0\n",
    ),
    Case(
        "a table after a barrier of another CPU",
        "bbm: stage2_map_walker: table stored without release L1",
        broken(PlainTableAfterAnothersBarrier),
        PAGES.replace("cpus=1", "cpus=2") + "cpu0 read a+0\n",
    ),
)


@each(CASES)
def test_bbm_good(case: Case) -> None:
    assert [each for each in case.all_good() if each.startswith("bbm")] == []


@each(CASES)
def test_bbm_bad(case: Case) -> None:
    assert case.first_bad() == case.signature
