# SPDX-License-Identifier: GPL-2.0-only
"""dcache: host data is cleaned before a guest without caches can read it."""

from typing import ClassVar

import pytest

import candidate
from reference.kvm import HCR_TVM, kvm, kvm_vcpu
from reference.mmu import Mmu
from reference.pgtable import Pgtable, stage2_map_data
from reference.services.errors import EAGAIN
from reference.services.structs import kvm_s2_mmu
from reference.tlb import TlbVhe

from .case import Case, broken, each, violations
from .placed import set_place
from .switched import Unmap


class NeverClean(Mmu):
    def clean_dcache_guest_page(self, pfn: int, size: int) -> None:
        pass


class CleanOnePage(Mmu):
    def clean_dcache_guest_page(self, pfn: int, size: int) -> None:
        super().clean_dcache_guest_page(pfn, self.PAGE_SIZE)


class CleanFourK(Mmu):
    """Assumes pages of 4K."""

    def clean_dcache_guest_page(self, pfn: int, size: int) -> None:
        super().clean_dcache_guest_page(pfn, 4 << 10)


class ChangeWithoutClean(Mmu):
    def kvm_set_spte_hva(self, kvm: kvm, hva: int, pfn: int) -> int:
        return self.handle_hva_to_gpa(
            kvm, hva, hva + self.PAGE_SIZE, lambda kvm, gpa, size: self.kvm_set_spte_handler(kvm, gpa, size, pfn)
        )


class FlushNothing(Pgtable):
    def stage2_flush_walker(self, addr: int, end: int, level: int, ptep: int, flag: int, arg: None) -> int:
        return 0


class FlushesOnlyTurnedOff(Mmu):
    """Flushes when the caches go off, but not when they go on."""

    def kvm_toggle_cache(self, vcpu: kvm_vcpu, was_enabled: bool) -> None:
        if was_enabled:
            super().kvm_toggle_cache(vcpu, was_enabled)
        elif vcpu.cache_enabled:
            vcpu.hcr &= ~HCR_TVM


class SetWayDoesNotTrap(Mmu):
    """Flushes, but does not trap the cache controls afterwards."""

    def kvm_set_way_flush(self, vcpu: kvm_vcpu) -> None:
        super().kvm_set_way_flush(vcpu)
        vcpu.hcr &= ~HCR_TVM


class CleanAnything(Pgtable):
    """Cleans every frame that it maps, even device frames, like RFC v2 1/3."""

    def stage2_map_walker_try_leaf(self, addr: int, end: int, level: int, ptep: int, data: stage2_map_data) -> int:
        phys = data.phys
        ret = super().stage2_map_walker_try_leaf(addr, end, level, ptep, data)
        if ret in (0, -EAGAIN):
            self.stage2_flush_dcache(self.k.__va__(phys), self.kvm_granule_size(level))
        return ret


class PlacedTlb(TlbVhe):
    """Flushes at a place of its own."""

    def __kvm_tlb_flush_vmid_ipa__(self, mmu: kvm_s2_mmu, ipa: int, level: int) -> None:
        self.a.hardware.place = "flush (tlb.c:3), by main"
        super().__kvm_tlb_flush_vmid_ipa__(mmu, ipa, level)
        self.a.hardware.place = ""


class UnmapAtPlaces(Unmap):
    """Names the places of its steps as a compiled tree does; *early*: it cleans before the flush."""

    early: ClassVar[bool] = False

    def stage2_unmap_walker(self, addr: int, end: int, level: int, ptep: int, flag: int, arg: kvm_s2_mmu) -> int:
        pte = self.mem[ptep]
        if self.early and self.kvm_pte_valid(pte) and not self.kvm_pte_table(pte, level):
            set_place(self.k, "break (pgtable.c:1)")
            self.kvm_set_invalid_pte(ptep)
            set_place(self.k, "clean (pgtable.c:2)")
            self.stage2_flush_dcache(self.kvm_pte_follow(pte), self.kvm_granule_size(level))
            set_place(self.k, "")
            self.k.__kvm_tlb_flush_vmid_ipa__(arg, addr, level)
            self.k.put_page(self.k.virt_to_page(ptep))
            return 0
        set_place(self.k, "break (pgtable.c:1)")
        ret = super().stage2_unmap_walker(addr, end, level, ptep, flag, arg)
        set_place(self.k, "")
        return ret


class UnmapCleansFirst(UnmapAtPlaces):
    early = True


PAGE = "vm cpus=1\nslot a size=4K backing=anon\n"
LOGGED = "vm cpus=1\nslot a size=2M backing=thp log=on\ncpu0 read a+0\nlog a off\n"

