# SPDX-License-Identifier: GPL-2.0-only
"""Cases that checkers once got wrong: false alarms that must not return, and bugs that went unnoticed."""

import pytest

import candidate
from candidate.rfc_v1_3 import PgtableRfcV1_3
from fuzz.judging.differential import Differential
from fuzz.language.text import parse
from reference.kvm import kvm, kvm_memory_slot, kvm_vcpu
from reference.mmu import Mmu
from reference.pgtable import (
    KVM_PGTABLE_WALK_LEAF,
    KVM_PGTABLE_WALK_TABLE_POST,
    NULL,
    Pgtable,
    kvm_pgtable,
    kvm_pgtable_walker,
    stage2_attr_data,
    stage2_map_data,
)
from reference.services.structs import kvm_mmu_memory_cache, kvm_s2_mmu

from .case import EVERYWHERE, ORIGINAL, broken, violations

TOGGLE = "vm cpus=1\nslot a size=2M backing=anon\ncpu0 write a+0\ncpu0 cache on\n"


def verdict(name: str, text: str) -> list[str]:
    """Return the classes and signatures of a candidate compared with the original."""
    return Differential(ORIGINAL, candidate.get(name)).run(parse("s2fuzz 1\n" + text)).titles()


@pytest.mark.parametrize("name", ["rfc-v1-1", "rfc-v1-fixed"])
def test_leaving_fewer_pages_dirty_than_the_original_is_no_regression(name: str) -> None:
    text = """vm cpus=1 ipa=48
slot a ipa=0x3fffe000 size=2056K backing=thp offset=0x3fffe000 log=on
cpu0 read a+12K
log a off
cpu0 write a+12K
cpu0 cache on
"""
    assert not [kind for kind in verdict(name, text) if kind.startswith(("regression", "divergence"))]


def test_a_stale_leaf_is_not_judged_by_the_cache_checkers() -> None:
    text = """vm ipa=44
slot a ipa=1030M size=4M backing=anon offset=6M
cpu0 write a+2M
host discard a+1200K 852K
cpu1 fetch a+2M mmu=off
"""
    found = verdict("rfc-v1-fixed", text)
    assert found == [
        "common isolation: stage2_attr_walker: access to a frame not owned, through the tables L3",
        "common translation: stage2_unmap_walker: still mapped after invalidation L3",
    ]


class ClearsBelowTheAnchor(Pgtable):
    """Legal: clears the leaves of a detached table before it puts their references."""

    def stage2_map_walk_leaf(self, addr: int, end: int, level: int, ptep: int, data: stage2_map_data) -> int:
        if data.anchor != NULL and self.kvm_pte_valid(self.mem[ptep]):
            self.kvm_set_invalid_pte(ptep)
            self.k.put_page(self.k.virt_to_page(ptep))
            return 0
        return super().stage2_map_walk_leaf(addr, end, level, ptep, data)


def test_leaves_of_a_detached_table_count_as_mapped_at_that_time() -> None:
    text = """vm cpus=1
slot a size=2M backing=hugetlb2m
cpu0 read a+0
log a on
cpu0 write a+0
host write a+0 4K
log a off
cpu0 fetch a+0
"""
    assert violations(broken(ClearsBelowTheAnchor), text) == violations(ORIGINAL, text) == []


class NoFlushOfTheVm(Mmu):
    def stage2_flush_vm(self, kvm: kvm) -> None:
        """Do nothing."""


class NoFlush(Pgtable):
    def kvm_pgtable_stage2_flush(self, pgt: kvm_pgtable, addr: int, size: int) -> int:
        return 0


@pytest.mark.parametrize("bad", [broken(mmu=NoFlushOfTheVm), broken(NoFlush)])
def test_a_missing_flush_of_the_whole_vm(bad: candidate.Candidate) -> None:
    assert [v.signature for v in violations(bad, TOGGLE)] == ["dcache: kvm_toggle_cache: flushed, not cleaned L3"]
    assert violations(ORIGINAL, TOGGLE) == []


class CountsToggles(Mmu):
    """Counts how often the trap handler runs."""

    calls = 0

    def kvm_toggle_cache(self, vcpu: kvm_vcpu, was_enabled: bool) -> None:
        CountsToggles.calls += 1
        super().kvm_toggle_cache(vcpu, was_enabled)


