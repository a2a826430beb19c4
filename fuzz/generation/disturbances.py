# SPDX-License-Identifier: GPL-2.0-only
"""Single operations at a place, used between and inside motifs."""

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Final

from ..language import operations as ops
from ..language.bounds import outside, wanted_backings
from ..language.program import DEVICES, GIB, KIB, MIB, Slot
from .builder import ProgramBuilder

MAP_PROTS: Final[tuple[ops.Prot, ...]] = ("r", "rw", "rw", "rx", "rwx")
# Percentage of discards by the OOM reaper, if it takes such pages.
_REAPED: Final = 25
# Percentage of aborts that are followed by an access beyond the guest's address space.
_OUTSIDE: Final = 40
OUTSIDE_KINDS: Final[tuple[ops.AccessKind, ...]] = ("read", "read", "write", "write", "fetch", "walk", "clean")
HYP_MAP_PROTS: Final[tuple[ops.HypProt, ...]] = ("r", "rw", "rw", "rx", "device", "rwx")


def host_write(builder: ProgramBuilder, slot: Slot, offset: int) -> None:
    """Let user space write to a few pages, or to a random range."""
    # A large write breaks copy-on-write page by page, which is slow and seldom useful.
    size = min(builder.page * builder.random.choice((1, 2, 5)), slot.size - offset)
    if builder.chance(25):
        offset, size = builder.range_at(slot, offset)
    builder.add(ops.HostWrite(slot.name, offset, size))


def write_back(builder: ProgramBuilder, slot: Slot, offset: int) -> None:
    """Let data caches write the dirty lines of a range back to memory."""
    builder.add(ops.HostWriteback(slot.name, *builder.range_at(slot, offset)))


def collapse(builder: ProgramBuilder, slot: Slot, offset: int) -> None:
    """Let khugepaged make a huge page of small ones."""
    builder.add(ops.HostCollapse(slot.name, offset))


def split(builder: ProgramBuilder, slot: Slot, offset: int) -> None:
    """Split the huge page of the host."""
    builder.add(ops.HostSplit(slot.name, offset))


def migrate(builder: ProgramBuilder, slot: Slot, offset: int) -> None:
    """Migrate a few pages to other frames; unmap device memory instead."""
    if slot.backing == "devicehuge":
        unmap(builder, slot, offset)
    elif slot.backing != "hugetlb1g":
        size = min(builder.page * builder.random.choice((1, 1, 2, 5)), slot.size - offset)
        builder.add(ops.HostMigrate(slot.name, offset, size))


def discard(builder: ProgramBuilder, slot: Slot, offset: int) -> None:
    """Discard a range, as user space or the OOM reaper does; unmap device memory instead."""
    if slot.backing == "devicehuge":
        # Only an unmap takes the blocks of this backing from user space.
        unmap(builder, slot, offset)
        return
    start, size = builder.range_at(slot, offset)
    # Drawn separately, so that other operations do not change.
    apart = Random(f"{len(builder.operations)} {slot.name} {start} {size}")
    if apart.randrange(100) < _REAPED and slot.backing in wanted_backings(ops.HostReap, builder.page):
        builder.add(reap(apart, slot, start, size))
    else:
        builder.add(ops.HostDiscard(slot.name, start, size))


def reap(apart: Random, slot: Slot, offset: int, size: int) -> ops.HostReap:
    """Make the OOM reaper take a range or, half of the time, the whole slot, because it takes whole areas."""
    return ops.HostReap(slot.name, 0, slot.size) if apart.randrange(2) else ops.HostReap(slot.name, offset, size)


def unmap(builder: ProgramBuilder, slot: Slot, offset: int) -> None:
    """Unmap a few pages from user space."""
    # The pages do not return: after a large hole little can happen.
    size = min(builder.page * builder.random.choice((1, 1, 3)), slot.size - offset)
    builder.add(ops.HostUnmap(slot.name, offset, size))


def protect(builder: ProgramBuilder, slot: Slot, offset: int) -> None:
    """Make a range read-only for user space. Where one is read-only already, more often make that writable again."""
    before = [each for each in builder.operations if isinstance(each, ops.HostProtect) and each.slot == slot.name]
    if before and before[-1].on and builder.chance(60):
        builder.add(replace(before[-1], on=False))
    else:
        builder.add(ops.HostProtect(slot.name, *builder.range_at(slot, offset), builder.chance(85)))


