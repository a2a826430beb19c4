# SPDX-License-Identifier: GPL-2.0-only
"""Programs in which KVM gets too little memory to create a VM, or to change a slot."""

import random
from collections import Counter
from dataclasses import replace

from fuzz.generation.capabilities import Offers
from fuzz.generation.generator import Generator
from fuzz.generation.shortages import may_fail, shortened, with_failed_creation, with_shortage
from fuzz.language.operations import SetLog, SlotCreate, SlotDelete, SlotMove
from fuzz.language.program import GIB, MIB, Program, Slot, Vm
from fuzz.language.text import parse, print_program

OPERATIONS = (SetLog("a", True), SetLog("a", False), SlotDelete("a"), SlotCreate("a"), SlotMove("a", 4 * GIB))
PROGRAM = Program(Vm(), (Slot("a", GIB, 2 * MIB, "anon"),), OPERATIONS)


def test_calls_that_allocate() -> None:
    assert [may_fail(each) for each in OPERATIONS] == [True, False, False, True, True]
    assert not may_fail(SlotCreate("a", fail=1))


def test_one_call_fails() -> None:
    for at in (0, 3, 4):
        made = shortened(PROGRAM, at, 2)
        assert made == parse(print_program(made))
        fails = [getattr(each, "fail", None) for each in made.operations]
        assert fails == [2 if each == at else None for each in range(len(OPERATIONS))]
    all_made = {with_shortage(PROGRAM, random.Random(number)) for number in range(300)}
    assert PROGRAM in all_made
    assert len(all_made) > 5


def test_the_creation_of_a_vm_fails_rarely() -> None:
    made = [with_failed_creation(PROGRAM, random.Random(number)) for number in range(3000)]
    fails = Counter(each.vm.fail for each in made)
    assert set(fails) == {None, 1, 2, 3}
    assert 2940 < fails[None] < 2985
    assert {replace(each, vm=replace(each.vm, fail=None)) for each in made} == {PROGRAM}


def test_random_programs_have_dirty_logs_that_begin_without_memory() -> None:
    generator = Generator(1, offers=Offers(par=True))
    operations = [each for _ in range(1500) for each in generator.next().operations]
    assert {each.fail for each in operations if isinstance(each, SetLog)} == {None, 1, 2, 3}