@pytest.mark.parametrize(
    ("operations", "calls"),
    [
        ("cpu0 cache on\ncpu0 cache off\ncpu0 cache on\n", 1),
        ("cpu0 cache on\ncpu0 setway\ncpu0 cache off\ncpu0 cache on\ncpu0 cache off\n", 3),
    ],
)
def test_cache_controls_trap_only_while_tvm_is_set(operations: str, calls: int) -> None:
    CountsToggles.calls = 0
    violations(broken(mmu=CountsToggles), "vm cpus=1\nslot a size=2M backing=anon\n" + operations)
    assert CountsToggles.calls == calls


def test_with_fwb_nothing_traps() -> None:
    CountsToggles.calls = 0
    violations(broken(mmu=CountsToggles), "vm cpus=1 fwb=on\nslot a size=2M backing=anon\ncpu0 cache on\n")
    assert CountsToggles.calls == 0


class ForgetsFollow(PgtableRfcV1_3):
    """RFC v1 3/4, but does not save the table to free."""

    def stage2_map_walk_table_pre(self, addr: int, end: int, level: int, ptep: int, data: stage2_map_data) -> int:
        ret = super().stage2_map_walk_table_pre(addr, end, level, ptep, data)
        data.follow = NULL
        return ret


def test_free_page_of_null_frees_nothing() -> None:
    text = "vm cpus=1 fwb=on\nslot a size=2M backing=thp log=on\ncpu0 read a+0\nlog a off\ncpu0 read a+4K\n"
    found = [v.signature for v in violations(broken(ForgetsFollow), text)]
    assert found == ["leak: kvm_free_stage2_pgd: table pages left"]


class NoVm(Mmu):
    def kvm_init_stage2_mmu(self, kvm: kvm) -> int:
        return -12


def test_a_vm_that_cannot_be_created_runs_nothing() -> None:
    found = [v.signature for v in violations(broken(mmu=NoVm), TOGGLE)]
    assert found == ["contract: kvm_init_stage2_mmu: error -12"]
    difference = Differential(ORIGINAL, broken(mmu=NoVm)).run(parse("s2fuzz 1\n" + TOGGLE))
    assert difference.failed


class KeepsTheCache(Mmu):
    def kvm_phys_addr_ioremap(self, kvm: kvm, guest_ipa: int, pa: int, size: int, writable: bool) -> int:
        # A second cache that is filled and never freed.
        self.k.kvm_mmu_topup_memory_cache(kvm_mmu_memory_cache(), self.kvm_mmu_cache_min_pages(kvm))
        return super().kvm_phys_addr_ioremap(kvm, guest_ipa, pa, size, writable)


def test_a_memory_cache_that_is_never_freed() -> None:
    text = "vm cpus=1\nslot a size=4K backing=device\n"
    found = [v.signature for v in violations(broken(mmu=KeepsTheCache), text)]
    assert found == ["leak: kvm_free_stage2_pgd: memory cache left"]
    assert violations(ORIGINAL, text) == []


class LeavesSlotsMapped(Mmu):
    def kvm_unmap_hva_handler(self, kvm: kvm, gpa: int, size: int, may_block: bool) -> int:
        return 0


def test_an_invalidation_that_unmaps_nothing() -> None:
    text = "vm cpus=1\nslot a size=2M backing=anon\ncpu0 read a+0\nhost discard a+0 4K\n"
    found = [v.signature for v in violations(broken(mmu=LeavesSlotsMapped), text)]
    assert found[0] == "translation: kvm_mmu_notifier_invalidate_range_start: still mapped after invalidation L3"


class UnmapsUnderAnotherName(Pgtable):
    """Does not clean, and its walker has another name."""

    def stage2_flush_dcache(self, addr: int, size: int) -> None:
        if self.k.walker != "stage2_teardown_walker":
            super().stage2_flush_dcache(addr, size)

    def stage2_teardown_walker(self, addr: int, end: int, level: int, ptep: int, flag: int, arg: kvm_s2_mmu) -> int:
        return super().stage2_unmap_walker(addr, end, level, ptep, flag, arg)

    def kvm_pgtable_stage2_unmap(self, pgt: kvm_pgtable, addr: int, size: int) -> int:
        flags = KVM_PGTABLE_WALK_LEAF | KVM_PGTABLE_WALK_TABLE_POST
        return self.kvm_pgtable_walk(pgt, addr, size, kvm_pgtable_walker(self.stage2_teardown_walker, flags, pgt.mmu))


def test_the_unmap_rule_does_not_depend_on_a_function_name() -> None:
    text = "vm cpus=1\nslot a size=2M backing=anon\ncpu0 write a+0\nhost discard a+0 4K\n"
    found = [v.signature for v in violations(broken(UnmapsUnderAnotherName), text)]
    assert found == ["dcache: stage2_teardown_walker: unmapped, not cleaned L3"]


