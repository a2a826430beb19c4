# SPDX-License-Identifier: GPL-2.0-only
"""hyp: the hypervisor's own tables map the requested ranges, and are freed at the end."""

from typing import Any, ClassVar

import pytest

from candidate import Candidate
from fuzz.judging.differential import Differential
from fuzz.language.text import parse
from reference.pgtable import (
    KVM_PGTABLE_PROT_R,
    KVM_PGTABLE_PROT_W,
    KVM_PGTABLE_WALK_LEAF,
    KVM_PGTABLE_WALK_TABLE_POST,
    NULL,
    Pgtable,
    hyp_map_data,
    kvm_pgtable,
    kvm_pgtable_walker,
)

from .case import ORIGINAL, Case, broken, each, violations


class FlipsAttributes(Pgtable):
    """Inverts some bits of every leaf."""

    FLIP: ClassVar[int] = 0

    def hyp_map_set_prot_attr(self, prot: int, data: hyp_map_data) -> int:
        ret = super().hyp_map_set_prot_attr(prot, data)
        data.attr ^= self.FLIP
        return ret


def flips(bits: int) -> Candidate:
    """Return a version whose leaves differ from the original's in *bits*."""
    return broken(type("Flips", (FlipsAttributes,), {"FLIP": bits}))


class TakesAnything(Pgtable):
    """Accepts writable code instead of refusing it."""

    def hyp_map_set_prot_attr(self, prot: int, data: hyp_map_data) -> int:
        ret = super().hyp_map_set_prot_attr(prot, data)
        return super().hyp_map_set_prot_attr(prot & (KVM_PGTABLE_PROT_R | KVM_PGTABLE_PROT_W), data) if ret else ret


class BlocksAnywhere(Pgtable):
    """Maps a block even if the physical address is not aligned."""

    def kvm_block_mapping_supported(self, addr: int, end: int, phys: int, level: int) -> bool:
        return super().kvm_block_mapping_supported(addr, end, addr, level)


class BlocksBeyondTheEnd(Pgtable):
    def kvm_block_mapping_supported(self, addr: int, end: int, phys: int, level: int) -> bool:
        return super().kvm_block_mapping_supported(addr, addr + self.sizes[level], phys, level)


class BlocksAtLevel0(Pgtable):
    """Maps blocks at level 0, which has none."""

    def kvm_block_mapping_supported(self, addr: int, end: int, phys: int, level: int) -> bool:
        return level == 0 or super().kvm_block_mapping_supported(addr, end, phys, level)


class PhysDoesNotAdvance(Pgtable):
    """Does not advance the physical address."""

    def hyp_map_walker_try_leaf(self, addr: int, end: int, level: int, ptep: int, data: hyp_map_data) -> bool:
        phys = data.phys
        ret = super().hyp_map_walker_try_leaf(addr, end, level, ptep, data)
        data.phys = phys
        return ret


class SkipsEveryOther(Pgtable):
    """Skips every other page."""

    def hyp_map_walker_try_leaf(self, addr: int, end: int, level: int, ptep: int, data: hyp_map_data) -> bool:
        if addr & self.PAGE_SIZE:
            data.phys += self.sizes[level]
            return True
        return super().hyp_map_walker_try_leaf(addr, end, level, ptep, data)


class MapsOneMore(Pgtable):
    def kvm_pgtable_hyp_map(self, pgt: kvm_pgtable, addr: int, size: int, phys: int, prot: int) -> int:
        return super().kvm_pgtable_hyp_map(pgt, addr, size + self.PAGE_SIZE, phys, prot)


class WritesAgain(Pgtable):
    """Breaks an existing leaf and writes the same leaf again."""

    def hyp_map_walker_try_leaf(self, addr: int, end: int, level: int, ptep: int, data: hyp_map_data) -> bool:
        if self.kvm_pte_valid(self.mem[ptep]) and level == 3:
            self.kvm_set_invalid_pte(ptep)
        return super().hyp_map_walker_try_leaf(addr, end, level, ptep, data)


class OneTableForAll(Pgtable):
    """Links the first table wherever a table is needed."""

    first = NULL

    def kvm_set_table_pte(self, ptep: int, childp: int) -> None:
        if self.k.entry == "kvm_pgtable_hyp_map":
            self.first = childp if self.first == NULL else self.first
            childp = self.first
        super().kvm_set_table_pte(ptep, childp)


