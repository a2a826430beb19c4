# SPDX-License-Identifier: GPL-2.0-only
"""progress: an access completes within a bounded number of faults, a walk within bounded steps."""

import pytest

from reference.pgtable import (
    KVM_PTE_LEAF_ATTR_HI_S2_XN,
    Pgtable,
    kvm_pgtable,
    kvm_pgtable_walk_data,
    stage2_map_data,
)
from reference.services.errors import EAGAIN

from .case import Case, broken, each, violations


class NeverMap(Pgtable):
    def stage2_map_walker_try_leaf(self, addr: int, end: int, level: int, ptep: int, data: stage2_map_data) -> int:
        return -EAGAIN


class NeverRelax(Pgtable):
    def stage2_update_leaf_attrs(
        self, pgt: object, addr: int, size: int, attr_set: int, attr_clr: int
    ) -> tuple[int, int, int]:
        return 0, 0, 0


class NeverFlush(Pgtable):
    def kvm_pgtable_stage2_relax_perms(self, pgt: kvm_pgtable, addr: int, prot: int) -> int:
        ret, _, _ = self.stage2_update_leaf_attrs(pgt, addr, 1, 0, KVM_PTE_LEAF_ATTR_HI_S2_XN)
        return ret


class NeverEnd(Pgtable):
    def _kvm_pgtable_walk(self, data: kvm_pgtable_walk_data) -> int:
        start = data.addr
        while not super()._kvm_pgtable_walk(data):
            data.addr = start
        return 0


PAGE = "vm cpus=1 fwb=on\nslot a size=4K backing=anon\n"
STUCK = "progress: kvm_handle_guest_abort: access does not complete"

CASES = (
    Case("no mapping is made", STUCK, broken(NeverMap), PAGE + "cpu0 read a+0\n"),
    Case("no permission is given", STUCK, broken(NeverRelax), PAGE + "cpu0 read a+0\ncpu0 fetch a+0\n"),
    Case("the TLB is not flushed", STUCK, broken(NeverFlush), PAGE + "cpu0 read a+0\ncpu0 fetch a+0\n"),
    Case(
        "a walk that does not end",
        "progress: stage2_unmap_walker: too many steps",
        broken(NeverEnd),
        PAGE + "host discard a+0 4K\n",
    ),
)


@each(CASES)
def test_progress_good(case: Case) -> None:
    assert case.all_good() == []


@each(CASES)
def test_progress_bad(case: Case) -> None:
    assert case.first_bad() == case.signature


def test_a_stale_tlb_entry_is_named() -> None:
    stuck = {case.name: violations(case.bad, case.text)[0].reason for case in CASES if case.signature == STUCK}
    told = {name for name, reason in stuck.items() if "by an entry in the TLB of the CPU: page@" in reason}
    assert told == {"the TLB is not flushed"}


TWO_CPUS = "vm cpus=2 fwb=on\nslot a size=8K backing=anon\n"
PAR = "par\n  cpu0 fetch a+0\n  {other}\nend\n"


@pytest.mark.parametrize("other", ["cpu1 read a+4K", "host0 discard a+4K 4K"])
def test_an_access_of_a_par_block_is_named_after_its_own_fault(other: str) -> None:
    """Not after the last call before the block, or of another actor."""
    found = violations(broken(NeverFlush), TWO_CPUS + "cpu0 read a+0\nhost discard a+4K 4K\n" + PAR.format(other=other))
    assert [each.signature for each in found if each.checker == "progress"] == [STUCK]
    assert "by an entry in the TLB of the CPU: page@" in found[0].reason


def test_both_accesses_of_a_par_block() -> None:
    found = violations(broken(NeverMap), TWO_CPUS + PAR.format(other="cpu1 read a+4K"))
    assert [each.signature for each in found] == [STUCK, STUCK]