class ForgetsFwb(Pgtable):
    def PAGE_S2_MEMATTR(self, device: bool) -> int:
        return (0x1 if device else 0xF) << 2


def test_the_memory_type_must_force_write_back() -> None:
    text = "vm cpus=1 fwb=on\nslot a size=2M backing=anon\ncpu0 read a+0\n"
    found = [v.signature for v in violations(broken(ForgetsFwb), text)]
    assert set(found) == {"translation: stage2_map_walker: normal frame not mapped write-back L3"}


def test_a_known_bug_excuses_only_against_a_version_that_has_it() -> None:
    text = "vm ttl=on cpus=1\nslot a size=2052K backing=anon\ncpu0 read a+2M\nhost discard a+4K 2M\n"
    found = Differential(candidate.get("v5.12.9"), ORIGINAL).run(parse("s2fuzz 1\n" + text))
    assert "regression translation: stage2_unmap_walker: still mapped after invalidation L3" in found.titles()


def test_the_function_that_removed_the_entry_must_flush() -> None:
    """The write copies a page: one walker frees the table without a flush (B21), the next walker maps the page."""
    text = "vm cpus=1 ttl=on fwb=on\nslot a size=4K backing=anon\nhost share a+0 4K\ncpu0 read a+0\ncpu0 write a+0\n"
    found = {v.signature for v in violations(ORIGINAL, text)}
    assert "tlb: stage2_unmap_walker: table not flushed L2" in found
    assert {each.split(": ")[1] for each in found if not each.startswith("bbm")} == {"stage2_unmap_walker"}


class NeverYoungNorHuge(Mmu):
    """Differs from the original in two ways."""

    def kvm_test_age_hva(self, kvm: kvm, hva: int) -> int:
        return 0

    def fault_supports_stage2_huge_mapping(self, memslot: kvm_memory_slot, hva: int, map_size: int) -> bool:
        return map_size == self.PAGE_SIZE


def test_one_difference_does_not_hide_another() -> None:
    text = "vm cpus=1 fwb=on\nslot a size=2M backing=thp\ncpu0 read a+0\nhost testage a+0\n"
    found = Differential(ORIGINAL, broken(mmu=NeverYoungNorHuge)).run(parse("s2fuzz 1\n" + text))
    assert found.titles() == [
        "divergence map",
        "divergence result: host testage",
        "regression ageing: kvm_mmu_notifier_test_young: young page reported old L3",
    ]
    assert "block(2M)@" in next(finding.reason for finding in found.findings if finding.signature == "map")


def test_a_difference_names_the_rule_that_decides_which_side_is_wrong() -> None:
    text = "vm cpus=1 fwb=on\nslot a size=2M backing=thp\ncpu0 read a+0\nhost testage a+0\n"
    found = Differential(ORIGINAL, broken(mmu=NeverYoungNorHuge)).run(parse("s2fuzz 1\n" + text))
    reasons = {finding.signature: finding.reason for finding in found.findings}
    said = "broken breaks a rule at this operation, ageing: kvm_mmu_notifier_test_young: young page reported old L3"
    assert reasons["result: host testage"] == f"original: ok 1; broken: ok 0; which side is wrong: {said}"
    assert "which side is wrong" not in reasons["map"]


RETRIED = """vm cpus=1
slot a size=16K backing=device
slot b size=16K backing=anon
slot a delete
slot a create ipa=4G fail=1
slot a move 1G fail=2
slot b move 4G
table map a+0 4K rw
slot a delete
"""


def test_user_space_retries_a_slot_that_the_program_made_fail() -> None:
    assert violations(ORIGINAL, RETRIED) == []


class KeepsTheLock(Mmu):
    """Wrong: leaves the mmu lock held if a slot cannot be created."""

    def kvm_arch_prepare_memory_region(self, kvm: kvm, memslot: kvm_memory_slot, change: int) -> int:
        ret = super().kvm_arch_prepare_memory_region(kvm, memslot, change)
        if ret:
            self.k.lock("mmu")
        return ret


def test_a_failed_slot_is_judged_before_it_is_created_again() -> None:
    text = "vm cpus=1\nslot a size=16K backing=device\nslot a delete\nslot a create fail=1\n"
    assert violations(ORIGINAL, text) == []
    found = [violation.signature for violation in violations(broken(mmu=KeepsTheLock), text)]
    assert found == ["locking: kvm_set_memory_region: lock still held"]


