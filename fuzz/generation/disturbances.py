# SPDX-License-Identifier: GPL-2.0-only
"""Single operations at a place, as they come between and inside of motifs."""

from collections.abc import Callable
from typing import Final

from ..language.operations import (
    ClearLog,
    Evict,
    GetLog,
    GuestCache,
    GuestExternalAbort,
    GuestMove,
    GuestReset,
    GuestSetWay,
    HostAge,
    HostCollapse,
    HostDiscard,
    HostMerge,
    HostMigrate,
    HostPoison,
    HostShare,
    HostSplit,
    HostTestAge,
    HostUnmap,
    HostWrite,
    HostWriteback,
    HypMap,
    HypProt,
    Prot,
    SetLog,
    SlotCreate,
    SlotDelete,
    SlotMove,
    Speculate,
    TableFlush,
    TableIsYoung,
    TableMap,
    TableMkold,
    TableMkyoung,
    TableRelax,
    TableUnmap,
    TableWrprotect,
)
from ..language.program import GIB, KIB, MIB, Slot
from .builder import ProgramBuilder

MAP_PROTS: Final[tuple[Prot, ...]] = ("r", "rw", "rw", "rx", "rwx")
HYP_MAP_PROTS: Final[tuple[HypProt, ...]] = ("r", "rw", "rw", "rx", "device", "rwx")


def host_write(builder: ProgramBuilder, slot: Slot, offset: int) -> None:
    # A large write breaks copy-on-write page by page: slow, and seldom worth it.
    size = min(builder.page * builder.random.choice((1, 2, 5)), slot.size - offset)
    if builder.chance(25):
        offset, size = builder.range_at(slot, offset)
    builder.add(HostWrite(slot.name, offset, size))


def write_back(builder: ProgramBuilder, slot: Slot, offset: int) -> None:
    builder.add(HostWriteback(slot.name, *builder.range_at(slot, offset)))


def collapse(builder: ProgramBuilder, slot: Slot, offset: int) -> None:
    builder.add(HostCollapse(slot.name, offset))


def split(builder: ProgramBuilder, slot: Slot, offset: int) -> None:
    builder.add(HostSplit(slot.name, offset))


def migrate(builder: ProgramBuilder, slot: Slot, offset: int) -> None:
    if slot.backing != "hugetlb1g":
        size = min(builder.page * builder.random.choice((1, 1, 2, 5)), slot.size - offset)
        builder.add(HostMigrate(slot.name, offset, size))


def discard(builder: ProgramBuilder, slot: Slot, offset: int) -> None:
    builder.add(HostDiscard(slot.name, *builder.range_at(slot, offset)))


def unmap(builder: ProgramBuilder, slot: Slot, offset: int) -> None:
    # Nothing comes back: a large hole leaves little to happen behind it.
    size = min(builder.page * builder.random.choice((1, 1, 3)), slot.size - offset)
    builder.add(HostUnmap(slot.name, offset, size))


def poison(builder: ProgramBuilder, slot: Slot, offset: int) -> None:
    builder.add(HostPoison(slot.name, offset))


def share(builder: ProgramBuilder, slot: Slot, offset: int) -> None:
    builder.add(HostShare(slot.name, *builder.range_at(slot, offset)))


def merge(builder: ProgramBuilder, slot: Slot, offset: int) -> None:
    builder.add(HostMerge(slot.name, offset))


def age(builder: ProgramBuilder, slot: Slot, offset: int) -> None:
    size = min(builder.page * builder.random.choice((1, 2, 4)), slot.size - offset)
    builder.add(HostAge(slot.name, offset, size, builder.chance(60)))


def test_age(builder: ProgramBuilder, slot: Slot, offset: int) -> None:
    builder.add(HostTestAge(slot.name, offset))


def set_log(builder: ProgramBuilder, slot: Slot, on: bool) -> None:
    if builder.is_logged(slot) != on:
        builder.add(SetLog(slot.name, on))


def toggle_log(builder: ProgramBuilder, slot: Slot, offset: int) -> None:
    builder.add(SetLog(slot.name, not builder.is_logged(slot)))


def get_log(builder: ProgramBuilder, slot: Slot, offset: int) -> None:
    builder.add(GetLog(slot.name))
    if builder.vm.manual != "off" and builder.chance(70):
        clear_log(builder, slot, offset)


def clear_log(builder: ProgramBuilder, slot: Slot, offset: int) -> None:
    word = 64 * builder.page
    start = offset // word * word if builder.chance(60) else 0
    rest = slot.size - start
    builder.add(ClearLog(slot.name, start, min(word, rest) if builder.chance(40) else rest))


def caches(builder: ProgramBuilder, slot: Slot, offset: int) -> None:
    cpu = builder.any_cpu()
    builder.add(GuestSetWay(cpu) if builder.chance(30) else GuestCache(cpu, builder.chance(60)))


