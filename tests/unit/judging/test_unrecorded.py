# SPDX-License-Identifier: GPL-2.0-only
"""A patch that flushes more than the original does not count as a different map if only an access flag differs."""

import pytest

import candidate
from candidate import Candidate
from fuzz.judging.differential import Differential, Lockstep
from fuzz.judging.tables import Stores, maps_differ
from fuzz.language.text import parse
from reference.last_code_places import LastCodePlaces
from reference.machine.granule import Granule
from reference.mmu import Mmu
from reference.pgtable import Pgtable, kvm_pgtable

ORIGINAL = candidate.get("original")
# The second write hits its leaf in the TLB, and the flag stays clear, unless the whole TLB was flushed.
START = """s2fuzz 1
vm cpus=1 fwb=on
slot a size=68K backing=anon
cpu0 write a+0
cpu0 write a+20K
host age a+20K 4K{}
host discard a+0 4K
cpu0 write a+20K
"""
UNFLUSHED = " flush=off"


class FlushMore(Pgtable):
    """Flushes everything once more after unmapping."""

    def kvm_pgtable_stage2_unmap(self, pgt: kvm_pgtable, addr: int, size: int) -> int:
        ret = super().kvm_pgtable_stage2_unmap(pgt, addr, size)
        self.k.__kvm_tlb_flush_vmid__(pgt.mmu)
        return ret


class NeverOld(Pgtable):
    """Never clears an access flag."""

    def kvm_pgtable_stage2_mkold(self, pgt: kvm_pgtable, addr: int) -> int:
        return 0


def run(pgtable: type[Pgtable], text: str) -> Lockstep:
    """Run both sides to the end of the program, without teardown."""
    program = parse(text)
    lockstep = Lockstep(Differential(ORIGINAL, Candidate("test", pgtable, Mmu, "for a test")), program)
    for at in range(len(program.operations)):
        lockstep.step(at)
    return lockstep


def test_an_access_that_only_one_side_records_is_excused() -> None:
    lockstep = run(FlushMore, START.format(UNFLUSHED))
    assert lockstep.differences == {}
    assert lockstep.flags.sides[0].leaves == {(0, 3, 0x40005000)}
    assert lockstep.flags.sides[1].leaves == set()


def test_the_age_reported_to_the_host_is_excused() -> None:
    lockstep = run(FlushMore, START.format(UNFLUSHED) + "host testage a+20K\nhost age a+20K 4K\n")
    assert lockstep.differences == {}
    # Both are old now: nothing is excused any more.
    assert lockstep.flags.sides[0].leaves == set()


@pytest.mark.parametrize(("offset", "excused"), [("20K", True), ("16K", False)])
def test_a_map_over_an_excused_leaf(offset: str, excused: bool) -> None:
    """Check that an old leaf is written anew, while a leaf that differs only in its rights stays."""
    lockstep = run(FlushMore, START.format(UNFLUSHED) + f"table map a+{offset} 4K r\n")
    assert lockstep.differences == {}
    assert lockstep.ordered is not excused


def test_other_pages_are_judged() -> None:
    """Check that only the page that differs is excused; the age of another page that differs is reported."""
    text = START.format(UNFLUSHED) + "host testage a+16K\n"
    lockstep = run(FlushMore, text)
    op = lockstep.program.operations[-1]
    assert not lockstep.flags.answer(op)
    assert not lockstep.flags.may_differ(0, 3, 0x40004000, 1 << 10, 0)
    # Not excused: the flag is clear on the side without the access, or the entries differ in more than the flag.
    assert not lockstep.flags.may_differ(0, 3, 0x40005000, 1 << 10, 0)
    assert lockstep.flags.may_differ(0, 3, 0x40005000, 0, 1 << 10)
    assert not lockstep.flags.may_differ(0, 3, 0x40005000, 0, 1 << 10 | 1 << 7)


def test_a_patch_that_leaves_flags_set_is_found() -> None:
    differences = run(NeverOld, START.format(UNFLUSHED)).differences
    assert list(differences) == ["result: host age", "map"]


def test_a_difference_that_is_no_longer_excused_counts() -> None:
    """Check that once a difference was excused, a table that neither side wrote to is compared, too."""
    lockstep = run(FlushMore, START.format(UNFLUSHED))
    left, right = lockstep.left.checkers, lockstep.right.checkers
    for checkers in (left, right):
        shadow = checkers.shadows[0]
        shadow.touched.clear()
        shadow.touched[shadow.roots[0].page] = shadow.roots[0]
    assert maps_differ(left, right, lockstep.flags) == ""
    lockstep.flags.sides[0].leaves.clear()
    assert maps_differ(left, right, lockstep.flags).startswith("0x40005000, level 3: ")


def test_the_places_of_a_difference_name_the_sides() -> None:
    """Check that the text does not say "original", because the reference may be any version."""
    stores = Stores(LastCodePlaces(), LastCodePlaces(), Granule(12))
    assert stores.text("f1", "f2") == "; reference: written at f1; candidate: written at f2"
    assert stores.text("", "") == ""
