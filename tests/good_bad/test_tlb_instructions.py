# SPDX-License-Identifier: GPL-2.0-only
"""tlb: the effect of tlb.c's instructions counts, not the name of the helper."""

import pytest

import candidate
from candidate import Candidate
from candidate.v5_14 import MmuV5_14
from reference.machine.instructions import IPAS2E1IS, IPAS2LE1IS, ISH, ISHST, VMALLE1IS, VMALLS12E1, VMALLS12E1IS
from reference.mmu import Mmu
from reference.pgtable import Pgtable
from reference.services.structs import kvm_s2_mmu
from reference.tlb import AnyTlb, TlbVhe, tlb_inv_context

from .case import Case, each, violations
from .practice_unmap import RangeUnmap

PAGE = "slot a size=8K backing=anon\ncpu0 read a+0\ncpu0 read a+4K\nhost discard a+0 4K\n"
TABLE = "slot a size=4M backing=anon\ncpu0 read a+0\ncpu0 read a+2M\nhost discard a+0 4K\n"
LOG = "slot a size=4K backing=anon\ncpu0 write a+0\nlog a on\n"
FOUR = "".join(f"cpu0 read a+{at}K\n" for at in (0, 4, 8, 12))
RANGE = f"vm cpus=1 range=on\nslot a size=64K backing=anon\n{FOUR}host discard a+0 12K\n"
LEAF = "tlb: stage2_unmap_walker: leaf not flushed L3"


def by(tlb: type[AnyTlb]) -> Candidate:
    """Return the original with another tlb.c."""
    return Candidate("broken", Pgtable, Mmu, "for a test", tlb=tlb)


class ByInstructions(TlbVhe):
    """Flushes an address by the instructions of *between*, in the right context."""

    def between(self, ipa: int, level: int) -> None:
        raise NotImplementedError

    def __kvm_tlb_flush_vmid_ipa__(self, mmu: kvm_s2_mmu, ipa: int, level: int) -> None:
        cxt = tlb_inv_context()
        self.__tlb_switch_to_guest__(mmu, cxt)
        self.between(ipa, level)
        self.__tlb_switch_to_host__(cxt)


class WholeVmid(ByInstructions):
    """Right: flushes more than requested."""

    def between(self, ipa: int, level: int) -> None:
        self.a.dsb(ISHST)
        self.__tlbi__(VMALLS12E1IS)
        self.a.dsb(ISH)


class StrongerBarrier(ByInstructions):
    """Right: begins with a barrier that also orders loads, like v6.12 at EL1."""

    def between(self, ipa: int, level: int) -> None:
        self.a.dsb(ISH)
        self.__tlbi_level__(IPAS2E1IS, ipa >> 12, level)
        self.a.dsb(ISH)
        self.__tlbi__(VMALLE1IS)
        self.a.dsb(ISH)


class BothStagesTwice(ByInstructions):
    """Right: the first VMALLE1IS is useless, but the second one is effective."""

    def between(self, ipa: int, level: int) -> None:
        self.a.dsb(ISHST)
        self.__tlbi_level__(IPAS2E1IS, ipa >> 12, level)
        self.__tlbi__(VMALLE1IS)
        self.a.dsb(ISH)
        self.__tlbi__(VMALLE1IS)
        self.a.dsb(ISH)


class LastLevel(ByInstructions):
    """Wrong for tables: walk caches keep them."""

    def between(self, ipa: int, level: int) -> None:
        self.a.dsb(ISHST)
        self.__tlbi__(IPAS2LE1IS, ipa >> 12)
        self.a.dsb(ISH)
        self.__tlbi__(VMALLE1IS)
        self.a.dsb(ISH)


class StoresAlone(ByInstructions):
    """Wrong: a barrier that orders only stores does not complete a TLBI."""

    def between(self, ipa: int, level: int) -> None:
        self.a.dsb(ISHST)
        self.__tlbi__(VMALLS12E1IS)
        self.a.dsb(ISHST)


class OneCpu(TlbVhe):
    """Wrong: other CPUs keep their entries of the VM."""

    def __kvm_tlb_flush_vmid__(self, mmu: kvm_s2_mmu) -> None:
        cxt = tlb_inv_context()
        self.a.dsb(ISHST)
        self.__tlb_switch_to_guest__(mmu, cxt)
        self.__tlbi__(VMALLS12E1)
        self.a.dsb(ISH)
        self.__tlb_switch_to_host__(cxt)


class EvenRange(TlbVhe):
    """Wrong: does not flush the odd page at the end of a range, which needs a TLBI by address."""

    def __flush_s2_tlb_range_op__(self, op: int, start: int, pages: int, stride: int, tlb_level: int) -> None:
        super().__flush_s2_tlb_range_op__(op, start, pages & ~1, stride, tlb_level)


CASES = (
    Case("a barrier of stores alone", LEAF, by(StoresAlone), "vm cpus=1\n" + PAGE, by(WholeVmid)),
    Case(
        "the last level alone",
        "lifetime: stage2_unmap_walker: freed before the flush",
        by(LastLevel),
        "vm cpus=1\n" + TABLE,
        by(StrongerBarrier),
    ),
    Case("one CPU alone", "tlb: stage2_attr_walker: leaf not flushed L3", by(OneCpu), "vm cpus=1\n" + LOG),
    Case(
        "a range that lacks its odd page",
        LEAF,
        Candidate("broken", RangeUnmap, MmuV5_14, "for a test", tlb=EvenRange),
        RANGE,
        Candidate("good", RangeUnmap, MmuV5_14, "for a test"),
    ),
)


