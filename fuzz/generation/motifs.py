# SPDX-License-Identifier: GPL-2.0-only
"""Short sequences that lead the tables into interesting states.

Coalescing, splitting, misaligned ranges, small pages over huge ones, slots
that change under a mapping, logs collected and cleared.
"""

from collections.abc import Callable
from typing import Final

from ..language.operations import (
    GuestMove,
    HostDiscard,
    HostShare,
    HostWrite,
    Prot,
    TableMap,
    TableMkold,
    TableUnmap,
)
from ..language.program import Slot
from . import disturbances as do
from .builder import KINDS, ProgramBuilder

_RIGHTS: Final[tuple[Prot, ...]] = ("r", "rw", "rx", "rwx")


def coalesce(builder: ProgramBuilder, slot: Slot) -> None:
    """Map small pages while logging, then take a fault of any kind once logging is off."""
    do.set_log(builder, slot, True)
    block = builder.block_of(slot)
    if builder.chance(50):
        builder.add(HostWrite(slot.name, block, max(builder.page, min(builder.block, slot.size - block))))
    touched = [builder.page_in(slot, block) for _ in range(builder.random.randrange(1, 5))]
    for offset in touched:
        builder.access(slot, offset)
    if builder.chance(30):
        do.get_log(builder, slot, 0)
    do.set_log(builder, slot, False)
    # Another page: a translation fault. The same page: a permission fault.
    again = builder.random.choice(touched) if builder.chance(40) else builder.page_in(slot, block)
    builder.access(slot, again)
    builder.access(slot, builder.page_in(slot, block))


def split_block(builder: ProgramBuilder, slot: Slot) -> None:
    """Map a block, turn logging on, then write into the block."""
    do.set_log(builder, slot, False)
    block = builder.block_of(slot)
    builder.access(slot, builder.page_in(slot, block))
    do.set_log(builder, slot, True)
    for _ in range(builder.random.randrange(1, 4)):
        builder.access(slot, builder.page_in(slot, block), builder.random.choice(KINDS))
    do.get_log(builder, slot, 0)


def huge_page_moves(builder: ProgramBuilder, slot: Slot) -> None:
    """Touch pages, collapse or split them, and touch them again."""
    block = builder.block_of(slot)
    changes = (do.collapse, do.split, do.migrate, do.share, do.merge)
    for change in builder.random.sample(changes, 2):
        builder.access(slot, builder.page_in(slot, block))
        change(builder, slot, builder.page_in(slot, block))
        builder.access(slot, builder.page_in(slot, block))


