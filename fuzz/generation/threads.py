# SPDX-License-Identifier: GPL-2.0-only
"""Actors of par blocks other than vCPUs. They change the pages that the vCPUs race for, their log or slot, or walk."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from ..language import operations as ops
from ..language.bounds import wanted_backings
from ..language.program import Slot
from .builder import ProgramBuilder

# Percentage of blocks with a thread of the host; percentage of these with two.
_BESIDE: Final = 50
_TWO: Final = 20
# Percentage of blocks with user space, which works on dirty logs and slots; percentage of blocks with a collected log
# in which two threads collect it; percentage of blocks with user space that change a slot; percentage with hardware.
_USER: Final = 15
_BOTH: Final = 25
_SLOTS: Final = 40
_HARDWARE: Final = 8
# Percentage of discards by the OOM reaper, if it takes such pages.
_REAPED: Final = 15

Make = Callable[[ProgramBuilder, Slot, int], ops.HostOperation]


def other_actors(builder: ProgramBuilder, slot: Slot, pages: Sequence[int]) -> list[ops.Threaded]:
    """Draw other actors, most often none, each with an operation on one of some pages of a slot."""
    found = of_host(builder, slot, pages) if builder.chance(_BESIDE) else []
    if builder.chance(_USER):
        found += of_user(builder, slot)
    if builder.chance(_HARDWARE):
        cpu = slot.vm * builder.vm.cpus + builder.random.randrange(builder.vm.cpus)
        make = ops.Evict if builder.chance(25) else ops.Speculate
        found.append(ops.Threaded(ops.HARDWARE[0], make(cpu, slot.name, builder.random.choice(pages))))
    return found


def of_user(builder: ProgramBuilder, slot: Slot) -> list[ops.Threaded]:
    """Draw an operation on the dirty log of a slot, if it may have one, or on the slot itself."""
    if slot.name not in builder.state.live or builder.chance(_SLOTS):
        return [ops.Threaded(ops.USERS[0], each) for each in slot_changes(builder, slot)]
    operation: ops.SetLog | ops.GetLog
    if builder.is_logged(slot):
        operation = ops.GetLog(slot.name) if builder.chance(80) else ops.SetLog(slot.name, False)
    else:
        operation = ops.SetLog(slot.name, True)
    if slot.backing not in wanted_backings(ops.GetLog, builder.vm.granule):
        return []
    found = [ops.Threaded(ops.USERS[0], operation)]
    # Drawn separately, so that other blocks do not change.
    if isinstance(operation, ops.GetLog) and Random(repr(builder.operations)).randrange(100) < _BOTH:
        found.append(ops.Threaded(ops.USERS[1], operation))
    return found


def slot_changes(builder: ProgramBuilder, slot: Slot) -> list[ops.SlotChange]:
    """Draw changes of a slot: it is deleted, most often recreated (logged, read-only or neither), or it moves."""
    logged = builder.chance(50) and slot.backing in wanted_backings(ops.GetLog, builder.vm.granule)
    create = ops.SlotCreate(slot.name, None, logged, not logged and builder.chance(25))
    if slot.name not in builder.state.live:
        return [create]
    if builder.chance(30) and slot.backing in wanted_backings(ops.SlotMove, builder.vm.granule):
        moves: list[ops.SlotChange] = [ops.SlotMove(slot.name, builder.free_ipa())]
        if builder.chance(40):
            moves.append(ops.SlotMove(slot.name, builder.state.ipa[slot.name]))
        return moves
    return [ops.SlotDelete(slot.name), create] if builder.chance(70) else [ops.SlotDelete(slot.name)]


def of_host(builder: ProgramBuilder, slot: Slot, pages: Sequence[int]) -> list[ops.Threaded]:
    """Draw one or two threads of the host."""
    found: list[ops.Threaded] = []
    for number in range(2 if builder.chance(_TWO) else 1):
        operation = builder.random.choice(MAKES)(builder, slot, builder.random.choice(pages))
        if slot.backing == "devicehuge" and not isinstance(operation, (ops.HostAge, ops.HostTestAge)):
            # Only an unmap takes the blocks of this backing from user space.
            operation = unmap(builder, slot, builder.random.choice(pages))
        if slot.backing in wanted_backings(type(operation), builder.vm.granule):
            found.append(ops.Threaded(ops.HOSTS[number], operation))
    if len(found) == 1:
        return [ops.Threaded(ops.HOSTS[0], found[0].operation)]
    return found


def few(builder: ProgramBuilder, slot: Slot, page: int) -> int:
    """Draw the size of one page or a few from a place on."""
    return min(builder.page * builder.random.choice((1, 1, 1, 2, 5)), slot.size - page)


def discard(builder: ProgramBuilder, slot: Slot, page: int) -> ops.HostOperation:
    """Discard a few pages or a random range, as user space or the OOM reaper does."""
    start, size = (page, few(builder, slot, page)) if builder.chance(60) else builder.range_at(slot, page)
    # Drawn separately, so that other blocks do not change.
    apart = Random(f"{len(builder.operations)} {slot.name} {start} {size}")
    if apart.randrange(100) < _REAPED and slot.backing in wanted_backings(ops.HostReap, builder.vm.granule):
        return ops.HostReap(slot.name, start, size)
    return ops.HostDiscard(slot.name, start, size)


def migrate(builder: ProgramBuilder, slot: Slot, page: int) -> ops.HostOperation:
    """Migrate a few pages to other frames."""
    return ops.HostMigrate(slot.name, page, few(builder, slot, page))


def unmap(builder: ProgramBuilder, slot: Slot, page: int) -> ops.HostOperation:
    """Unmap a few pages from user space."""
    return ops.HostUnmap(slot.name, page, few(builder, slot, page))


def share(builder: ProgramBuilder, slot: Slot, page: int) -> ops.HostOperation:
    """Share a few pages with a forked process, so that a write copies them."""
    return ops.HostShare(slot.name, page, few(builder, slot, page))


def merge(builder: ProgramBuilder, slot: Slot, page: int) -> ops.HostOperation:
    """Let KSM merge a page with another."""
    return ops.HostMerge(slot.name, page)


def collapse(builder: ProgramBuilder, slot: Slot, page: int) -> ops.HostOperation:
    """Let khugepaged make a huge page of small ones."""
    return ops.HostCollapse(slot.name, page)


def split(builder: ProgramBuilder, slot: Slot, page: int) -> ops.HostOperation:
    """Split the huge page of the host."""
    return ops.HostSplit(slot.name, page)


def write(builder: ProgramBuilder, slot: Slot, page: int) -> ops.HostOperation:
    """Let user space write to a few pages."""
    return ops.HostWrite(slot.name, page, few(builder, slot, page))


def poison(builder: ProgramBuilder, slot: Slot, page: int) -> ops.HostOperation:
    """Let memory fail at a page."""
    return ops.HostPoison(slot.name, page)


def age(builder: ProgramBuilder, slot: Slot, page: int) -> ops.HostOperation:
    """Ask whether a few pages were accessed, usually clearing their access flags."""
    return ops.HostAge(slot.name, page, few(builder, slot, page), builder.chance(60))


def test_age(builder: ProgramBuilder, slot: Slot, page: int) -> ops.HostOperation:
    """Ask whether a page was accessed."""
    return ops.HostTestAge(slot.name, page)


MAKES: Final[tuple[Make, ...]] = (
    *(discard, migrate) * 6,
    *(share, collapse, age) * 2,
    *(merge, split, write, unmap, poison, test_age),
)
