# SPDX-License-Identifier: GPL-2.0-only
"""The fixed mix is the same for every version of s2fuzz, and every version can read it."""

import hashlib
import lzma
from importlib.resources import files
from itertools import pairwise

import pytest

import fuzz.benchmark
from fuzz.benchmark import fixed
from fuzz.language.program import KIB
from fuzz.language.text import print_program
from fuzz.language.validate import validate

# Digest of the stored programs. Figures of a changed mix compare with no earlier ones: add a new mix instead.
_DIGEST = "9f2de57ec35558691ea30bb7092aa529668811a5e25642828978ebe95607832e"


def test_the_stored_programs_are_unchanged() -> None:
    stored = lzma.decompress(files(fuzz.benchmark).joinpath("fixed-mix.s2.xz").read_bytes())
    assert hashlib.sha256(stored).hexdigest() == _DIGEST
    # The language still has the same meaning.
    assert "".join(print_program(program).rstrip() + "\n" for program in fixed.programs()).encode() == stored


def test_programs_are_valid_and_of_all_sizes_of_pages() -> None:
    programs = fixed.programs()
    assert len(programs) == fixed.COUNT
    for program in programs:
        validate(program)
    assert {program.vm.granule for program in programs} == {4 * KIB, 16 * KIB, 64 * KIB}
    assert not any(one == other for one, other in pairwise(programs))


def test_a_part_of_the_mix_is_its_beginning() -> None:
    assert fixed.programs(7) == fixed.programs()[:7]
    with pytest.raises(ValueError, match="1200 programs, not 1201"):
        fixed.programs(fixed.COUNT + 1)


def test_the_capped_mix_shortens_a_few() -> None:
    programs = fixed.programs()
    changed = [
        (program, short)
        for number, program in enumerate(programs)
        if (short := fixed.shortened(number, program)) != program
    ]
    assert 0 < len(changed) < fixed.COUNT // 10
    assert all(len(short.operations) == len(program.operations) for program, short in changed)