def misaligned(builder: ProgramBuilder, slot: Slot) -> None:
    """Use ranges whose start lies inside an entry that is a block or empty."""
    page, block = builder.page, builder.block_of(slot)
    later = max(0, min(block + builder.block + builder.random.choice((0, page, 5 * page)), slot.size - page))
    builder.access(slot, later)
    if builder.chance(40):
        builder.access(slot, builder.page_in(slot, block))
    start = min(block + page * builder.random.choice((1, 9, builder.entries // 2)), slot.size - page)
    end = max(start + page, min(later + page, slot.size))
    operation = builder.random.choice((HostDiscard, HostDiscard, HostShare))
    builder.add(operation(slot.name, start, end - start))
    builder.access(slot, later)


def copy_on_write(builder: ProgramBuilder, slot: Slot) -> None:
    """Share or merge pages, then read and write them."""
    offset = builder.page_in(slot, builder.block_of(slot))
    (do.share if builder.chance(60) else do.merge)(builder, slot, offset)
    builder.access(slot, offset, "read")
    builder.access(slot, offset, "write")
    if builder.chance(50):
        do.host_write(builder, slot, offset)


def ageing(builder: ProgramBuilder, slot: Slot) -> None:
    """Touch, age, and touch pages again."""
    offset = builder.page_in(slot, builder.block_of(slot))
    builder.access(slot, offset)
    do.age(builder, slot, offset)
    if builder.chance(70):
        builder.random.choice(do.DISTURBANCES)(builder, slot, offset)
    builder.access(slot, offset if builder.chance(60) else builder.page_in(slot, offset - offset % builder.block))
    do.test_age(builder, slot, offset)


def direct(builder: ProgramBuilder, slot: Slot) -> None:
    """Map, change and unmap by direct calls, with guest accesses in between."""
    block = builder.block_of(slot)
    for _ in range(builder.random.randrange(2, 5)):
        call = builder.random.choice((do.table_map, do.table_map, do.table_range, do.table_place))
        call(builder, slot, builder.page_in(slot, block))
        if builder.chance(60):
            builder.access(slot, builder.page_in(slot, block))


def map_over_old(builder: ProgramBuilder, slot: Slot) -> None:
    """Map over a leaf whose access flag is clear: it is broken and made again."""
    offset = builder.page_in(slot, builder.block_of(slot))
    size = min(slot.size - offset, builder.page * builder.random.choice((1, 2, builder.entries)))
    builder.access(slot, offset)
    builder.add(TableMkold(slot.name, offset))
    builder.add(TableMap(slot.name, offset, size, builder.random.choice(do.MAP_PROTS)))
    builder.access(slot, offset)


def slot_life(builder: ProgramBuilder, slot: Slot) -> None:
    """Touch a slot, move or delete it, and touch it again."""
    for _ in range(builder.random.randrange(1, 4)):
        builder.access(slot, builder.page_in(slot, builder.block_of(slot)))
        do.slot_change(builder, slot, 0)
    builder.access(slot, builder.page_in(slot, builder.block_of(slot)))


def logged_life(builder: ProgramBuilder, slot: Slot) -> None:
    """Write, collect and clear the log, and write again."""
    do.set_log(builder, slot, True)
    block = builder.block_of(slot)
    for _ in range(builder.random.randrange(1, 4)):
        for _ in range(builder.random.randrange(1, 3)):
            builder.access(slot, builder.page_in(slot, block), "write")
        if builder.chance(30):
            # The first page of a word of the log, written and aged.
            first = block // (64 * builder.page) * (64 * builder.page)
            builder.access(slot, first, "write")
            do.age(builder, slot, first)
        do.get_log(builder, slot, block)
        if builder.chance(40):
            do.clear_log(builder, slot, block)


def moving_cpus(builder: ProgramBuilder, slot: Slot) -> None:
    """Move a vCPU to a CPU whose TLB another one has filled."""
    offset = builder.page_in(slot, builder.block_of(slot))
    builder.access(slot, offset)
    builder.add(GuestMove(builder.cpu_of(slot), builder.random.randrange(builder.vm.cpus)))
    (do.discard if builder.chance(50) else do.migrate)(builder, slot, offset)
    builder.access(slot, offset)


def reset(builder: ProgramBuilder, slot: Slot) -> None:
    """Use memory before and after the reset of a vCPU."""
    builder.access(slot, builder.page_in(slot, builder.block_of(slot)), "write")
    do.reset(builder, slot, 0)
    builder.access(slot, builder.page_in(slot, builder.block_of(slot)))


def hyp_again(builder: ProgramBuilder, slot: Slot) -> None:
    """Change the hypervisor's tables more than once, also by the same call."""
    for _ in range(builder.random.randrange(2, 5)):
        do.hyp_map(builder, slot, 0)


def failing_walk(builder: ProgramBuilder, slot: Slot) -> None:
    """Make a call that gets fewer tables than it needs, and repeat it over what the first one left."""
    block = builder.block_of(slot)
    if builder.chance(50):
        builder.access(slot, builder.page_in(slot, block))
    offset = max(0, block + builder.page * builder.random.choice((0, 1, builder.entries - 1)))
    offset = min(offset, slot.size - builder.page)
    size = min(slot.size - offset, builder.page * builder.random.choice((2, builder.entries, builder.entries + 2)))
    prot = builder.random.choice(do.MAP_PROTS)
    builder.add(TableMap(slot.name, offset, size, prot, builder.random.randrange(1, 5)))
    builder.access(slot, min(offset + size, slot.size) - builder.page)
    builder.add(TableMap(slot.name, offset, size, prot))
    builder.access(slot, offset)


def in_place(builder: ProgramBuilder, slot: Slot) -> None:
    """Replace leaves in place: by leaves with other rights and attributes, then by none, all at once."""
    block = builder.block_of(slot)
    size = min(builder.block if builder.chance(60) else builder.page, slot.size - block)
    for prot in builder.random.sample(_RIGHTS, 3):
        builder.add(TableMap(slot.name, block, size, prot))
        if builder.chance(40):
            builder.access(slot, builder.page_in(slot, block))
        if builder.chance(40):
            builder.add(TableMkold(slot.name, block))
            if builder.chance(50):
                builder.access(slot, block)
    builder.add(TableUnmap(slot.name, block, min(builder.block, slot.size - block)))


Motif = Callable[[ProgramBuilder, Slot], None]

MOTIFS: Final[tuple[Motif, ...]] = (
    *(coalesce,) * 5,
    *(split_block, misaligned, ageing, direct) * 2,
    ageing,
    huge_page_moves,
    copy_on_write,
    map_over_old,
    slot_life,
    logged_life,
    moving_cpus,
    reset,
    hyp_again,
    failing_walk,
    in_place,
)
