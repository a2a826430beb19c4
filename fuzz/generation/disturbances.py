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


def host_write(draft: ProgramBuilder, slot: Slot, offset: int) -> None:
    # A large write breaks copy-on-write page by page: slow, and seldom worth it.
    size = min(draft.page * draft.random.choice((1, 2, 5)), slot.size - offset)
    if draft.chance(25):
        offset, size = draft.range_at(slot, offset)
    draft.add(HostWrite(slot.name, offset, size))


def write_back(draft: ProgramBuilder, slot: Slot, offset: int) -> None:
    draft.add(HostWriteback(slot.name, *draft.range_at(slot, offset)))


def collapse(draft: ProgramBuilder, slot: Slot, offset: int) -> None:
    draft.add(HostCollapse(slot.name, offset))


def split(draft: ProgramBuilder, slot: Slot, offset: int) -> None:
    draft.add(HostSplit(slot.name, offset))


def migrate(draft: ProgramBuilder, slot: Slot, offset: int) -> None:
    if slot.backing != "hugetlb1g":
        size = min(draft.page * draft.random.choice((1, 1, 2, 5)), slot.size - offset)
        draft.add(HostMigrate(slot.name, offset, size))


def discard(draft: ProgramBuilder, slot: Slot, offset: int) -> None:
    draft.add(HostDiscard(slot.name, *draft.range_at(slot, offset)))


def unmap(draft: ProgramBuilder, slot: Slot, offset: int) -> None:
    # Nothing comes back: a large hole leaves little to happen behind it.
    size = min(draft.page * draft.random.choice((1, 1, 3)), slot.size - offset)
    draft.add(HostUnmap(slot.name, offset, size))


def poison(draft: ProgramBuilder, slot: Slot, offset: int) -> None:
    draft.add(HostPoison(slot.name, offset))


def share(draft: ProgramBuilder, slot: Slot, offset: int) -> None:
    draft.add(HostShare(slot.name, *draft.range_at(slot, offset)))


def merge(draft: ProgramBuilder, slot: Slot, offset: int) -> None:
    draft.add(HostMerge(slot.name, offset))


def age(draft: ProgramBuilder, slot: Slot, offset: int) -> None:
    size = min(draft.page * draft.random.choice((1, 2, 4)), slot.size - offset)
    draft.add(HostAge(slot.name, offset, size, draft.chance(60)))


def test_age(draft: ProgramBuilder, slot: Slot, offset: int) -> None:
    draft.add(HostTestAge(slot.name, offset))


def set_log(draft: ProgramBuilder, slot: Slot, on: bool) -> None:
    if draft.is_logged(slot) != on:
        draft.add(SetLog(slot.name, on))


def toggle_log(draft: ProgramBuilder, slot: Slot, offset: int) -> None:
    draft.add(SetLog(slot.name, not draft.is_logged(slot)))


def get_log(draft: ProgramBuilder, slot: Slot, offset: int) -> None:
    draft.add(GetLog(slot.name))
    if draft.vm.manual != "off" and draft.chance(70):
        clear_log(draft, slot, offset)


def clear_log(draft: ProgramBuilder, slot: Slot, offset: int) -> None:
    word = 64 * draft.page
    start = offset // word * word if draft.chance(60) else 0
    rest = slot.size - start
    draft.add(ClearLog(slot.name, start, min(word, rest) if draft.chance(40) else rest))


def caches(draft: ProgramBuilder, slot: Slot, offset: int) -> None:
    cpu = draft.any_cpu()
    draft.add(GuestSetWay(cpu) if draft.chance(30) else GuestCache(cpu, draft.chance(60)))


def move_cpu(draft: ProgramBuilder, slot: Slot, offset: int) -> None:
    draft.add(GuestMove(draft.any_cpu(), draft.random.randrange(draft.vm.cpus)))