class FreesNoTables(Pgtable):
    def hyp_free_walker(self, addr: int, end: int, level: int, ptep: int, flag: int, arg: None) -> int:
        return 0


class FreesTablesFirst(Pgtable):
    """Frees the root before the tables below it."""

    def kvm_pgtable_hyp_destroy(self, pgt: kvm_pgtable) -> None:
        self.k.free_page(pgt.pgd)
        super().kvm_pgtable_hyp_destroy(pgt)


class FreesOnMap(Pgtable):
    """Frees a table as soon as it is in use."""

    def kvm_pgtable_hyp_map(self, pgt: kvm_pgtable, addr: int, size: int, phys: int, prot: int) -> int:
        ret = super().kvm_pgtable_hyp_map(pgt, addr, size, phys, prot)
        self.k.free_page(self.kvm_pte_follow(self.mem[pgt.pgd]))
        return ret


class Counts(Pgtable):
    """Takes a reference for each valid entry, unlike the original."""

    def hyp_map_walker_try_leaf(self, addr: int, end: int, level: int, ptep: int, data: hyp_map_data) -> bool:
        old = self.mem[ptep]
        ret = super().hyp_map_walker_try_leaf(addr, end, level, ptep, data)
        if ret and not self.kvm_pte_valid(old):
            self.k.get_page(self.k.virt_to_page(ptep))
        return ret


class CountsAsLater(Counts):
    """The hyp half of v5.13: takes a reference for each valid entry, and drops it at destruction."""

    COUNTS_HYP: ClassVar[bool] = True

    def hyp_map_walker(self, addr: int, end: int, level: int, ptep: int, flag: int, arg: hyp_map_data) -> int:
        ret = super().hyp_map_walker(addr, end, level, ptep, flag, arg)
        if self.kvm_pte_table(self.mem[ptep], level):
            self.k.get_page(self.k.virt_to_page(ptep))
        return ret

    def hyp_free_walker(self, addr: int, end: int, level: int, ptep: int, flag: int, arg: Any) -> int:
        pte = self.mem[ptep]
        if self.kvm_pte_valid(pte):
            self.k.put_page(self.k.virt_to_page(ptep))
            if self.kvm_pte_table(pte, level):
                self.k.free_page(self.kvm_pte_follow(pte))
        return 0

    def kvm_pgtable_hyp_destroy(self, pgt: kvm_pgtable) -> None:
        flags = KVM_PGTABLE_WALK_LEAF | KVM_PGTABLE_WALK_TABLE_POST
        self.kvm_pgtable_walk(pgt, 0, 1 << pgt.ia_bits, kvm_pgtable_walker(self.hyp_free_walker, flags))
        self.k.free_page(pgt.pgd)


VM = "vm cpus=1\nslot a size=4K backing=anon\n"
PAGES = VM + "hyp map 0x1234 0x80001234 0x3000 rw\n"
TWICE = PAGES + "hyp map 0x1234 0x80001234 0x3000 rw\n"
BLOCK = VM + "hyp map 2M 1G 2M r\n"
SKEWED = VM + "hyp map 2M 0x40001000 2M r\n"
CODE = VM + "hyp map 0 1G 4K rx\n"
DEVICE = VM + "hyp map 0 1G 4K device\n"
REFUSED = VM + "hyp map 0 1G 4K rwx\n"

