# SPDX-License-Identifier: GPL-2.0-only
"""Blocks in which a vCPU overtakes a walk for host or user space."""

from random import Random
from typing import Final

import pytest

from fuzz.generation.capabilities import Offers
from fuzz.generation.generator import Generator
from fuzz.generation.overtaken import WALKS, with_overtaken_walk
from fuzz.language.operations import ClearLog, GuestAccess, HostAge, Par, Threaded, is_vcpu
from fuzz.language.program import Program, has_blocks
from fuzz.language.text import parse, print_program

ALONE: Final = "s2fuzz 1\nvm cpus=2\nslot a size=64K backing=anon\ncpu0 read a+0\n"


def drawn(text: str, kinds: frozenset[type], count: int) -> list[tuple[Program, Par]]:
    """Return the programs that get a block, of this number of attempts, with their blocks."""
    program = parse(text)
    made = [with_overtaken_walk(program, kinds, Random(number)) for number in range(count)]
    return [(each, par) for each in made for par in each.operations if isinstance(par, Par)]


@pytest.mark.parametrize("kind", WALKS)
def test_a_walk_meets_a_fault_on_its_page(kind: type) -> None:
    """Check that either the walk or the fault has loaded an entry when the other actor runs."""
    losers = set()
    for program, block in drawn(ALONE, frozenset([kind]), 600):
        assert parse(print_program(program)) == program
        access, thread = sorted(block.operations, key=lambda each: each.cpu)
        assert isinstance(access, GuestAccess)
        assert isinstance(thread, Threaded)
        assert type(thread.operation) is kind
        (switch,) = block.switches
        assert block.actors[0] == switch.cpu
        assert (switch.when, switch.point) in (("before", "cmpxchg"), ("after", "load"))
        losers.add(is_vcpu(switch.cpu))
    assert losers == {False, True}


def test_clearing_is_manual_where_only_clearing_changes_entries() -> None:
    for program, _ in drawn(ALONE, frozenset([ClearLog]), 200):
        assert program.vm.manual == "on"
        assert parse(ALONE).operations == program.operations[:1]


def test_other_programs_stay() -> None:
    """Nothing is offered, or the program has one vCPU or another block."""
    assert drawn(ALONE, frozenset(), 100) == []
    for text in (ALONE.replace("cpus=2", "cpus=1"), ALONE.replace("size=64K", "size=1G")):
        assert drawn(text, frozenset(WALKS), 100) == []
    program = parse(f"{ALONE}par\n  cpu0 read a+0\n  cpu1 read a+0\nend\n")
    assert all(with_overtaken_walk(program, frozenset(WALKS), Random(number)) is program for number in range(100))


def test_the_generator_adds_it_where_it_is_offered() -> None:
    more, without = (
        Generator(1, 4096, Offers(par=True, overtaken=frozenset([HostAge]))),
        Generator(1, 4096, Offers(par=True)),
    )
    added = 0
    for _ in range(200):
        made, program = without.next(), more.next()
        if has_blocks(made) or not has_blocks(program):
            assert program == made
        else:
            added += 1
    assert added