def reset(draft: ProgramBuilder, slot: Slot, offset: int) -> None:
    draft.add(GuestReset(draft.any_cpu()))


def stage1(draft: ProgramBuilder, slot: Slot, offset: int) -> None:
    """What the guest's own MMU and its cache maintenance do."""
    draft.access(slot, offset, "walk" if draft.chance(60) else "clean")


def external_abort(draft: ProgramBuilder, slot: Slot, offset: int) -> None:
    draft.add(GuestExternalAbort(draft.cpu_of(slot), slot.name, offset))


def speculate(draft: ProgramBuilder, slot: Slot, offset: int) -> None:
    draft.add(Speculate(draft.cpu_of(slot), slot.name, offset))


def evict(draft: ProgramBuilder, slot: Slot, offset: int) -> None:
    draft.add(Evict(draft.cpu_of(slot), slot.name, offset))


def misalign(draft: ProgramBuilder, slot: Slot, offset: int) -> tuple[int, int]:
    """(offset, size) of a range whose two ends are off by some bytes, each on its own."""
    start, size = draft.range_at(slot, offset)
    choice = draft.random.choice
    start += choice((0, 0, 1, 8, draft.page // 2, draft.page - 1))
    return start, max(
        1, min(size + choice((0, 0, 1, -1, 100, draft.page - 1)), slot.size - start // draft.page * draft.page)
    )


def table_map(draft: ProgramBuilder, slot: Slot, offset: int) -> None:
    fail = draft.random.choice((1, 2, 3)) if draft.chance(3) else None
    draft.add(TableMap(slot.name, *misalign(draft, slot, offset), draft.random.choice(MAP_PROTS), fail))


def table_range(draft: ProgramBuilder, slot: Slot, offset: int) -> None:
    kind = draft.random.choice((TableUnmap, TableUnmap, TableWrprotect, TableFlush))
    draft.add(kind(slot.name, *misalign(draft, slot, offset)))


def table_place(draft: ProgramBuilder, slot: Slot, offset: int) -> None:
    offset += draft.random.choice((0, 1, draft.page - 1))
    if draft.chance(30):
        draft.add(TableRelax(slot.name, offset, draft.random.choice(MAP_PROTS)))
    else:
        draft.add(draft.random.choice((TableMkyoung, TableMkold, TableMkold, TableIsYoung))(slot.name, offset))


def slot_change(draft: ProgramBuilder, slot: Slot, offset: int) -> None:
    """The slot goes, comes back, or moves."""
    random = draft.random
    somewhere = draft.free_ipa() + random.choice((0, 0, draft.page, draft.block))
    fail = random.choice((1, 2)) if draft.chance(20) else None
    if slot.name not in draft.state.live:
        ipa = None if draft.chance(60) else somewhere
        log = slot.backing != "device" and draft.chance(40)
        draft.add(SlotCreate(slot.name, ipa, log, draft.chance(10), fail))
    elif draft.chance(40):
        draft.add(SlotMove(slot.name, somewhere, fail))
    else:
        draft.add(SlotDelete(slot.name))
        if draft.chance(80):
            draft.add(SlotCreate(slot.name, None, slot.log, slot.ro))


def hyp_map(draft: ProgramBuilder, slot: Slot, offset: int) -> None:
    random = draft.random
    page = draft.page
    va = random.choice((0, GIB, 3 * GIB, 1 << 40)) + draft.block * random.randrange(3) + page * random.randrange(4)
    pa = 4 * GIB + draft.block * random.randrange(4) + (page * random.randrange(4) if draft.chance(50) else 0)
    size = random.choice((page, 3 * page, draft.block, draft.block + page, 64 * KIB, 2 * MIB))
    odd = random.choice((0, 0, 1, page - 1))
    fail = random.choice((1, 2)) if draft.chance(10) else None
    draft.add(HypMap(va + odd, pa + odd, size, random.choice(HYP_MAP_PROTS), fail))


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
