# SPDX-License-Identifier: GPL-2.0-only
"""Blocks in which two vCPUs fault on one page at once."""

from collections import Counter
from random import Random
from typing import Final

from fuzz.generation.capabilities import Offers
from fuzz.generation.contests import with_contest
from fuzz.generation.generator import Generator
from fuzz.generation.racing import racing
from fuzz.language.operations import GuestAccess, Par
from fuzz.language.program import Program, has_blocks
from fuzz.language.text import parse, print_program

PAR: Final = Offers(par=True)
ALONE: Final = "s2fuzz 1\nvm cpus=2 ttl=on\nslot a size=4K backing=anon\ncpu0 read a+0\n"


def drawn(text: str, count: int) -> list[Program]:
    """Return the programs that get a block, of this number of attempts."""
    program = parse(text)
    made = [with_contest(program, Random(number)) for number in range(count)]
    return [each for each in made if each is not program]


def test_a_block_is_added_at_the_end() -> None:
    programs = drawn(ALONE, 400)
    for program in programs:
        assert parse(print_program(program)) == program
        assert program.operations[:1] == parse(ALONE).operations
        (block,) = [each for each in program.operations if isinstance(each, Par)]
        loser, winner = block.operations
        assert isinstance(loser, GuestAccess)
        assert isinstance(winner, GuestAccess)
        assert (loser.slot, loser.offset) == (winner.slot, winner.offset)
        assert loser.cpu != winner.cpu
        first = block.switches[0]
        assert (first.cpu, first.to, first.when, first.point) == (loser.cpu, winner.cpu, "before", "cmpxchg")
    counts = Counter(len(block.switches) for each in programs for block in each.operations if isinstance(block, Par))
    assert set(counts) == {1, 2}


def test_level_hints_make_it_likelier() -> None:
    """After a lost compare-exchange there is no level to name."""
    hinted, other = (len(drawn(text, 600)) for text in (ALONE, ALONE.replace(" ttl=on", "")))
    assert hinted > 2 * other > 0


def test_other_programs_stay() -> None:
    """One vCPU, a slot that takes long to judge, or another block."""
    for text in (
        ALONE.replace("cpus=2", "cpus=1"),
        ALONE.replace("size=4K", "size=1G"),
        f"{ALONE}par\n  cpu0 read a+0\n  cpu1 read a+0\nend\n",
    ):
        assert drawn(text, 100) == []


def test_the_generator_adds_it_to_programs_without_a_block() -> None:
    more, without = Generator(1, 4096, PAR), Generator(1, 4096)
    added = 0
    for number in range(400):
        made = racing(without.next(), Random(f"par {1 << 32 | number}"))
        program = more.next()
        if has_blocks(made):
            assert program == made
        elif has_blocks(program):
            added += 1
            assert program.operations[: len(made.operations)] == made.operations
        else:
            assert program == made
    assert added
