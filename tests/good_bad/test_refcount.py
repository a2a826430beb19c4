# SPDX-License-Identifier: GPL-2.0-only
"""refcount: 1 + the number of valid entries, or of nonzero entries since v5.13."""

from typing import ClassVar

import pytest

import candidate
from candidate import Candidate
from candidate.v5_14 import PgtableV5_14
from reference.pgtable import Pgtable, stage2_attr_data, stage2_map_data
from reference.services.structs import kvm_s2_mmu

from .case import Case, broken, each, violations
from .switched import Coalesce, CoalesceFirst, Map, Split, Unmap

COALESCE = "vm cpus=1 fwb=on\nslot a size=2M backing=thp log=on\ncpu0 read a+0\nlog a off\ncpu0 read a+4K\n"
UNMAP = "vm cpus=1 fwb=on\nslot a size=8K backing=anon\ncpu0 read a+0\ncpu0 read a+4K\nhost discard a+0 4K\n"


class LeavesAddressBits(PgtableV5_14):
    """Clears only the valid bit, as before v5.13: the rest of the entry still counts."""

    def kvm_clear_pte(self, ptep: int) -> None:
        self.kvm_set_invalid_pte(ptep)


class CountsMoreThanValid(Pgtable):
    """The original, judged by v5.13's rule: its cleared entries are not zero."""

    COUNTS_NON_ZERO: ClassVar[bool] = True


class KeepsTheReference(PgtableV5_14):
    """Clears an entry without dropping its reference."""

    def stage2_put_pte(self, ptep: int, mmu: kvm_s2_mmu, addr: int, level: int) -> None:
        super().stage2_put_pte(ptep, mmu, addr, level)
        self.k.get_page(self.k.virt_to_page(ptep))


class KeepsTheAnchorsReference(PgtableV5_14):
    """POST without the put of the table that the block replaces."""

    def stage2_map_walk_table_post(self, addr: int, end: int, level: int, ptep: int, data: stage2_map_data) -> int:
        anchor = data.anchor == ptep
        ret = super().stage2_map_walk_table_post(addr, end, level, ptep, data)
        if anchor:
            self.k.get_page(self.k.virt_to_page(ptep))
        return ret


class PinsWhatItAges(Pgtable):
    """Takes a reference to the table of each leaf that it reads, even if it stores nothing."""

    def stage2_attr_walker(self, addr: int, end: int, level: int, ptep: int, flag: int, arg: stage2_attr_data) -> int:
        self.k.get_page(self.k.virt_to_page(ptep))
        return super().stage2_attr_walker(addr, end, level, ptep, flag, arg)


CASES = (
    Case(
        "map without get",
        "refcount: stage2_map_walker: too few references L3",
        Map.without("get"),
        "vm cpus=1 fwb=on\nslot a size=4K backing=anon\ncpu0 read a+0\n",
    ),
    Case(
        "split without put",
        "refcount: stage2_map_walker: too many references L2",
        Split.without("put"),
        "vm cpus=1 fwb=on\nslot a size=2M backing=thp\ncpu0 read a+0\nlog a on\ncpu0 write a+0\n",
    ),
    Case(
        "coalesce without put",
        "refcount: stage2_map_walker: too many references L2",
        Coalesce.without("put"),
        COALESCE,
    ),
    Case(
        "coalesce with a put too many",
        "refcount: stage2_map_walker: too few references L2",
        broken(CoalesceFirst),
        COALESCE,
        candidate.get("rfc-v1-3"),
    ),
    Case(
        "unmap without put",
        "refcount: stage2_unmap_walker: too many references L3",
        Unmap.without("put"),
        UNMAP,
    ),
    Case(
        "cleared and not zero where that counts",
        "refcount: stage2_unmap_walker: too few references L3",
        broken(LeavesAddressBits),
        UNMAP,
        candidate.get("v5.14"),
    ),
    Case(
        "which entries count is the version's",
        "refcount: stage2_unmap_walker: too few references L3",
        broken(CountsMoreThanValid),
        UNMAP,
    ),
    Case(
        "zeroed without put",
        "refcount: stage2_unmap_walker: too many references L3",
        broken(KeepsTheReference),
        UNMAP,
        candidate.get("v5.14"),
    ),
    Case(
        "zeroed when a table becomes a block",
        "refcount: stage2_map_walker: too many references L2",
        broken(KeepsTheAnchorsReference),
        COALESCE,
        candidate.get("v5.14"),
    ),
)


@each(CASES)
def test_refcount_good(case: Case) -> None:
    assert case.all_good() == []


@each(CASES)
def test_refcount_bad(case: Case) -> None:
    assert case.first_bad() == case.signature


# Later operations write to the same table, or check its count.
LATER = {
    "mapped again": f"{UNMAP}cpu0 read a+0\n",
    "write-protected": f"{UNMAP}log a on\n",
    "mapped again by one operation": "vm cpus=2 fwb=on\nslot a size=8K backing=anon\ncpu0 read a+4K\ncpu0 read a+0\n"
    "par\n  host0 discard a+0 4K\n  cpu0 read a+0\n  switch host0 to cpu0 after unlock 1\nend\n",
}


@pytest.mark.parametrize("text", LATER.values(), ids=LATER)
def test_a_wrong_count_is_attributed_to_its_cause(text: str) -> None:
    """The wrong count may be seen later, after other functions have written to the table."""
    assert violations(Unmap.without(), text) == []
    assert set(counted(Unmap.without("put"), text)) == {"refcount: stage2_unmap_walker: too many references L3"}


class Uneven(Map, Unmap):
    """Maps without a get, unmaps without a put, and write-protects with an extra get."""

    out = frozenset({"get", "put"})

    def stage2_attr_walker(self, addr: int, end: int, level: int, ptep: int, flag: int, data: stage2_attr_data) -> int:
        ret = super().stage2_attr_walker(addr, end, level, ptep, flag, data)
        if self.kvm_pte_valid(self.mem[ptep]):
            self.k.get_page(self.k.virt_to_page(ptep))
        return ret


def counted(version: Candidate, text: str) -> list[str]:
    """Return the signatures of this rule in order, without duplicates."""
    found = [each.signature for each in violations(version, text)]
    return [each for each in dict.fromkeys(found) if each.startswith("refcount: ")]


def test_a_count_that_is_right_again_is_attributed_to_nobody() -> None:
    """The next wrong count is attributed to its own cause."""
    text = "vm cpus=1 fwb=on\nslot a size=8K backing=anon\ncpu0 read a+0\nlog a on\nhost discard a+0 4K\n"
    assert counted(broken(Uneven), text) == [
        "refcount: stage2_map_walker: too few references L3",
        "refcount: stage2_unmap_walker: too many references L3",
    ]


def test_a_count_that_changes_without_a_store_is_judged_at_once() -> None:
    program = "vm cpus=1\nslot a size=4K backing=anon\ncpu0 read a+0\nhost testage a+0\ncpu0 read a+0\n"
    found = violations(broken(PinsWhatItAges), program)[0]
    assert found.signature == "refcount: stage2_attr_walker: too many references L3"
    assert found.at == 1