def test_a_slot_moved_to_its_own_place_keeps_its_pages() -> None:
    text = "vm cpus=1\nslot a ipa=1G size=2M backing=anon\ncpu0 write a+4K\nslot a move 1G\n"
    assert violations(ORIGINAL, text) == []


def test_a_hyp_call_that_found_no_root_requires_no_mapping() -> None:
    """A later call may map the failed call's pages elsewhere. A failed call need not refuse invalid permissions."""
    text = "vm cpus=1\nslot a size=4K backing=anon\n"
    for prot in ("rw", "w"):
        calls = f"hyp map 1024G 4G 2M {prot} fail=1\nhyp map 1024G 8G 4K rw\n"
        assert violations(ORIGINAL, text + calls) == []


class BreaksForAttributes(Pgtable):
    """Legal: uses break, flush, make even to change permissions or the access flag."""

    def kvm_pgtable_walk(self, pgt: kvm_pgtable, addr: int, size: int, walker: kvm_pgtable_walker) -> int:
        self.walked = pgt
        return super().kvm_pgtable_walk(pgt, addr, size, walker)

    def stage2_attr_walker(self, addr: int, end: int, level: int, ptep: int, flag: int, arg: stage2_attr_data) -> int:
        pte = self.mem[ptep]
        new = pte & ~arg.attr_clr | arg.attr_set
        if self.kvm_pte_valid(pte) and new != pte:
            self.kvm_set_invalid_pte(ptep)
            self.k.__kvm_tlb_flush_vmid_ipa__(self.walked.mmu, addr, level)
            arg.level, arg.pte = level, pte
            self.k.smp_store_release(ptep, new)
            return 0
        return super().stage2_attr_walker(addr, end, level, ptep, flag, arg)


@pytest.mark.parametrize("access", ["read", "fetch"])
def test_a_leaf_that_a_fault_breaks_and_restores_needs_no_reference(access: str) -> None:
    text = f"vm cpus=1 fwb=on\nslot a size=4K backing=anon\ncpu0 write a+0\nhost age a+0 4K\ncpu0 {access} a+0\n"
    found = [violation.signature for violation in violations(broken(BreaksForAttributes), text)]
    assert [signature for signature in found if signature != EVERYWHERE] == []


class UnmapsBeforeDestruction(Mmu):
    """Legal: unmaps everything before the tables are destroyed."""

    def kvm_arch_flush_shadow_all(self, kvm: kvm) -> None:
        if kvm.pgt is not None:
            self.k.lock("mmu")
            self.unmap_stage2_range(kvm, 0, kvm.phys_size)
            self.k.unlock("mmu")
        super().kvm_arch_flush_shadow_all(kvm)


def test_destruction_may_change_all_entries() -> None:
    text = "vm cpus=1 fwb=on\nslot a size=4M backing=anon\ncpu0 write a+0\ncpu0 write a+2M\ncpu0 read a+2M\n"
    assert violations(broken(mmu=UnmapsBeforeDestruction), text) == []


class NeverHuge(Mmu):
    """Legal: maps a transparent huge page by single pages."""

    def transparent_hugepage_adjust(
        self, memslot: kvm_memory_slot, hva: int, pfn: int, ipa: int
    ) -> tuple[int, int, int]:
        return self.PAGE_SIZE, pfn, ipa


def test_a_known_bug_that_the_original_does_not_trigger_is_no_regression() -> None:
    """A2 ages only the first leaf of a huge page. The original maps the huge page by one leaf."""
    text = "vm cpus=1 fwb=on\nslot a size=2M backing=thp\ncpu0 read a+4K\nhost age a+0 2M\n"
    found = Differential(ORIGINAL, broken(mmu=NeverHuge)).run(parse("s2fuzz 1\n" + text)).findings
    assert {finding.signature.partition(":")[0] for finding in found if finding.kind == "common"} == {"ageing"}
    assert not [finding for finding in found if finding.kind == "regression"]


def test_leftovers_of_a_moved_slot_are_reported_before_their_consequences() -> None:
    """Write-protecting the slot at its new place changes the leaf that bug B05 left there."""
    text = """vm granule=16K ipa=48 cpus=1
slot a ipa=2162704K size=32784K backing=hugetlb32m offset=16M log=on
cpu0 write a+32752K
slot a move 2112M
"""
    first = violations(ORIGINAL, text)[0].signature
    assert first == "translation: kvm_pgtable_stage2_unmap: still mapped after unmapping L3"
