# SPDX-License-Identifier: GPL-2.0-only
"""Short sequences that lead the tables into a state worth having.

Coalescing, splitting, misaligned ranges, small pages over huge ones, slots
that change under a mapping, logs collected and cleared.
"""

from collections.abc import Callable
from typing import Final

from ..language.operations import GuestMove, HostDiscard, HostShare, HostWrite, TableMap, TableMkold
from ..language.program import Slot
from . import disturbances as do
from .builder import KINDS, ProgramBuilder


def coalesce(draft: ProgramBuilder, slot: Slot) -> None:
    """Small pages while logging, then a fault of any kind once it is off."""
    do.set_log(draft, slot, True)
    block = draft.block_of(slot)
    if draft.chance(50):
        draft.add(HostWrite(slot.name, block, max(draft.page, min(draft.block, slot.size - block))))
    touched = [draft.page_in(slot, block) for _ in range(draft.random.randrange(1, 5))]
    for offset in touched:
        draft.access(slot, offset)
    if draft.chance(30):
        do.get_log(draft, slot, 0)
    do.set_log(draft, slot, False)
    # Another page: a translation fault. The same page: a permission fault.
    again = draft.random.choice(touched) if draft.chance(40) else draft.page_in(slot, block)
    draft.access(slot, again)
    draft.access(slot, draft.page_in(slot, block))


def split_block(draft: ProgramBuilder, slot: Slot) -> None:
    """A block first, then logging, then a write into it."""
    do.set_log(draft, slot, False)
    block = draft.block_of(slot)
    draft.access(slot, draft.page_in(slot, block))
    do.set_log(draft, slot, True)
    for _ in range(draft.random.randrange(1, 4)):
        draft.access(slot, draft.page_in(slot, block), draft.random.choice(KINDS))
    do.get_log(draft, slot, 0)


def huge_page_moves(draft: ProgramBuilder, slot: Slot) -> None:
    """Touch, collapse or split, touch again."""
    block = draft.block_of(slot)
    changes = (do.collapse, do.split, do.migrate, do.share, do.merge)
    for change in draft.random.sample(changes, 2):
        draft.access(slot, draft.page_in(slot, block))
        change(draft, slot, draft.page_in(slot, block))
        draft.access(slot, draft.page_in(slot, block))


def misaligned(draft: ProgramBuilder, slot: Slot) -> None:
    """Ranges whose start lies inside of an entry that is a block or empty."""
    page, block = draft.page, draft.block_of(slot)
    later = max(0, min(block + draft.block + draft.random.choice((0, page, 5 * page)), slot.size - page))
    draft.access(slot, later)
    if draft.chance(40):
        draft.access(slot, draft.page_in(slot, block))
    start = min(block + page * draft.random.choice((1, 9, draft.entries // 2)), slot.size - page)
    end = max(start + page, min(later + page, slot.size))
    operation = draft.random.choice((HostDiscard, HostDiscard, HostShare))
    draft.add(operation(slot.name, start, end - start))
    draft.access(slot, later)


def copy_on_write(draft: ProgramBuilder, slot: Slot) -> None:
    """Shared or merged pages, read and then written."""
    offset = draft.page_in(slot, draft.block_of(slot))
    (do.share if draft.chance(60) else do.merge)(draft, slot, offset)
    draft.access(slot, offset, "read")
    draft.access(slot, offset, "write")
    if draft.chance(50):
        do.host_write(draft, slot, offset)


def ageing(draft: ProgramBuilder, slot: Slot) -> None:
    """Touched, aged, touched again."""
    offset = draft.page_in(slot, draft.block_of(slot))
    draft.access(slot, offset)
    do.age(draft, slot, offset)
    if draft.chance(70):
        draft.random.choice(do.DISTURBANCES)(draft, slot, offset)
    draft.access(slot, offset if draft.chance(60) else draft.page_in(slot, offset - offset % draft.block))
    do.test_age(draft, slot, offset)


def direct(draft: ProgramBuilder, slot: Slot) -> None:
    """Mapped, changed and unmapped by direct calls, the guest in between."""
    block = draft.block_of(slot)
    for _ in range(draft.random.randrange(2, 5)):
        call = draft.random.choice((do.table_map, do.table_map, do.table_range, do.table_place))
        call(draft, slot, draft.page_in(slot, block))
        if draft.chance(60):
            draft.access(slot, draft.page_in(slot, block))


def map_over_old(draft: ProgramBuilder, slot: Slot) -> None:
    """A leaf whose access flag is clear is mapped again: broken, and made anew."""
    offset = draft.page_in(slot, draft.block_of(slot))
    size = min(slot.size - offset, draft.page * draft.random.choice((1, 2, draft.entries)))
    draft.access(slot, offset)
    draft.add(TableMkold(slot.name, offset))
    draft.add(TableMap(slot.name, offset, size, draft.random.choice(do.MAP_PROTS)))
    draft.access(slot, offset)


def slot_life(draft: ProgramBuilder, slot: Slot) -> None:
    """A slot is touched, moved or deleted, and touched again."""
    for _ in range(draft.random.randrange(1, 4)):
        draft.access(slot, draft.page_in(slot, draft.block_of(slot)))
        do.slot_change(draft, slot, 0)
    draft.access(slot, draft.page_in(slot, draft.block_of(slot)))


def logged_life(draft: ProgramBuilder, slot: Slot) -> None:
    """Written, collected, cleared, written again."""
    do.set_log(draft, slot, True)
    block = draft.block_of(slot)
    for _ in range(draft.random.randrange(1, 4)):
        for _ in range(draft.random.randrange(1, 3)):
            draft.access(slot, draft.page_in(slot, block), "write")
        if draft.chance(30):
            # The first page of a word of the log, written and aged.
            first = block // (64 * draft.page) * (64 * draft.page)
            draft.access(slot, first, "write")
            do.age(draft, slot, first)
        do.get_log(draft, slot, block)
        if draft.chance(40):
            do.clear_log(draft, slot, block)


def moving_cpus(draft: ProgramBuilder, slot: Slot) -> None:
    """A vCPU comes to a CPU whose TLB another one has filled."""
    offset = draft.page_in(slot, draft.block_of(slot))
    draft.access(slot, offset)
    draft.add(GuestMove(draft.cpu_of(slot), draft.random.randrange(draft.vm.cpus)))
    (do.discard if draft.chance(50) else do.migrate)(draft, slot, offset)
    draft.access(slot, offset)


def reset(draft: ProgramBuilder, slot: Slot) -> None:
    """Memory in use when a vCPU is reset, and after."""
    draft.access(slot, draft.page_in(slot, draft.block_of(slot)), "write")
    do.reset(draft, slot, 0)
    draft.access(slot, draft.page_in(slot, draft.block_of(slot)))


Motif = Callable[[ProgramBuilder, Slot], None]

MOTIFS: Final[tuple[Motif, ...]] = (
    *(coalesce,) * 4,
    *(split_block, misaligned, ageing, direct) * 2,
    huge_page_moves,
    copy_on_write,
    map_over_old,
    slot_life,
    logged_life,
    moving_cpus,
    reset,
)