CASES = (
    Case(
        "first map of a page",
        "dcache: stage2_map_walker: empty->page after a translation fault, not cleaned L3",
        broken(mmu=NeverClean),
        PAGE + "cpu0 read a+0\n",
    ),
    Case(
        "first map of a block",
        "dcache: stage2_map_walker: empty->block after a translation fault, not cleaned L2",
        broken(mmu=CleanOnePage),
        "vm cpus=1\nslot a size=2M backing=thp\ncpu0 read a+0\n",
    ),
    Case(
        "first map of a page of 64K",
        "dcache: stage2_map_walker: empty->page after a translation fault, not cleaned L3",
        broken(mmu=CleanFourK),
        "vm cpus=1 granule=64K\nslot a size=64K backing=anon\ncpu0 read a+0\n",
    ),
    Case(
        "new frame by change_pte",
        "dcache: stage2_map_walker: leaf->page, not cleaned L3",
        broken(mmu=ChangeWithoutClean),
        # The other page keeps the table: change_pte maps nothing without one.
        "vm cpus=1\nslot a size=8K backing=anon\nhost share a+0 4K\ncpu0 read a+4K\ncpu0 read a+0\nhost write a+0 4K\n",
    ),
    Case(
        "table to block after a translation fault",
        "dcache: stage2_map_walker: table->block after a translation fault, not cleaned L2",
        candidate.get("rfc-v1-3"),
        LOGGED + "cpu0 read a+4K\n",
    ),
    Case(
        "table to block after a permission fault",
        "dcache: stage2_map_walker: table->block after a permission fault, not cleaned L2",
        candidate.get("original"),
        LOGGED + "cpu0 write a+0\n",
        candidate.get("rfc-v1-fixed"),
    ),
    Case(
        "unmapped page",
        "dcache: stage2_unmap_walker: unmapped, not cleaned L3",
        Unmap.without("clean"),
        PAGE + "cpu0 write a+0\nhost share a+0 4K\n",
    ),
    Case(
        "flush of all memory",
        "dcache: stage2_flush_walker: flushed, not cleaned L3",
        broken(FlushNothing),
        PAGE + "cpu0 write a+0\ncpu0 cache on\n",
    ),
    Case(
        "flush of a range that starts inside of an entry",
        "dcache: stage2_flush_walker: flushed, not cleaned L3",
        candidate.get("original"),
        "vm cpus=1\nslot a ipa=0x40001000 size=2M backing=anon\ncpu0 write a+2044K\ncpu0 cache on\n",
        candidate.get("v5.12.9"),
    ),
    Case(
        "caches turned on after a write without them",
        "dcache: kvm_toggle_cache: flushed, not invalidated L3",
        broken(mmu=FlushesOnlyTurnedOff),
        "vm cpus=2\nslot a size=4K backing=anon\ncpu1 read a+0\ncpu0 write a+0 mmu=off\ncpu0 cache on\ncpu1 read a+0\n",
    ),
    Case(
        "walk that flushes nothing after a write without caches",
        "dcache: stage2_flush_walker: flushed, not invalidated L3",
        broken(FlushNothing),
        PAGE + "cpu0 write a+0 mmu=off\ncpu0 cache on\n",
    ),
    Case(
        "caches turned off after a set/way operation",
        "dcache: kvm_toggle_cache: flushed, not cleaned L3",
        broken(mmu=SetWayDoesNotTrap),
        PAGE + "cpu0 cache on\ncpu0 setway\ncpu0 write a+0\ncpu0 cache off\n",
    ),
    Case(
        "device frame",
        "dcache: stage2_map_walker: device frame cleaned",
        broken(CleanAnything),
        "vm cpus=1\nslot a size=4K backing=device\n",
    ),
)


@each(CASES)
def test_dcache_good(case: Case) -> None:
    assert case.all_good() == []


@each(CASES)
def test_dcache_bad(case: Case) -> None:
    assert case.first_bad() == case.signature


@pytest.mark.parametrize(
    "later",
    ["host write a+0 4K\ncpu0 clean a+0\n", "cpu0 write a+0\ncpu0 clean a+0\n", "cpu0 read a+0\nhost discard a+0 4K\n"],
    ids=["written by the host", "written through the caches", "unmapped"],
)
def test_a_frame_without_stale_lines_needs_no_invalidation(later: str) -> None:
    """The whole frame was written through the caches, and written back, or cleaned and invalidated by an unmap."""
    program = PAGE + f"cpu0 write a+0 mmu=off\n{later}cpu0 cache on\n"
    assert violations(broken(mmu=FlushesOnlyTurnedOff), program) == []


@pytest.mark.parametrize(
    ("program", "could"),
    [
        ("slot a size=4K backing=anon\ncpu0 read a+0\n", "write to them"),
        ("slot a size=4K backing=anon log=on\ncpu0 read a+0\n", "read them into its cache"),
    ],
    ids=["writable", "read-only"],
)
def test_the_reason_says_what_the_leaf_allows(program: str, could: str) -> None:
    found = violations(Unmap.without("clean"), f"vm cpus=1\n{program}host discard a+0 4K\n")
    assert f"not cleaned, though a CPU could {could} until the flush" in found[0].reason


def test_a_clean_before_the_flush_names_both_places() -> None:
    found = violations(broken(UnmapCleansFirst, tlb=PlacedTlb), PAGE + "cpu0 write a+0\nhost share a+0 4K\n")
    assert [each.signature for each in found] == ["dcache: stage2_unmap_walker: unmapped, cleaned before the flush L3"]
    assert found[0].reason.endswith(
        "cleaned while a CPU could still write to them, the first at 0x40000000; "
        "flushed later, at flush (tlb.c:3), by main; at clean (pgtable.c:2)"
    )


def test_a_missing_clean_is_at_the_place_that_unmapped() -> None:
    without = type("WithoutClean", (UnmapAtPlaces,), {"out": frozenset({"clean"})})
    found = violations(broken(without), PAGE + "cpu0 write a+0\nhost share a+0 4K\n")
    assert found[0].signature == "dcache: stage2_unmap_walker: unmapped, not cleaned L3"
    assert found[0].reason.endswith("; at break (pgtable.c:1)")
