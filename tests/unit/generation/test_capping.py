# SPDX-License-Identifier: GPL-2.0-only
"""Ranges that kernel code processes page by page: short in most programs, and whole in some."""

import pytest

from fuzz.generation.capping import PAGES, WHOLE, capped, excess
from fuzz.generation.generator import Generator
from fuzz.language.operations import SlotRange, TableMap
from fuzz.language.program import KIB, Program
from fuzz.language.text import parse
from fuzz.language.validate import validate

COUNT = 400
_START = "s2fuzz 1\nvm granule=64K\nslot a ipa=1G size=1G backing=thp\n"


def long_ranges(program: Program) -> bool:
    """Return whether a program has a range that is processed page by page and exceeds the bound."""
    slots = {slot.name: slot for slot in program.slots}
    return any(excess(operation, slots, program.vm.granule) for operation in program.operations)


@pytest.fixture(scope="module")
def pairs() -> list[tuple[Program, Program]]:
    """Return programs with large pages, each with whole ranges and as the generator makes it."""
    whole, made = Generator(1, 64 * KIB, whole=True), Generator(1, 64 * KIB)
    return [(whole.next(), made.next()) for _ in range(COUNT)]


def test_only_ranges_above_the_bound_become_shorter(pairs: list[tuple[Program, Program]]) -> None:
    for whole, made in pairs:
        validate(made)
        if not long_ranges(whole):
            assert made == whole


def test_some_programs_stay_whole(pairs: list[tuple[Program, Program]]) -> None:
    large = [(whole, made) for whole, made in pairs if long_ranges(whole)]
    kept = sum(whole == made for whole, made in large)
    assert len(large) > 2 * WHOLE
    assert 0 < kept < len(large) * 3 // WHOLE
    assert sum(long_ranges(made) for _, made in large) == kept


def test_a_shorter_range_keeps_its_start_and_the_odd_bytes_of_its_end() -> None:
    program = parse(_START + "table map a+0x10001 0x20000801 rw\nhost share a+64K 512M\nhost write a+0 128K\n")
    short = next(made for made in (capped(program, number) for number in range(WHOLE)) if made != program)
    ranges = [(op.offset, op.size) for op in short.operations if isinstance(op, (SlotRange, TableMap))]
    page = 64 * KIB
    assert ranges == [(page + 1, PAGES * page + 0x801), (page, PAGES * page), (0, 2 * page)]


def test_a_map_in_blocks_stays_whole() -> None:
    aligned = parse(_START + "table map a+0 1G rw\n")
    assert all(capped(aligned, number) == aligned for number in range(2 * WHOLE))
    skewed = parse(_START.replace("thp", "thp offset=64K") + "table map a+0 1G rw\n")
    assert any(capped(skewed, number) != skewed for number in range(2 * WHOLE))
