# SPDX-License-Identifier: GPL-2.0-only
"""Blocks in which two vCPUs with MTE fault on one new page at once."""

from random import Random
from typing import Final

from fuzz.generation.capabilities import Offers
from fuzz.generation.editor import ProgramEditor
from fuzz.generation.generator import Generator
from fuzz.generation.schedule_mutations import aim
from fuzz.generation.tag_races import with_tag_race
from fuzz.language.operations import GuestAccess, HostDiscard, Par
from fuzz.language.program import Program, has_blocks
from fuzz.language.text import parse, print_program

ALONE: Final = "s2fuzz 1\nvm cpus=2 mte=on\nslot a size=2M backing=thp\ncpu0 read a+0\n"
BLOCK: Final = f"{ALONE}par\n  cpu0 read a+0\n  cpu1 read a+0\nend\n"


def drawn(text: str, count: int) -> list[Program]:
    """Return the programs that get a block, of this number of attempts."""
    program = parse(text)
    made = [with_tag_race(program, Random(number)) for number in range(count)]
    return [each for each in made if each is not program]


def test_two_vcpus_fault_on_a_discarded_page() -> None:
    programs = drawn(ALONE, 60)
    places = set()
    for program in programs:
        assert parse(print_program(program)) == program
        assert isinstance(program.operations[1], HostDiscard)
        block = program.operations[2]
        assert isinstance(block, Par)
        first, second = block.operations
        assert isinstance(first, GuestAccess)
        assert isinstance(second, GuestAccess)
        assert first.offset == second.offset
        assert first.cpu != second.cpu
        (switch,) = block.switches
        assert (switch.cpu, switch.to) == (first.cpu, second.cpu)
        places.add((switch.when, switch.point, switch.count))
    assert places == {(when, "tags", count) for when in ("before", "after") for count in (1, 2)}


def test_other_programs_stay() -> None:
    """No MTE, one vCPU, a slot that takes long to judge, or another block."""
    for text in (
        ALONE.replace(" mte=on", ""),
        ALONE.replace("cpus=2", "cpus=1"),
        ALONE.replace("size=2M", "size=1G"),
        BLOCK,
    ):
        assert drawn(text, 60) == []


def test_the_generator_adds_such_blocks() -> None:
    made = Generator(1, 4096, Offers(par=True, mte=True))
    points = [
        switch.point
        for program in (made.next() for _ in range(300))
        if has_blocks(program)
        for block in program.operations
        if isinstance(block, Par)
        for switch in block.switches
    ]
    assert points.count("tags") > 5


def test_mutations_aim_at_tags_where_memory_has_them() -> None:
    def points(text: str) -> set[str]:
        found: set[str] = set()
        for number in range(200):
            editor = ProgramEditor(parse(text), Random(number))
            block = editor.operations[-1]
            assert isinstance(block, Par)
            changed = aim(editor, block)
            assert changed is not None
            found.update(each.point for each in changed.switches)
        return found

    assert "tags" in points(BLOCK)
    assert "tags" not in points(BLOCK.replace(" mte=on", ""))