@each(CASES)
def test_bad(case: Case) -> None:
    assert case.first_bad() == case.signature


@each(CASES)
def test_good(case: Case) -> None:
    assert case.all_good() == []


@pytest.mark.parametrize("design", [WholeVmid, StrongerBarrier, BothStagesTwice])
@pytest.mark.parametrize("text", ["vm cpus=1\n" + PAGE, "vm cpus=1 ttl=on\n" + PAGE, "vm cpus=1\n" + TABLE])
def test_right_ways_to_flush_an_address(design: type[AnyTlb], text: str) -> None:
    assert violations(by(design), text) == []


class NothingBetween(ByInstructions):
    """Wrong: VMALLE1IS may remove combined entries first, which remaining stage-2 entries then restore."""

    def between(self, ipa: int, level: int) -> None:
        self.a.dsb(ISHST)
        self.__tlbi_level__(IPAS2E1IS, ipa >> 12, level)
        self.__tlbi__(VMALLE1IS)
        self.a.dsb(ISH)


class OneStage(ByInstructions):
    """Wrong: keeps combined entries."""

    def between(self, ipa: int, level: int) -> None:
        self.a.dsb(ISHST)
        self.__tlbi_level__(IPAS2E1IS, ipa >> 12, level)
        self.a.dsb(ISH)


@pytest.mark.parametrize(
    ("design", "order"),
    [
        (NothingBetween, "no DSB came between that and the invalidation of stage 1 (TLBI VMALLE1)"),
        (OneStage, "combined entries were not invalidated after that (TLBI VMALLE1)"),
    ],
)
def test_entries_left_by_a_flush_by_address_have_their_own_reason(design: type[AnyTlb], order: str) -> None:
    (found, *_) = violations(by(design), "vm cpus=1\n" + PAGE)
    assert found.signature == LEAF
    assert f"may still hold it: it was flushed by IPA, but {order}, so a combined entry may stay" in found.reason
    (found, *_) = violations(by(StoresAlone), "vm cpus=1\n" + PAGE)
    assert "flushed by IPA" not in found.reason


@pytest.mark.parametrize(
    ("name", "slot", "first", "shown"),
    [
        # One instruction should flush 8G, but flushes 512M.
        ("bug-tlb-range-most", "size=8G", "508K", False),
        ("bug-tlb-range-most", "size=8G", "524284K", False),
        ("bug-tlb-range-most", "size=8G", "512M", True),
        ("bug-tlb-range-most", "size=16G", "15G", True),
        ("bug-tlb-range-most", "size=8388604K", "512M", False),
        ("bug-tlb-range-most", "size=8388612K", "8G", False),
        # A single remaining page is flushed by address.
        ("bug-tlb-range-hint", "size=4K", "0", True),
        ("bug-tlb-range-hint", "size=8K", "0", False),
        ("bug-tlb-range-hint", "size=12K", "8K", True),
        ("bug-tlb-range-hint", "size=12K", "0", False),
    ],
)
def test_entries_left_by_a_wrong_range_flush(name: str, slot: str, first: str, shown: bool) -> None:
    text = f"vm ttl=on range=on\nslot a {slot} backing=anon\ncpu0 write a+{first}\nlog a on\n"
    assert any(each.checker == "tlb" for each in violations(candidate.get(name), text)) == shown
    assert violations(candidate.get("v6.6-range"), text) == []


@pytest.mark.parametrize(("ttl", "range_"), [("off", "on"), ("on", "off")])
def test_a_level_of_0_needs_hints_and_ranges(ttl: str, range_: str) -> None:
    text = f"vm ttl={ttl} range={range_}\nslot a size=4K backing=anon\ncpu0 write a+0\nlog a on\n"
    assert violations(candidate.get("bug-tlb-range-hint"), text) == []


def test_the_last_level_alone_is_right_for_leaves() -> None:
    assert violations(by(LastLevel), "vm cpus=1\n" + PAGE) == []


@pytest.mark.parametrize(
    "name", ["bug-tlb-stage-two", "bug-tlb-unpaired", "bug-tlb-shift", "bug-tlb-vmid", "bug-tlb-host"]
)
def test_a_guest_uses_a_translation_that_was_not_flushed(name: str) -> None:
    """The machine executes the instructions, so an access hits the stale translation."""
    found = violations(candidate.get(name), "vm cpus=1\n" + PAGE + "cpu0 read a+0\n")
    assert "isolation: kvm_handle_guest_abort: access to a frame not owned, through the TLB L3" in {
        each.signature for each in found
    }


def test_another_cpu_uses_its_translation_after_a_local_flush() -> None:
    two = "vm cpus=2\nslot a size=8K backing=anon\ncpu1 read a+0\ncpu0 read a+4K\nhost discard a+0 4K\n"
    found = violations(candidate.get("bug-tlb-local"), two + "cpu1 read a+0\n")
    assert any(each.checker == "isolation" for each in found)
