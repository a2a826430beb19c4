# SPDX-License-Identifier: GPL-2.0-only
"""tlb: the level hint of a TLBI is the level of the leaf, also where nothing was taken away."""

import pytest

import candidate
from candidate import Candidate
from fuzz.language.text import parse
from reference.mmu import Mmu
from reference.pgtable import Pgtable, kvm_pgtable

from .case import ORIGINAL, Case, all_found, broken, each, violations

BLOCK = (
    "vm cpus=1 fwb=on dic=on ttl={}\nslot a size=2M backing=thp\ncpu0 write a+0\nlog a on\nlog a off\ncpu0 write a+0\n"
)
PAGE = "vm cpus=1 fwb=on dic=on ttl=on\nslot a size=4K backing=anon\ncpu0 write a+0\nlog a on\ncpu0 write a+0\n"
WRONG = "tlb: stage2_attr_walker: flushed with the hint of another level "


class HintsPage(Pgtable):
    """Passes a fixed level as hint when it flushes a relaxed leaf."""

    LEVEL = 3

    def stage2_update_leaf_attrs(
        self, pgt: kvm_pgtable, addr: int, size: int, attr_set: int, attr_clr: int
    ) -> tuple[int, int, int]:
        ret, pte, _ = super().stage2_update_leaf_attrs(pgt, addr, size, attr_set, attr_clr)
        return ret, pte, self.LEVEL


class HintsBlock(HintsPage):
    LEVEL = 2


class HintsNothing(HintsPage):
    LEVEL = 0


class FlushesTwice(Pgtable):
    """Flushes a relaxed leaf once more, by the level of a larger block."""

    def kvm_pgtable_stage2_relax_perms(self, pgt: kvm_pgtable, addr: int, prot: int) -> int:
        ret = super().kvm_pgtable_stage2_relax_perms(pgt, addr, prot)
        self.k.__kvm_tlb_flush_vmid_ipa__(pgt.mmu, addr, 1)
        return ret


PAGES, NONE = broken(HintsPage), broken(HintsNothing)

CASES = (
    Case("a block, hint of the last level", WRONG + "L2", PAGES, BLOCK.format("on"), NONE),
    Case("a page, hint of a block", WRONG + "L3", broken(HintsBlock), PAGE, PAGES),
    Case("a page, flushed a second time", WRONG + "L3", broken(FlushesTwice), PAGE),
)


@each(CASES)
def test_level_hints_good(case: Case) -> None:
    assert case.all_good() == []


@each(CASES)
def test_level_hints_bad(case: Case) -> None:
    assert case.first_bad() == case.signature


def test_without_level_hints_no_hint_is_wrong() -> None:
    assert violations(PAGES, BLOCK.format("off")) == []


SPLIT = """s2fuzz 1
vm cpus=2 ttl=on
slot a size=2M backing=thp
cpu0 write a+0
log a on
log a off
par
  cpu0 write a+0
  host0 split a+0
  switch cpu0 to host0 before flush 1
end
cpu0 write a+0
"""


@pytest.mark.parametrize("version", [ORIGINAL, candidate.get("v5.14"), Candidate("again", Pgtable, Mmu, "for a test")])
def test_a_leaf_that_another_actor_replaces_before_the_flush_had_the_level_of_the_hint(version: Candidate) -> None:
    found = [each.signature for each in all_found(version, parse(SPLIT))]
    assert [each for each in found if "hint" in each] == []


@pytest.mark.parametrize("version", ["original", "v5.12.9", "v5.14"])
def test_a_flush_with_a_vmid_that_another_vm_has_now(version: str) -> None:
    """A VM that has not run since the VMIDs rolled over flushes with its former one, by the level of its own leaf."""
    text = (
        "vm ipa=38 cpus=1 vms=2 fwb=on ttl=on\nslot a ipa=2050M size=4M backing=thp offset=2M vm=1\n"
        "slot b ipa=2G size=4M backing=thp log=on alias=a\ntable map b+2M 4K r\ncpu1 rollover\ncpu1 write a+0\n"
        "table unmap b+2M 2M\n"
    )
    assert violations(candidate.get(version), text) == []
