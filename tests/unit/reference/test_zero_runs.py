# SPDX-License-Identifier: GPL-2.0-only
"""Runs of zero entries: walks that skip them have the same effects as walks that visit each."""

from dataclasses import replace
from typing import Any, ClassVar

import pytest

import candidate
from candidate.v5_14 import PgtableV5_14
from fuzz.execution.executor import Executor
from fuzz.generation.generator import Generator
from fuzz.judging.differential import Differential
from fuzz.language.text import parse
from reference.machine.sparse import SparseWords
from reference.pgtable import Pgtable, kvm_pgtable_walk_data, stage2_map_data
from reference.zero_runs import skippable_runs, zeroes_from

from ...measuring.stored_verdicts import digests

PROGRAMS = 25
PORTS = candidate.names()
UNMAP = "s2fuzz 1\nvm granule=4K\nslot a size=64K backing=anon\ntable unmap a+0 16K\n"


def test_zeroes_from() -> None:
    words = SparseWords()
    words.grow(2048)
    for at in (0, 7, 8, 63, 64, 100, 511, 600, 1999):
        words[at] = 1
    for start in range(0, 1200, 13):
        for most in (0, 1, 8, 9, 64, 512, 800):
            literal = 0
            while literal < most and words[start + literal] == 0:
                literal += 1
            assert zeroes_from(words, start, most) == literal


class Overriding(Pgtable):
    def stage2_flush_walker(self, addr: int, end: int, level: int, ptep: int, flag: int, arg: None) -> int:
        return 0


class Visiting(Overriding):
    def __kvm_pgtable_visit__(self, data: kvm_pgtable_walk_data, ptep: int, level: int) -> int:
        return super().__kvm_pgtable_visit__(data, ptep, level)


class Declaring(Visiting):
    PASSES_ZEROES: ClassVar[tuple[str, ...]] = ("stage2_unmap_walker",)


class Later(Declaring):
    def stage2_unmap_walker(self, addr: int, end: int, level: int, ptep: int, flag: int, arg: Any) -> int:
        return super().stage2_unmap_walker(addr, end, level, ptep, flag, arg)


class MapsLeaves(Pgtable):
    def stage2_map_walk_leaf(self, addr: int, end: int, level: int, ptep: int, data: stage2_map_data) -> int:
        return super().stage2_map_walk_leaf(addr, end, level, ptep, data)


class Maps(Pgtable):
    def stage2_map_walker(self, addr: int, end: int, level: int, ptep: int, flag: int, arg: stage2_map_data) -> int:
        return super().stage2_map_walker(addr, end, level, ptep, flag, arg)


class ZeroIsValid(Pgtable):
    def kvm_pte_valid(self, pte: int) -> bool:
        return pte == 0 or super().kvm_pte_valid(pte)


class ZeroIsCounted(PgtableV5_14):
    def stage2_pte_is_counted(self, pte: int) -> bool:
        return True


class Asked(Pgtable):
    def kvm_pte_table(self, pte: int, level: int) -> bool:
        self.zeroes = getattr(self, "zeroes", 0) + (pte == 0)
        return super().kvm_pte_table(pte, level)


class SaysZeroIsATable(Declaring):
    def kvm_pte_table(self, pte: int, level: int) -> bool:
        return pte == 0 or super().kvm_pte_table(pte, level)


def test_a_version_that_treats_zeroes_specially_sees_them() -> None:
    """Check that a version that treats zero as more than an empty entry has its callbacks called for it."""
    nothing: tuple[bool, frozenset[str]] = (False, frozenset())
    assert skippable_runs(ZeroIsValid) == skippable_runs(ZeroIsCounted) == skippable_runs(SaysZeroIsATable) == nothing
    assert skippable_runs(PgtableV5_14)[0]


def test_a_zero_taken_for_valid_drops_a_reference() -> None:
    """Check that a version that takes zeroes for valid entries drops a reference for each in an unmapped range."""
    executor = Executor(replace(candidate.get("original"), pgtable=ZeroIsValid), parse(UNMAP))
    assert not executor.create()
    found = executor.step(0)[1]
    assert [each.signature for each in found] == ["lifetime: stage2_unmap_walker: root freed L1"]


def test_an_overridden_kvm_pte_table_sees_zeroes() -> None:
    """Check that a version's own `kvm_pte_table` is called for zeroes, too."""
    executor = Executor(replace(candidate.get("original"), pgtable=Asked), parse(UNMAP))
    assert not executor.create()
    assert not executor.step(0)[1]
    assert executor.side.pgtable.zeroes  # type: ignore[attr-defined]


def test_an_overriding_version_must_declare_anew() -> None:
    assert skippable_runs(Pgtable) == (True, frozenset(Pgtable.PASSES_ZEROES))
    assert skippable_runs(Overriding) == (True, frozenset(Pgtable.PASSES_ZEROES) - {"stage2_flush_walker"})
    assert skippable_runs(Visiting) == (False, frozenset())
    assert skippable_runs(Declaring) == (True, frozenset(["stage2_unmap_walker"]))
    assert skippable_runs(Later) == (True, frozenset())


def test_an_overridden_map_sees_zeroes_below_an_anchor() -> None:
    others = frozenset(Pgtable.PASSES_ZEROES) - {"stage2_map_walk_leaf"}
    assert len(others) == len(Pgtable.PASSES_ZEROES) - 1
    assert skippable_runs(MapsLeaves) == skippable_runs(Maps) == (True, others)


@pytest.mark.parametrize("name", PORTS)
def test_skipping_and_visiting_zeroes_have_the_same_result(name: str) -> None:
    """Compare a version with a copy of it that visits each entry: verdict and cost are the same."""
    version = candidate.get(name)

    class Literal(version.pgtable):  # type: ignore[misc, name-defined]
        PASSES_ZEROES: ClassVar[tuple[str, ...]] = ()

    assert skippable_runs(version.pgtable)[0]
    assert skippable_runs(Literal) == (False, frozenset())
    literal = replace(version, pgtable=Literal)
    generator = Generator(3)
    for _ in range(PROGRAMS):
        program = generator.next()
        verdict = Differential(version, literal, measure=True).run(program)
        assert verdict.costs is not None
        assert verdict.costs.reference == verdict.costs.candidate
        passing = Differential(version, version, measure=True).run(program)
        assert digests(Differential(literal, literal, measure=True).run(program)) == digests(passing)