def move_cpu(builder: ProgramBuilder, slot: Slot, offset: int) -> None:
    builder.add(GuestMove(builder.any_cpu(), builder.random.randrange(builder.vm.cpus)))


def reset(builder: ProgramBuilder, slot: Slot, offset: int) -> None:
    builder.add(GuestReset(builder.any_cpu()))


def stage1(builder: ProgramBuilder, slot: Slot, offset: int) -> None:
    """Add accesses by the guest's own MMU, and its cache maintenance."""
    builder.access(slot, offset, "walk" if builder.chance(60) else "clean")


def external_abort(builder: ProgramBuilder, slot: Slot, offset: int) -> None:
    builder.add(GuestExternalAbort(builder.cpu_of(slot), slot.name, offset))


def speculate(builder: ProgramBuilder, slot: Slot, offset: int) -> None:
    builder.add(Speculate(builder.cpu_of(slot), slot.name, offset))


def evict(builder: ProgramBuilder, slot: Slot, offset: int) -> None:
    builder.add(Evict(builder.cpu_of(slot), slot.name, offset))


def misalign(builder: ProgramBuilder, slot: Slot, offset: int) -> tuple[int, int]:
    """(offset, size) of a range whose two ends are off by some bytes, each on its own."""
    start, size = builder.range_at(slot, offset)
    choice = builder.random.choice
    start += choice((0, 0, 1, 8, builder.page // 2, builder.page - 1))
    return start, max(
        1, min(size + choice((0, 0, 1, -1, 100, builder.page - 1)), slot.size - start // builder.page * builder.page)
    )


def table_map(builder: ProgramBuilder, slot: Slot, offset: int) -> None:
    fail = builder.random.choice((1, 2, 3)) if builder.chance(3) else None
    builder.add(TableMap(slot.name, *misalign(builder, slot, offset), builder.random.choice(MAP_PROTS), fail))


def table_range(builder: ProgramBuilder, slot: Slot, offset: int) -> None:
    kind = builder.random.choice((TableUnmap, TableUnmap, TableWrprotect, TableFlush))
    builder.add(kind(slot.name, *misalign(builder, slot, offset)))


def table_place(builder: ProgramBuilder, slot: Slot, offset: int) -> None:
    offset += builder.random.choice((0, 1, builder.page - 1))
    if builder.chance(30):
        builder.add(TableRelax(slot.name, offset, builder.random.choice(MAP_PROTS)))
    else:
        builder.add(builder.random.choice((TableMkyoung, TableMkold, TableMkold, TableIsYoung))(slot.name, offset))


def slot_change(builder: ProgramBuilder, slot: Slot, offset: int) -> None:
    """Delete, create again, or move the slot."""
    random = builder.random
    somewhere = builder.free_ipa() + random.choice((0, 0, builder.page, builder.block))
    fail = random.choice((1, 2)) if builder.chance(20) else None
    if slot.name not in builder.state.live:
        ipa = None if builder.chance(60) else somewhere
        log = slot.backing != "device" and builder.chance(40)
        builder.add(SlotCreate(slot.name, ipa, log, builder.chance(10), fail))
    elif builder.chance(40):
        builder.add(SlotMove(slot.name, somewhere, fail))
    else:
        builder.add(SlotDelete(slot.name))
        if builder.chance(80):
            builder.add(SlotCreate(slot.name, None, slot.log, slot.ro))


def hyp_map(builder: ProgramBuilder, slot: Slot, offset: int) -> None:
    random = builder.random
    page = builder.page
    va = random.choice((0, GIB, 3 * GIB, 1 << 40)) + builder.block * random.randrange(3) + page * random.randrange(4)
    pa = 4 * GIB + builder.block * random.randrange(4) + (page * random.randrange(4) if builder.chance(50) else 0)
    size = random.choice((page, 3 * page, builder.block, builder.block + page, 64 * KIB, 2 * MIB))
    odd = random.choice((0, 0, 1, page - 1))
    fail = random.choice((1, 2)) if builder.chance(10) else None
    builder.add(HypMap(va + odd, pa + odd, size, random.choice(HYP_MAP_PROTS), fail))


Disturbance = Callable[[ProgramBuilder, Slot, int], None]

DISTURBANCES: Final[tuple[Disturbance, ...]] = (
    *(host_write, discard, toggle_log, get_log, table_map, table_range, table_place, slot_change, age) * 2,
    write_back,
    collapse,
    split,
    migrate,
    unmap,
    poison,
    share,
    merge,
    test_age,
    clear_log,
    caches,
    move_cpu,
    reset,
    stage1,
    external_abort,
    speculate,
    evict,
    hyp_map,
)
