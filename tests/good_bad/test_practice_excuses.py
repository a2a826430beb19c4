# SPDX-License-Identifier: GPL-2.0-only
"""Excuses that once applied too widely: of another known bug, an earlier signature or another violation."""

import pytest

import candidate
from candidate import Candidate
from fuzz.generation.generator import Generator
from fuzz.judging.differential import Differential
from fuzz.judging.finding import REGRESSION
from fuzz.language.text import parse

from .case import ORIGINAL, broken
from .near_miss_versions import BlocksOverPages, NeverMaps
from .near_misses import SHORT
from .practice_excuses import (
    AlwaysWritable,
    DataAbortForFetch,
    MapsNextOfHugePage,
    MapsNextUnchecked,
    OldLeavesUnflushed,
    ProtectsByUnmapping,
    ReadsAgain,
    ReschedulesAtFirst,
    WarnsOfItsOwn,
)
from .practice_log_order import HALF_AGAIN
from .switched import Coalesce, Unmap

V5_14 = candidate.get("v5.14")
FWB = "vm cpus=1 fwb=on\n"
MAPPED = "still mapped after invalidation L3"
REACHED = "isolation: kvm_handle_guest_abort: access to a frame not owned, through the TLB L3"
TWO_PAGES = "slot a ipa=0x40100000 size=4M backing=anon\ncpu0 read a+{}K\n" + "cpu0 read a+4092K\nhost discard a+0 4M\n"
COALESCED = "slot a size=2M backing=thp log=on\ncpu0 read a+0\nhost discard a+0 2M\ncpu0 read a+0\n"
X1 = "vm cpus=1\nslot a size=2M backing=thp log=on\nslot b size=2M backing=anon log=on\nhost write a+0 2M\n"
LOGGED = "slot a size=64K backing=anon log=on\ncpu0 write a+0\nlog a get\ncpu0 read a+0\ncpu0 write a+0\nlog a get\n"
LONG = "vm ipa=32 cpus=1 fwb=on\nslot a ipa=0x40001000 size=128M backing=anon\n"
HUGE = "slot a size=64K backing=thp\ncpu0 read a+0\n"


def kinds(version: Candidate, text: str, reference: Candidate = ORIGINAL) -> list[str]:
    """Return the classes and signatures of a verdict."""
    return Differential(reference, version).run(parse("s2fuzz 1\n" + text)).titles()


def test_a_known_bug_explains_only_the_pages_that_it_struck() -> None:
    """B05 skips the pages from 0x40300000 only if an earlier table is missing."""
    struck = kinds(SHORT, FWB + TWO_PAGES.format(4092))
    assert f"common translation: stage2_unmap_walker: {MAPPED}" in struck
    other = kinds(SHORT, FWB + TWO_PAGES.format(2112) + "cpu0 read a+4092K\n")
    assert other == [f"regression {REACHED}", f"regression translation: stage2_unmap_walker: {MAPPED}"]


def test_a_livelock_where_nothing_was_mapped_is_not_p1() -> None:
    text = "vm ipa=32 cpus=1 fwb=on\nslot a size=1G backing=hugetlb1g\ncpu0 read a+0\n"
    found = kinds(broken(NeverMaps), text)
    assert found == ["regression progress: kvm_handle_guest_abort: access does not complete"]


def test_a_flush_ends_the_excuse_of_a_wrong_hint() -> None:
    text = "vm cpus=2 fwb=on ttl=on\n" + COALESCED + "table wrprotect a+0 4K\nlog a off\ncpu1 read a+8K\n"
    assert "regression lifetime: stage2_map_walker: freed before the flush" in kinds(Coalesce.without("flush"), text)


def test_a_known_bug_does_not_hide_what_it_no_longer_explains() -> None:
    version = broken(AlwaysWritable, ProtectsByUnmapping)
    what = "regression translation: stage2_map_walker: writable and not in the dirty log L3"
    assert what in kinds(version, FWB + LOGGED)
    assert what in kinds(version, "vm cpus=1 fwb=on ttl=on\n" + LOGGED)


def test_a_signature_seen_before_as_common_still_counts() -> None:
    program = X1 + "".join(
        f"{fill}cpu0 read {slot}+4K\nlog {slot} off\ncpu0 write {slot}+4K\n"
        for slot, fill in (("a", ""), ("b", "host write b+0 2M\n"))
    )
    what = "dcache: stage2_map_walker: table->block after a permission fault, not cleaned L2"
    found = kinds(broken(mmu=BlocksOverPages), program)
    assert f"common {what}" in found
    assert f"regression {what}" in found


def test_an_unflushed_leaf_and_an_unflushed_table_are_not_common() -> None:
    text = "vm cpus=1 fwb=on ttl=on\nslot a size=4K backing=anon\ntable map a+0 4K r\nhost discard a+0 4K\n"
    assert "regression tlb: stage2_unmap_walker: leaf not flushed L3" in kinds(Unmap.without("leaf flush"), text)