def poison(builder: ProgramBuilder, slot: Slot, offset: int) -> None:
    """Let memory fail at a page."""
    builder.add(ops.HostPoison(slot.name, offset))


def share(builder: ProgramBuilder, slot: Slot, offset: int) -> None:
    """Share a range with a forked process, so that a write copies it."""
    builder.add(ops.HostShare(slot.name, *builder.range_at(slot, offset)))


def merge(builder: ProgramBuilder, slot: Slot, offset: int) -> None:
    """Let KSM merge a page with another."""
    builder.add(ops.HostMerge(slot.name, offset))


def age(builder: ProgramBuilder, slot: Slot, offset: int) -> None:
    """Ask whether a few pages were accessed, usually clearing their access flags."""
    size = min(builder.page * builder.random.choice((1, 2, 4)), slot.size - offset)
    builder.add(ops.HostAge(slot.name, offset, size, builder.chance(60)))


def test_age(builder: ProgramBuilder, slot: Slot, offset: int) -> None:
    """Ask whether a page was accessed."""
    builder.add(ops.HostTestAge(slot.name, offset))


def set_log(builder: ProgramBuilder, slot: Slot, on: bool) -> None:
    """Switch the dirty log of a slot on or off, unless it is."""
    if builder.is_logged(slot) != on:
        builder.add(ops.SetLog(slot.name, on))


def toggle_log(builder: ProgramBuilder, slot: Slot, offset: int) -> None:
    """Switch the dirty log of a slot on if it is off, and the reverse."""
    builder.add(ops.SetLog(slot.name, not builder.is_logged(slot)))


def get_log(builder: ProgramBuilder, slot: Slot, offset: int) -> None:
    """Read the dirty log, and often clear a part of it if clearing is manual."""
    builder.add(ops.GetLog(slot.name))
    if builder.vm.manual != "off" and builder.chance(70):
        clear_log(builder, slot, offset)


def clear_log(builder: ProgramBuilder, slot: Slot, offset: int) -> None:
    """Clear a part of the dirty log, from a multiple of 64 pages on."""
    word = 64 * builder.page
    start = offset // word * word if builder.chance(60) else 0
    rest = slot.size - start
    builder.add(ops.ClearLog(slot.name, start, min(word, rest) if builder.chance(40) else rest))


def caches(builder: ProgramBuilder, slot: Slot, offset: int) -> None:
    """Let a vCPU switch its caches on or off, or clean them by set and way."""
    cpu = builder.any_cpu()
    builder.add(ops.GuestSetWay(cpu) if builder.chance(30) else ops.GuestCache(cpu, builder.chance(60)))


def move_cpu(builder: ProgramBuilder, slot: Slot, offset: int) -> None:
    """Move a vCPU to another CPU."""
    builder.add(ops.GuestMove(builder.any_cpu(), builder.random.randrange(builder.vm.cpus)))


def reset(builder: ProgramBuilder, slot: Slot, offset: int) -> None:
    """Reset a vCPU."""
    builder.add(ops.GuestReset(builder.any_cpu()))


def stage1(builder: ProgramBuilder, slot: Slot, offset: int) -> None:
    """Add an access by the guest's own MMU, or its cache maintenance."""
    builder.access(slot, offset, "walk" if builder.chance(60) else "clean")


def external_abort(builder: ProgramBuilder, slot: Slot, offset: int) -> None:
    """Let a vCPU take an external abort or a TLB conflict, and sometimes access an address outside its space."""
    make = ops.GuestConflict if builder.chance(50) else ops.GuestExternalAbort
    cpu = builder.cpu_of(slot)
    builder.add(make(cpu, slot.name, offset))
    # Drawn separately, so that other operations do not change.
    apart = Random(f"{len(builder.operations)} {slot.name} {offset}")
    beyond = outside(builder.vm)
    if beyond and apart.randrange(100) < _OUTSIDE:
        kind: ops.AccessKind = apart.choice(OUTSIDE_KINDS)
        far = apart.choice((0, 0, 1, builder.page, slot.ipa + offset, 1 << apart.randrange(32, 52), len(beyond) - 1))
        builder.add(ops.GuestOutside(cpu, kind, beyond[far % len(beyond)], apart.randrange(2) == 0))


def speculate(builder: ProgramBuilder, slot: Slot, offset: int) -> None:
    """Let a CPU walk ahead to a place."""
    builder.add(ops.Speculate(builder.cpu_of(slot), slot.name, offset))


