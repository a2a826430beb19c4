# SPDX-License-Identifier: GPL-2.0-only
"""Par blocks in which two vCPUs with MTE fault on one new page at once, and one of them stops where it clears tags.

Between the test of a page's flag and the clearing of its tags, another vCPU must not clear them too
(``try_page_mte_tagging()``).
"""

import random
from typing import Final

from ..language.operations import GuestAccess, HostDiscard, Par, Switch
from ..language.program import Program, Slot, has_blocks
from .builder import KINDS, ProgramBuilder
from .racing import add_block, may_race

# Percentage of programs with MTE and without another block.
_RACES: Final = 50


def with_tag_race(program: Program, source: random.Random) -> Program:
    """Return the program, sometimes with such a block at its end, if its VMs have MTE and it has no other block.

    :param program: a valid program, like the result
    :param source: the source of choices; nothing is drawn without MTE
    """
    if not program.vm.mte or has_blocks(program) or not may_race(program.vm, program.slots):
        return program
    if source.randrange(100) >= _RACES:
        return program
    builder = ProgramBuilder(source, 0, program)
    return builder.program() if tag_race(builder, builder.pick_slot()) else program


def tag_race(builder: ProgramBuilder, slot: Slot) -> bool:
    """Add a block in which two vCPUs fault on the same new page. Return false if none is legal here."""
    page = builder.page_in(slot, builder.block_of(slot))
    start = page // builder.block * builder.block
    builder.add(HostDiscard(slot.name, start, min(builder.block, slot.size - start)))
    first, second = builder.cpus_of(slot, 2)
    accesses = [GuestAccess(cpu, builder.random.choice(KINDS), slot.name, page) for cpu in (first, second)]
    switch = Switch(first, second, builder.random.choice(("before", "after")), "tags", builder.random.choice((1, 1, 2)))
    return add_block(builder, Par(tuple(accesses), (switch,)), slot, page, "read")
