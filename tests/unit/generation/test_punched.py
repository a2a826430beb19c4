# SPDX-License-Identifier: GPL-2.0-only
"""Blocks in which a guest uses a page while a hole is punched there."""

from random import Random
from typing import Final

from fuzz.generation.capabilities import Offers
from fuzz.generation.generator import Generator
from fuzz.generation.punched import with_punch
from fuzz.language.operations import HOSTS, GuestAccess, HostDiscard, Par, Threaded
from fuzz.language.program import MEMFD, has_blocks
from fuzz.language.text import parse, print_program

TEXT: Final = "s2fuzz 1\nvm cpus=2\nslot a size=64K backing=memfd\nslot b size=4K backing=anon\ncpu0 read b+0\n"


def test_the_guest_uses_a_mapped_page_of_the_hole() -> None:
    program = parse(TEXT)
    made = [with_punch(program, Random(number)) for number in range(200)]
    points = set()
    for each in made:
        if each is program:
            continue
        assert parse(print_program(each)) == each
        _, first, block, *_ = each.operations
        assert isinstance(first, GuestAccess)
        assert isinstance(block, Par)
        hole, access = block.operations
        assert isinstance(hole, Threaded)
        assert isinstance(hole.operation, HostDiscard)
        assert isinstance(access, GuestAccess)
        assert first.slot == access.slot == hole.operation.slot == "a"
        assert first.offset == access.offset == hole.operation.offset
        (switch,) = block.switches
        assert (switch.cpu, switch.to) == (HOSTS[0], access.cpu)
        points.add((switch.when, switch.point))
    assert points == {("before", "lock"), ("after", "unlock")}


def test_other_programs_stay() -> None:
    """There is no guest_memfd, one vCPU, or another block."""
    for text in (
        TEXT.replace("memfd", "anon"),
        TEXT.replace("cpus=2", "cpus=1"),
        f"{TEXT}par\n  cpu0 read b+0\n  cpu1 read b+0\nend\n",
    ):
        program = parse(text)
        assert all(with_punch(program, Random(number)) is program for number in range(100))


def test_the_generator_adds_it() -> None:
    plain, offered = Generator(1, 4096, Offers(par=True)), Generator(1, 4096, Offers(par=True, memfd=True))
    added = 0
    for _ in range(600):
        without, program = plain.next(), offered.next()
        memfd = any(slot.backing == MEMFD for slot in program.slots)
        added += memfd and has_blocks(program) and not has_blocks(without)
    assert added
