# SPDX-License-Identifier: GPL-2.0-only
"""Random programs in which several vCPUs run on the same few pages at once, where both versions run par blocks."""

import random
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from ..language.operations import AccessKind, GuestAccess, HostDiscard, HostShare, Par
from ..language.program import GIB, Program, Slot, Vm
from ..scheduling.strategies import any_strategy
from . import disturbances as do
from .builder import KINDS, ProgramBuilder
from .threads import other_actors

# Percentage of programs whose VMs have two vCPUs or more.
_RACING: Final = 40
# Percentage of these in which the block comes last. Mappings are compared up to a block.
_LAST: Final = 60
# Percentage of blocks with threads of the host that have one vCPU.
_ALONE: Final = 50
_WRITES: Final[tuple[AccessKind, ...]] = ("write", "write", "write", "read", "fetch")
_FETCHES: Final[tuple[AccessKind, ...]] = ("fetch", "fetch", "write", "read")

# Prepares pages of a slot, and returns the accesses that race for them.
RaceSetup = Callable[[ProgramBuilder, Slot, Sequence[int]], Sequence[AccessKind]]


def racing(program: Program, source: random.Random) -> Program:
    """Return the program, sometimes with a par block, its preparation before it, and operations that show its effect.

    Its other operations stay, except those that are no longer legal.

    :param program: a valid program, like the result
    :param source: the source of choices
    """
    if source.randrange(100) >= _RACING or not may_race(program.vm, program.slots):
        return program
    count = len(program.operations)
    at = count if source.randrange(100) < _LAST else source.randrange(count + 1)
    builder = ProgramBuilder(source, 0, Program(program.vm, program.slots, program.operations[:at]))
    if not race(builder, builder.pick_slot()):
        return program
    builder.add(*program.operations[at:])
    return builder.program()


def may_race(vm: Vm, slots: Iterable[Slot]) -> bool:
    """Tell whether a program gets a block: it has two vCPUs, and no slots that take long to judge.

    With a block, judging them takes twice as long, because both versions run.
    """
    return vm.cpus > 1 and all(slot.size < GIB for slot in slots)


def race(builder: ProgramBuilder, slot: Slot) -> bool:
    """Add a block in which vCPUs, at times with the host, use the same pages. Return false if none is legal here."""
    block = builder.block_of(slot)
    page = builder.page_in(slot, block)
    # Most often the same page, else entries of one table.
    pages = (page, page, page, builder.page_in(slot, block))
    kinds = builder.random.choice(RACE_SETUPS)(builder, slot, pages)
    vcpus = min(builder.vm.cpus, builder.random.choice((2, 2, 2, 3)))
    accesses: list[GuestAccess] = []
    for cpu in builder.cpus_of(slot, vcpus):
        for _ in range(builder.random.choice((1, 1, 1, 2))):
            offset, kind = builder.random.choice(pages), builder.random.choice(kinds)
            accesses.append(GuestAccess(cpu, kind, slot.name, offset, not builder.chance(8)))
    threads = other_actors(builder, slot, pages)
    if threads and builder.chance(_ALONE):
        accesses = [each for each in accesses if each.cpu == accesses[0].cpu]
    if not add_block(builder, any_strategy(Par((*accesses, *threads)), builder.random), slot, page, "read"):
        return False
    if builder.chance(50):
        builder.access(slot, builder.random.choice(pages), "write")
    return True


def add_block(builder: ProgramBuilder, block: Par, slot: Slot, page: int, kind: AccessKind) -> bool:
    """Add a block, and operations that show its effect on a page. Return false if it is not legal here.

    :param kind: of the access that follows
    """
    before = len(builder.operations)
    builder.add(block)
    if len(builder.operations) == before:
        return False
    builder.access(slot, page, kind)
    if builder.is_logged(slot):
        do.get_log(builder, slot, page)
    return True


def relax(builder: ProgramBuilder, slot: Slot, pages: Sequence[int]) -> Sequence[AccessKind]:
    """Prepare pages that may be read and are not written yet, with a dirty log."""
    do.set_log(builder, slot, True)
    for page in dict.fromkeys(pages):
        builder.access(slot, page, "read")
    return _WRITES


def collected(builder: ProgramBuilder, slot: Slot, pages: Sequence[int]) -> Sequence[AccessKind]:
    """Prepare pages that were written, and that a collection of the dirty log protects again."""
    do.set_log(builder, slot, True)
    for page in dict.fromkeys(pages):
        builder.access(slot, page, "write")
    do.get_log(builder, slot, pages[0])
    return _WRITES


def first_maps(builder: ProgramBuilder, slot: Slot, pages: Sequence[int]) -> Sequence[AccessKind]:
    """Begin with nothing mapped: the first faults make the tables."""
    start = pages[0] // builder.block * builder.block
    if builder.chance(70):
        builder.add(HostDiscard(slot.name, start, min(builder.block, slot.size - start)))
    return KINDS


def coalesce(builder: ProgramBuilder, slot: Slot, pages: Sequence[int]) -> Sequence[AccessKind]:
    """Prepare small pages and turn logging off again: a block will replace their table."""
    do.set_log(builder, slot, True)
    builder.access(slot, pages[0], "write")
    do.set_log(builder, slot, False)
    return KINDS


def split(builder: ProgramBuilder, slot: Slot, pages: Sequence[int]) -> Sequence[AccessKind]:
    """Prepare a block and turn logging on: a table will replace it."""
    do.set_log(builder, slot, False)
    builder.access(slot, pages[0], builder.random.choice(KINDS))
    do.set_log(builder, slot, True)
    return _WRITES


def execute(builder: ProgramBuilder, slot: Slot, pages: Sequence[int]) -> Sequence[AccessKind]:
    """Prepare data that is then executed: another right is missing."""
    builder.access(slot, pages[0], builder.random.choice(("read", "write")))
    return _FETCHES


def copy_on_write(builder: ProgramBuilder, slot: Slot, pages: Sequence[int]) -> Sequence[AccessKind]:
    """Prepare pages that were read and are shared: a write makes the host copy them in the middle of a fault."""
    builder.access(slot, pages[0], "read")
    builder.add(HostShare(slot.name, pages[0], builder.page))
    builder.access(slot, pages[0], "read")
    return _WRITES


def aged(builder: ProgramBuilder, slot: Slot, pages: Sequence[int]) -> Sequence[AccessKind]:
    """Prepare pages whose access flag is clear."""
    builder.access(slot, pages[0])
    do.age(builder, slot, pages[0])
    return KINDS


def no_preparation(builder: ProgramBuilder, slot: Slot, pages: Sequence[int]) -> Sequence[AccessKind]:
    """Prepare nothing: accesses meet the current state."""
    return KINDS


RACE_SETUPS: Final[tuple[RaceSetup, ...]] = (
    *(first_maps,) * 5,
    *(relax,) * 3,
    *(collected, coalesce, split) * 2,
    execute,
    copy_on_write,
    aged,
    no_preparation,
)
