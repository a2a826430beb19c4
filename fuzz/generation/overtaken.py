# SPDX-License-Identifier: GPL-2.0-only
"""Par blocks in which a thread and a vCPU change one entry at once, and one of them loses the compare-exchange.

Most code walks the tables for the host and for user space with the mmu lock held for writing, so nothing overtakes such
a walk. Code that holds it for reading, or not at all, must repeat or ignore an exchange that it loses.
`fuzz.generation.racing` seldom gets there: it stops threads elsewhere.
"""

from dataclasses import replace
from random import Random
from typing import Final

from ..language import operations as ops
from ..language.bounds import wanted_backings
from ..language.operations import AccessKind, GuestAccess, Moment, Par, Point, Switch, Threaded
from ..language.program import Program, Slot, has_blocks
from . import disturbances as do
from . import threads
from .builder import ProgramBuilder
from .racing import add_block, may_race

# Percentage of programs without another block.
_OVERTAKEN: Final = 20
# Percentage of blocks in which the page is mapped anew, is read-only, or has no access flag.
_NEW: Final = 50
_READ_ONLY: Final = 35
_AGED: Final = 40
# Percentage of blocks in which the thread overtakes the vCPU.
_BY_THREAD: Final = 15
# Number of the entry that is about to be exchanged.
_ENTRIES: Final = (1, 1, 1, 1, 2)
_KINDS: Final[tuple[AccessKind, ...]] = ("fetch", "fetch", "write", "write", "read")
# Places of a walk at which an entry was loaded, and is not exchanged yet.
_LOADED: Final[tuple[tuple[Moment, Point], ...]] = (*(("before", "cmpxchg"),) * 4, ("after", "load"))
# Operations whose walks may be overtaken.
_OF_LOGS: Final[tuple[type, ...]] = (ops.ClearLog, ops.GetLog, ops.SetLog)
WALKS: Final[tuple[type, ...]] = (*_OF_LOGS, ops.HostAge, ops.HostDiscard)


def with_overtaken_walk(program: Program, kinds: frozenset[type], source: Random) -> Program:
    """Return the program, sometimes with such a block at its end, if it has no other block.

    :param program: a valid program, like the result
    :param kinds: those of `WALKS` that a vCPU may overtake; nothing is drawn if there are none
    :param source: the source of choices
    """
    if not kinds or source.randrange(100) >= _OVERTAKEN:
        return program
    if has_blocks(program) or not may_race(program.vm, program.slots):
        return program
    kind = source.choice([each for each in WALKS if each in kinds])
    if kind is ops.ClearLog and program.vm.manual == "off" and not program.vm.ring:
        program = replace(program, vm=replace(program.vm, manual="on"))
    builder = ProgramBuilder(source, 0, program)
    return builder.program() if overtaken_walk(builder, builder.pick_slot(), kind) else program


def overtaken_walk(builder: ProgramBuilder, slot: Slot, kind: type) -> bool:
    """Add a block in which a walk for a kind of operation meets a fault. Return false if none is legal here."""
    if slot.backing not in wanted_backings(kind, builder.vm.granule):
        return False
    page = builder.page_in(slot, builder.block_of(slot))
    operation = prepared(builder, slot, page, kind)
    (cpu,) = builder.cpus_of(slot, 1)
    access = GuestAccess(cpu, builder.random.choice(_KINDS), slot.name, page)
    thread = Threaded(ops.USERS[0] if kind in _OF_LOGS else ops.HOSTS[0], operation)
    loser, winner = (cpu, thread.cpu) if builder.chance(_BY_THREAD) else (thread.cpu, cpu)
    when, point = builder.random.choice(_LOADED)
    switch = Switch(loser, winner, when, point, builder.random.choice(_ENTRIES))
    block = Par((access, thread), (switch,)).in_order((loser, winner))
    return add_block(builder, replace(block, switches=(switch,)), slot, page, "write")


def prepared(builder: ProgramBuilder, slot: Slot, page: int, kind: type) -> ops.ByThread:
    """Prepare a page, and return an operation of a kind that changes its entry."""
    collects = kind in (ops.ClearLog, ops.GetLog)
    if collects or kind is ops.SetLog or builder.chance(50):
        do.set_log(builder, slot, kind is not ops.SetLog)
    if builder.chance(_NEW):
        builder.add(ops.HostDiscard(slot.name, page, builder.page))
    builder.access(slot, page, "read" if not collects and builder.chance(_READ_ONLY) else "write")
    if kind is not ops.HostAge and builder.chance(_AGED):
        do.age(builder, slot, page)
    if kind is ops.ClearLog:
        builder.add(ops.GetLog(slot.name))
        word = 64 * builder.page
        start = page // word * word
        return ops.ClearLog(slot.name, start, min(word, slot.size - start))
    if kind is ops.HostAge:
        return threads.age(builder, slot, page)
    if kind is ops.HostDiscard:
        return ops.HostDiscard(slot.name, page, threads.few(builder, slot, page))
    return ops.GetLog(slot.name) if collects else ops.SetLog(slot.name, True)
