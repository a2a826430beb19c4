# SPDX-License-Identifier: GPL-2.0-only
"""Programs have par blocks if both versions run them, and are the same otherwise."""

from collections import Counter
from typing import Final

from fuzz.generation.capabilities import Offers
from fuzz.generation.generator import Generator
from fuzz.generation.racing import RACE_SETUPS
from fuzz.language.operations import (
    GetLog,
    GuestAccess,
    HostDiscard,
    HostMigrate,
    Par,
    SetLog,
    Speculate,
    is_vcpu,
    plain,
)
from fuzz.language.program import Program, has_blocks
from fuzz.language.text import parse, print_program

COUNT: Final = 400
PAR: Final = Offers(par=True)


def block_of(program: Program) -> Par:
    return next(each for each in program.operations if isinstance(each, Par))


def test_programs_have_blocks_only_if_they_are_offered() -> None:
    plain, offered = Generator(5), Generator(5, offers=PAR)
    blocks = kept = total = 0
    for _ in range(COUNT):
        without, program = plain.next(), offered.next()
        assert not has_blocks(without)
        assert (program.vm, program.slots) == (without.vm, without.slots)
        if not has_blocks(program):
            assert program == without
            continue
        blocks += 1
        assert parse(print_program(program)) == program
        rest = iter(program.operations)
        kept += sum(each in rest for each in without.operations)
        total += len(without.operations)
    assert COUNT // 8 < blocks < COUNT // 3
    assert kept > total * 9 // 10


def test_a_seed_determines_the_blocks() -> None:
    ours, again = Generator(5, offers=PAR), Generator(5, offers=PAR)
    assert [ours.next() for _ in range(COUNT)] == [again.next() for _ in range(COUNT)]


def test_blocks_are_aimed_at_the_same_pages() -> None:
    """Check that vCPUs of one VM mostly use one page, with few switches, and half of the time with other actors."""
    generator = Generator(7, offers=PAR)
    programs = [each for each in (generator.next() for _ in range(COUNT)) if has_blocks(each)]
    vcpus = Counter(sum(map(is_vcpu, block_of(each).actors)) for each in programs)
    others = Counter(sum(not is_vcpu(cpu) for cpu in block_of(each).actors) for each in programs)
    assert set(vcpus) == {1, 2, 3}
    assert {0, 1, 2} <= set(others)
    assert len(programs) // 4 < others[0] < len(programs) * 3 // 4
    kinds = {plain(each).__class__ for program in programs for each in block_of(program).operations}
    assert {GuestAccess, GetLog, SetLog, HostDiscard, HostMigrate, Speculate} < kinds
    same = 0
    for program in programs:
        block = block_of(program)
        accesses = [each for each in block.operations if isinstance(each, GuestAccess)]
        assert len({each.cpu // program.vm.cpus for each in accesses}) == 1
        assert len({plain(each).slot for each in block.operations}) == 1
        same += len({each.offset for each in accesses}) == 1
    assert same > len(programs) // 4
    # Only blocks of partial-order sampling have more switches.
    assert len(programs) > sum(len(block_of(each).switches) <= 4 for each in programs) > len(programs) * 8 // 10
    # The state that a block leaves is examined by a later operation.
    assert all(not isinstance(each.operations[-1], Par) for each in programs)


def test_contests_have_unique_names() -> None:
    assert len({each.__name__ for each in RACE_SETUPS}) > 8