def test_warnings_of_different_functions_are_not_common() -> None:
    text = FWB + "slot a size=8K backing=thp\ncpu0 read a+0\nhost age a+0 4K\n"
    found = kinds(broken(WarnsOfItsOwn), text)
    assert "regression contract: kvm_pgtable_stage2_mkold: WARN" in found
    assert "common contract: kvm_age_hva_handler: WARN" in found


def test_a_known_bug_in_another_walker_is_the_same_bug() -> None:
    text = FWB + "slot a ipa=0x40190000 size=1M backing=anon log=on\ncpu0 write a+0\ncpu0 write a+256K\n"
    text += "cpu0 write a+452K\nhost discard a+256K 4K\nlog a get\n"
    found = kinds(broken(mmu=ProtectsByUnmapping), text)
    assert "common translation: stage2_unmap_walker: writable and not in the dirty log L3" in found
    assert not [kind for kind in found if kind.startswith("regression")]


@pytest.mark.parametrize(
    "version", [HALF_AGAIN, Candidate("reads-again", V5_14.pgtable, ReadsAgain, "")], ids=["in part", "read"]
)
def test_pages_walked_again_must_be_protected_again(version: Candidate) -> None:
    text = "vm cpus=1\nslot a size=32K backing=anon\ncpu0 write a+0\ncpu0 write a+28K\nlog a on\n"
    what = "regression dirty-log: stage2_attr_walker: write-protected before the log was installed L3"
    assert what in kinds(version, text, V5_14)


def test_the_next_page_of_a_huge_page_shares_its_reference_and_its_check() -> None:
    right = Candidate("next", V5_14.pgtable, MapsNextOfHugePage, "")
    assert kinds(right, FWB + HUGE, V5_14) == ["divergence map"]
    wrong = Candidate("unchecked", V5_14.pgtable, MapsNextUnchecked, "")
    what = "mapped under another hold of mmu_lock than mmu_notifier_retry() after a translation fault"
    assert f"regression fault-order: kvm_handle_guest_abort: {what}" in kinds(wrong, FWB + HUGE, V5_14)


@pytest.mark.parametrize("haf", ["off", "on"])
def test_an_old_leaf_needs_a_flush_if_the_hardware_sets_the_flag(haf: str) -> None:
    text = f"vm cpus=1 fwb=on haf={haf}\nslot a size=8K backing=anon\ncpu0 read a+0\ncpu0 read a+4K\n"
    text += "host age a+0 4K\nhost discard a+0 4K\n"
    found = kinds(broken(OldLeavesUnflushed), text)
    assert ("regression tlb: stage2_unmap_walker: leaf not flushed L3" in found) == (haf == "on")


def test_a_fetch_is_answered_with_a_prefetch_abort() -> None:
    text = FWB + "slot a size=4K backing=anon\nslot a delete\ncpu0 fetch a+0\n"
    found = kinds(broken(mmu=DataAbortForFetch), text)
    assert "regression contract: kvm_handle_guest_abort: dabt injected for a pabt" in found
    assert kinds(ORIGINAL, text) == []


def test_rescheduling_only_at_the_start_does_not_count() -> None:
    maps = "".join(f"table map a+{16 * i}M 16M r\n" for i in range(8))
    found = kinds(broken(mmu=ReschedulesAtFirst), LONG + maps + "slot a delete\n")
    assert [kind for kind in found if kind.startswith("regression contract: kvm_set_memory_region: mmu_lock held")]


@pytest.mark.parametrize("version", [Candidate("next", V5_14.pgtable, MapsNextOfHugePage, "")], ids=["next page"])
def test_right_designs_raise_no_regression_on_random_programs(version: Candidate) -> None:
    generator = Generator(8)
    for _ in range(150):
        verdict = Differential(V5_14, version).run(generator.next())
        assert [finding for finding in verdict.findings if finding.kind == REGRESSION] == []


def test_another_wrongly_flushed_table_needs_another_flush() -> None:
    """The leaves below the table are flushed first, each with its own hint. The earlier table needs no other flush."""
    text = "vm granule=16K ipa=47 cpus=3 ttl=on manual=set\n"
    text += "slot a ipa=2129904K size=32M backing=thp offset=16K log=on\ncpu1 read a+12432K\n"
    text += "host migrate a+0 32K\ncpu1 write a+128K\ncpu1 write a+32K\nhost split a+32736K\n"
    found = kinds(V5_14, text + "cpu2 write a+16K\n")
    assert "common bbm: stage2_map_walker: table->other table made before the flush L2" in found
    assert not [kind for kind in found if kind.startswith(("regression", "divergence"))]
