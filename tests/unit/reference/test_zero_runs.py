# SPDX-License-Identifier: GPL-2.0-only
"""Runs of zero entries: walks that pass them show what walks do that visit each."""

from dataclasses import replace
from typing import Any, ClassVar

import pytest

import candidate
from fuzz.generation.generator import Generator
from fuzz.judging.differential import Differential
from reference.pgtable import Pgtable, kvm_pgtable_walk_data
from reference.zero_runs import passed_by, zeroes_from

from ...stored_verdicts import digests

PROGRAMS = 25
PORTS = candidate.names()


def test_zeroes_from() -> None:
    words = [0] * 2000
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


def test_who_overrides_declares_anew() -> None:
    assert passed_by(Pgtable) == (True, frozenset(Pgtable.PASSES_ZEROES))
    assert passed_by(Overriding) == (True, frozenset(Pgtable.PASSES_ZEROES) - {"stage2_flush_walker"})
    assert passed_by(Visiting) == (False, frozenset())
    assert passed_by(Declaring) == (True, frozenset(["stage2_unmap_walker"]))
    assert passed_by(Later) == (True, frozenset())


@pytest.mark.parametrize("name", PORTS)
def test_alike(name: str) -> None:
    """A version and the same one that visits each entry: no verdict and no cost differs between the two."""
    version = candidate.get(name)

    class Literal(version.pgtable):  # type: ignore[misc, name-defined]
        PASSES_ZEROES: ClassVar[tuple[str, ...]] = ()

    assert passed_by(version.pgtable)[0]
    assert passed_by(Literal) == (False, frozenset())
    literal = replace(version, pgtable=Literal)
    generator = Generator(3)
    for _ in range(PROGRAMS):
        program = generator.next()
        verdict = Differential(version, literal, measure=True).run(program)
        assert verdict.costs is not None
        assert verdict.costs.reference == verdict.costs.candidate
        passing = Differential(version, version, measure=True).run(program)
        assert digests(Differential(literal, literal, measure=True).run(program)) == digests(passing)
