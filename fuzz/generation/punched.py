# SPDX-License-Identifier: GPL-2.0-only
"""Par blocks in which a guest uses a page of a guest_memfd while user space punches a hole there.

The code that unmaps the page and then frees it is kernel code, unlike that for other memory. `fuzz.generation.racing`
seldom stops it between the two.
"""

from random import Random
from typing import Final

from ..language.operations import HOSTS, AccessKind, GuestAccess, HostDiscard, Moment, Par, Point, Switch, Threaded
from ..language.program import MEMFD, Program, Slot, has_blocks
from . import threads
from .builder import ProgramBuilder
from .racing import add_block, may_race

# Percentage of programs with a guest_memfd and without another block.
_PUNCHED: Final = 30
_KINDS: Final[tuple[AccessKind, ...]] = ("read", "write")
# Places around the unmapping.
_PLACES: Final[tuple[tuple[Moment, Point], ...]] = (("before", "lock"), ("before", "lock"), ("after", "unlock"))


def with_punch(program: Program, source: Random) -> Program:
    """Return the program, sometimes with such a block at its end, if it has a guest_memfd and no other block.

    :param program: a valid program, like the result
    :param source: the source of choices; nothing is drawn where there is no guest_memfd
    """
    slots = [slot for slot in program.slots if slot.backing == MEMFD]
    if not slots or source.randrange(100) >= _PUNCHED:
        return program
    if has_blocks(program) or not may_race(program.vm, program.slots):
        return program
    builder = ProgramBuilder(source, 0, program)
    return builder.program() if punch(builder, source.choice(slots)) else program


def punch(builder: ProgramBuilder, slot: Slot) -> bool:
    """Add a block in which a vCPU uses a mapped page of a hole. Return false if none is legal here."""
    page = builder.page_in(slot, builder.block_of(slot))
    builder.access(slot, page, "write")
    (cpu,) = builder.cpus_of(slot, 1)
    hole = HostDiscard(slot.name, page, threads.few(builder, slot, page))
    access = GuestAccess(cpu, builder.random.choice(_KINDS), slot.name, page)
    switch = Switch(HOSTS[0], cpu, *builder.random.choice(_PLACES), 1)
    return add_block(builder, Par((Threaded(HOSTS[0], hole), access), (switch,)), slot, page, "write")