def evict(builder: ProgramBuilder, slot: Slot, offset: int) -> None:
    """Let a CPU drop the TLB entries of a place."""
    builder.add(ops.Evict(builder.cpu_of(slot), slot.name, offset))


def misalign(builder: ProgramBuilder, slot: Slot, offset: int) -> tuple[int, int]:
    """Return (offset, size) of a range whose ends are independently off by some bytes."""
    start, size = builder.range_at(slot, offset)
    choice = builder.random.choice
    start += choice((0, 0, 1, 8, builder.page // 2, builder.page - 1))
    return start, max(
        1, min(size + choice((0, 0, 1, -1, 100, builder.page - 1)), slot.size - start // builder.page * builder.page)
    )


def table_map(builder: ProgramBuilder, slot: Slot, offset: int) -> None:
    """Map a range by a direct call of pgtable.c, which may run out of memory."""
    fail = builder.random.choice((1, 2, 3, 4, 6)) if builder.chance(8) else None
    builder.add(ops.TableMap(slot.name, *misalign(builder, slot, offset), builder.random.choice(MAP_PROTS), fail))


def table_range(builder: ProgramBuilder, slot: Slot, offset: int) -> None:
    """Unmap, write-protect or flush a range by a direct call."""
    kind = builder.random.choice((ops.TableUnmap, ops.TableUnmap, ops.TableWrprotect, ops.TableFlush))
    builder.add(kind(slot.name, *misalign(builder, slot, offset)))


def table_place(builder: ProgramBuilder, slot: Slot, offset: int) -> None:
    """Relax the rights of a page, or set, clear or read its access flag, by a direct call."""
    offset += builder.random.choice((0, 1, builder.page - 1))
    if builder.chance(30):
        builder.add(ops.TableRelax(slot.name, offset, builder.random.choice(MAP_PROTS)))
    else:
        kind = builder.random.choice((ops.TableMkyoung, ops.TableMkold, ops.TableMkold, ops.TableIsYoung))
        builder.add(kind(slot.name, offset))


def slot_change(builder: ProgramBuilder, slot: Slot, offset: int) -> None:
    """Delete, recreate or move the slot."""
    random = builder.random
    somewhere = builder.free_ipa() + random.choice((0, 0, builder.page, builder.block))
    if builder.chance(5):
        # The last possible place, or one page beyond it.
        somewhere = (1 << builder.vm.ipa) - slot.size + random.choice((0, 0, builder.page))
    fail = random.choice((1, 2)) if builder.chance(20) else None
    if slot.name not in builder.state.live:
        ipa = None if builder.chance(60) else somewhere
        log = slot.backing not in DEVICES and builder.chance(40)
        builder.add(ops.SlotCreate(slot.name, ipa, log, builder.chance(10), fail))
    elif builder.chance(40):
        builder.add(ops.SlotMove(slot.name, somewhere, fail))
    else:
        builder.add(ops.SlotDelete(slot.name))
        if builder.chance(80):
            builder.add(ops.SlotCreate(slot.name, None, slot.log, slot.ro))


def hyp_map(builder: ProgramBuilder, slot: Slot, offset: int) -> None:
    """Map a range in the hypervisor's own tables; sometimes repeat an earlier mapping."""
    random = builder.random
    page = builder.page
    before = [each for each in builder.operations if isinstance(each, ops.HypMap)]
    if before and builder.chance(25):
        builder.add(random.choice(before))
        return
    va = random.choice((0, GIB, 3 * GIB, 1 << 40)) + builder.block * random.randrange(3) + page * random.randrange(4)
    pa = 4 * GIB + builder.block * random.randrange(4) + (page * random.randrange(4) if builder.chance(50) else 0)
    size = random.choice((page, 3 * page, builder.block, builder.block + page, 64 * KIB, 2 * MIB))
    odd = random.choice((0, 0, 1, page - 1))
    fail = random.choice((1, 2)) if builder.chance(10) else None
    builder.add(ops.HypMap(va + odd, pa + odd, size, random.choice(HYP_MAP_PROTS), fail))


Disturbance = Callable[[ProgramBuilder, Slot, int], None]

DISTURBANCES: Final[tuple[Disturbance, ...]] = (
    *(host_write, discard, toggle_log, get_log, table_map, table_range, table_place, slot_change, age) * 2,
    write_back,
    collapse,
    split,
    migrate,
    unmap,
    protect,
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
