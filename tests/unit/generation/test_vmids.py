# SPDX-License-Identifier: GPL-2.0-only
"""Random programs in which VMIDs run out."""

import random

from fuzz.generation.generator import Generator
from fuzz.generation.vmids import at_common_addresses, with_rollover
from fuzz.language.operations import VmidRollover
from fuzz.language.text import parse, print_program

TWO = "s2fuzz 1\nvm vms=2\nslot a ipa=1G size=64K backing=anon\nslot b ipa=3073M size=64K backing=anon vm=1\n"


def test_rollovers_are_mostly_in_programs_of_two_vms() -> None:
    generator = Generator(3)
    programs = [generator.next() for _ in range(1500)]
    having = [each for each in programs if any(isinstance(op, VmidRollover) for op in each.operations)]
    several = [each for each in having if each.vm.vms > 1]
    assert 20 < len(having) < 150
    assert 2 * len(several) > len(having) > len(several)
    for each in having:
        assert parse(print_program(each)) == each


def test_slots_of_two_vms_at_the_same_addresses() -> None:
    program = parse(TWO + "cpu0 read a+0\n")
    # A slot keeps its position within its gigabyte.
    assert [slot.ipa for slot in at_common_addresses(program).slots] == [1 << 30, 1025 << 20]
    assert [slot.ipa for slot in at_common_addresses(at_common_addresses(program)).slots] == [1 << 30, 1025 << 20]


def test_another_vm_is_entered() -> None:
    program = parse(TWO + "cpu0 read a+0\ncpu2 read b+0\n")
    made = [with_rollover(program, random.Random(seed)) for seed in range(40)]
    assert any(each == program for each in made)
    after = [each.operations for each in made if each != program]
    assert all(any(isinstance(op, VmidRollover) for op in each) for each in after)
    assert any(len(each) > 3 for each in after)
