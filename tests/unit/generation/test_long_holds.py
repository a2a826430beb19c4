# SPDX-License-Identifier: GPL-2.0-only
"""Programs with enough tables to distinguish a call that keeps the mmu lock from one that drops it."""

import random
from typing import Final

import pytest

from fuzz.generation.generator import Generator
from fuzz.generation.long_holds import filled
from fuzz.judging.differential import Differential
from fuzz.judging.stretch import ENTRIES
from fuzz.language.operations import TableMap
from fuzz.language.program import Program, Slot, Vm
from fuzz.language.text import parse, print_program
from tests.good_bad.case import ORIGINAL, broken
from tests.good_bad.test_stretch import HELD, NeverReschedules

# IPA sizes for which each root entry has few tables, so that the original reschedules between two entries.
IPA: Final = {4 << 10: 38, 16 << 10: 40, 64 << 10: 42}


def tables(program: Program) -> int:
    """Return the number of tables that map single pages at the beginning of a program."""
    block = program.vm.granule * program.vm.granule // 8
    return len({each.offset // block for each in program.operations if isinstance(each, TableMap)})


@pytest.mark.parametrize("granule", IPA)
def test_a_call_that_keeps_the_lock_is_found(granule: int) -> None:
    vm = Vm(granule=granule, ipa=IPA[granule])
    program = Program(vm, (Slot("a", 0, 1 << 30, "anon"),), ())
    found = set()
    for seed in range(12):
        made = filled(program, program.slots[0], random.Random(seed))
        assert tables(made) * (granule // 8) > ENTRIES
        assert made == parse(print_program(made))
        findings = Differential(ORIGINAL, broken(mmu=NeverReschedules)).run(made).findings
        found |= {each.signature for each in findings}
        assert not Differential(ORIGINAL, ORIGINAL).run(made).findings
    assert found == {HELD.format(each) for each in ("kvm_set_memory_region", "kvm_mmu_notifier_invalidate_range_start")}


def test_some_random_programs_have_enough_tables() -> None:
    generator = Generator(1, granule=4 << 10)
    assert any(tables(program) * 512 > ENTRIES for program in (generator.next() for _ in range(400)))