AF, XN = 1 << 10, 1 << 54
CASES = (
    Case("writable, asked for", "hyp: hyp_map_walker: wrong write permission L3", flips(1 << 7), PAGES),
    Case("writable, not asked for", "hyp: hyp_map_walker: wrong write permission L2", flips(1 << 7), BLOCK),
    Case("executable, asked for", "hyp: hyp_map_walker: wrong execute permission L3", flips(XN), CODE),
    Case("executable, not asked for", "hyp: hyp_map_walker: wrong execute permission L3", flips(XN), PAGES),
    Case("reserved AP bit", "hyp: hyp_map_walker: AP[1] clear or not inner shareable L3", flips(1 << 6), PAGES),
    Case("shareability", "hyp: hyp_map_walker: AP[1] clear or not inner shareable L3", flips(1 << 8), PAGES),
    Case("access flag", "hyp: hyp_map_walker: access flag clear L3", flips(AF), PAGES),
    Case("memory type of memory", "hyp: hyp_map_walker: wrong memory type L3", flips(1 << 2), PAGES),
    Case("memory type of a device", "hyp: hyp_map_walker: wrong memory type L3", flips(5 << 2), DEVICE),
    Case("unknown field", "hyp: hyp_map_walker: illegal field L3", flips(1 << 53), PAGES),
    Case("writable code", "hyp: hyp_map_walker: accepted, must be refused", broken(TakesAnything), REFUSED),
    Case("alignment", "hyp: hyp_map_walker: output address not aligned L2", broken(BlocksAnywhere), SKEWED),
    Case("encoding", "hyp: hyp_map_walker: reserved encoding L0", broken(BlocksAtLevel0), PAGES),
    Case("address", "hyp: hyp_map_walker: wrong output address L3", broken(PhysDoesNotAdvance), PAGES),
    Case("hole", "hyp: hyp_map_walker: not mapped", broken(SkipsEveryOther), PAGES),
    Case("one page more", "hyp: hyp_map_walker: mapped, never asked for L3", broken(MapsOneMore), PAGES),
    Case(
        "more than the range",
        "hyp: hyp_map_walker: mapped, never asked for L1",
        broken(BlocksBeyondTheEnd),
        VM + "hyp map 1G 2G 2M r\n",
    ),
    Case("changed", "hyp: hyp_map_walker: changed by the same call again L3", broken(WritesAgain), TWICE),
    Case("two parents", "hyp: hyp_map_walker: table entered twice L1", broken(OneTableForAll), PAGES),
    Case("references", "hyp: hyp_map_walker: too many references L3", broken(Counts), PAGES, broken(CountsAsLater)),
    Case("left behind", "leak: kvm_pgtable_hyp_destroy: table pages left", broken(FreesNoTables), PAGES),
    Case("freed too early", "hyp: hyp_map_walker: freed while in use L1", broken(FreesOnMap), PAGES),
    Case("used when freed", "lifetime: hyp_free_walker: walk of a freed table", broken(FreesTablesFirst), PAGES),
)


@each(CASES)
def test_hyp_good(case: Case) -> None:
    assert case.all_good() == []


@each(CASES)
def test_hyp_bad(case: Case) -> None:
    assert case.first_bad() == case.signature


@pytest.mark.parametrize("page", ["4K", "16K", "64K"])
def test_all_page_sizes_starts_and_failures_are_clean(page: str) -> None:
    calls = [
        f"hyp map {start:#x} {start + skew:#x} {size:#x} {prot}{fail}\n" * 2
        for number, (prot, fail) in enumerate([("rw", ""), ("rx", " fail=2"), ("device", " fail=1"), ("r", "")])
        for skew in (0, 0x10000)
        for start, size in [((number * 8 + (skew != 0) * 40 << 32) + 0x3FFF0123, 0xE12345)]
    ]
    assert len(calls) == 8
    assert violations(ORIGINAL, f"vm cpus=1 granule={page}\nslot a size=64K backing=anon\n" + "".join(calls)) == []


def test_a_range_that_starts_inside_of_an_entry_is_mapped_to_its_end() -> None:
    """Bug B05 does not affect hyp tables: if a leaf does not fit, a table is created and the walk descends into it."""
    starts = "".join(f"hyp map {block + 0x1FF000:#x} {block:#x} 0x203000 rw\n" for block in (0, 1 << 30, 511 << 30))
    assert violations(ORIGINAL, VM + starts) == []


class SmallPagesOnly(Pgtable):
    def kvm_block_mapping_supported(self, addr: int, end: int, phys: int, level: int) -> bool:
        return level == 3


def test_tables_that_differ_in_shape_are_a_divergence() -> None:
    found = Differential(ORIGINAL, broken(SmallPagesOnly)).run(parse("s2fuzz 1\n" + BLOCK))
    assert found.titles() == ["divergence map"]
    assert found.findings[0].reason.startswith("hyp: 0x200000, level 2: block(2M)@0x40000000 r-- normal; ")
