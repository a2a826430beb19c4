# SPDX-License-Identifier: GPL-2.0-only
"""Reduction of the machine and the slots: fewer VMs and CPUs, 4K pages, defaults, less memory."""

from dataclasses import replace
from typing import Any, Final

from ..language.bounds import MAX_SLOT_SIZE
from ..language.inside import changed_in, renumbered
from ..language.operations import Operation
from ..language.program import (
    BACKINGS,
    GIB,
    GRANULES,
    MEMFD,
    SPLIT_SIZES,
    Program,
    Slot,
    Vm,
    backings,
    each_of,
    next_ipa,
)
from .legal import slot_of
from .minimizer import Minimizer

# The settings of a machine that are on or off.
_FLAGS: Final = ("fwb", "dic", "ttl", "range", "haf")
# The fields of operations that are numbers of bytes.
_PLACES: Final = ("offset", "size", "va", "pa", "ipa")


def machine(minimizer: Minimizer) -> None:
    """Simplify the settings of the machine, all at once and then one by one."""
    plain = Vm(granule=minimizer.best.vm.granule, cpus=1)
    if not minimizer.attempt(on_machine(minimizer.best, plain)):
        for vms in range(1, minimizer.best.vm.vms):
            fewer = on_machine(minimizer.best, replace(minimizer.best.vm, vms=vms))
            if minimizer.attempt(fewer) or minimizer.attempt(replace(fewer, slots=at_default_addresses(fewer.slots))):
                break
        for cpus in range(1, minimizer.best.vm.cpus):
            if minimizer.attempt(on_machine(minimizer.best, replace(minimizer.best.vm, cpus=cpus))):
                break
        for name in _FLAGS:
            if getattr(minimizer.best.vm, name):
                _change_vm(minimizer, **{name: False})
        for change in (
            *({"manual": "off"}, {"manual": "on"}, {"fail": None}, {"fail": 1}),
            *({"resched": None}, {"resched": 1}, {"contended": None}, {"contended": 1}, {"ipa": plain.ipa}),
            *({"split": 0}, {"ring": 0, "bitmap": True}, {"bitmap": True}),
            *({"grace": None}, {"grace": 1}, {"pa": 48}, {"mte": False}, {"bbm": False}),
            *({"nested": False, "stage2": False}, {"stage2": False}),
        ):
            _change_vm(minimizer, **change)
    page = minimizer.best.vm.granule
    for granule in GRANULES[: GRANULES.index(page)]:
        # Keep the number of bytes, the number of pages, or the number of blocks.
        for times, by in (1, 1), (granule, page), (granule * granule, page * page):
            if minimizer.attempt(scaled(minimizer.best, granule, times, by)):
                return


def _change_vm(minimizer: Minimizer, **changes: Any) -> bool:
    return minimizer.attempt(replace(minimizer.best, vm=replace(minimizer.best.vm, **changes)))


def on_machine(program: Program, vm: Vm) -> Program:
    """Return the program on a smaller machine. Operations of removed VMs and CPUs move to the last one left."""
    old = program.vm

    def number_of(cpu: int) -> int:
        return min(cpu // old.cpus, vm.vms - 1) * vm.cpus + min(cpu % old.cpus, vm.cpus - 1)

    def moved(operation: Operation) -> Operation:
        changed: Any = operation
        if hasattr(changed, "cpu"):
            changed = replace(changed, cpu=number_of(changed.cpu))
        if hasattr(changed, "to"):
            changed = replace(changed, to=min(changed.to, vm.cpus - 1))
        same: Operation = changed
        return same

    slots = tuple(replace(slot, vm=min(slot.vm, vm.vms - 1)) for slot in program.slots)
    operations = changed_in(program.operations, moved)
    return Program(vm, slots, tuple(renumbered(each, number_of) for each in operations))


def at_default_addresses(slots: tuple[Slot, ...]) -> tuple[Slot, ...]:
    """Return the slots at their default addresses."""
    placed: list[Slot] = []
    for slot in slots:
        placed.append(replace(slot, ipa=next_ipa(placed)))
    return tuple(placed)


def scaled(program: Program, granule: int, times: int, by: int) -> Program:
    """Return the program with another page size, and all numbers of bytes scaled by *times* / *by*."""

    def scale(value: int) -> int:
        return value * times // by

    allowed = (*backings(granule), MEMFD)
    slots: list[Slot] = []
    for slot in program.slots:
        backing = slot.backing if slot.backing in allowed else "hugetlb2m"
        size = min(max(scale(slot.size) // granule * granule, granule), MAX_SLOT_SIZE)
        offset = scale(slot.offset) // granule * granule % GIB
        slots.append(replace(slot, size=size, offset=offset, backing=backing))

    def change(operation: Operation) -> Operation:
        each: Any = operation
        changes = {name: scale(getattr(each, name)) for name in _PLACES if getattr(each, name, None) is not None}
        if changes.get("size") == 0:
            changes["size"] = 1
        changed: Operation = replace(each, **changes)
        return changed

    operations = changed_in(program.operations, change)
    return Program(resized(program.vm, granule), at_default_addresses(tuple(slots)), operations)


def resized(vm: Vm, granule: int) -> Vm:
    """Return the machine with another page size. The level to which blocks are split stays the same."""
    split = vm.split
    if split:
        level = SPLIT_SIZES[vm.granule].index(split)
        split = SPLIT_SIZES[granule][min(level, len(SPLIT_SIZES[granule]) - 1)]
    return replace(vm, granule=granule, split=split, ring=vm.ring and max(vm.ring, granule))


def memory(minimizer: Minimizer) -> None:
    """Simplify the slots and their contents: consecutive blocks, no more memory than needed."""
    # Guest and host addresses change together where blocks need that.
    aligned = at_default_addresses(tuple(replace(slot, offset=0) for slot in minimizer.best.slots))
    if not minimizer.attempt(replace(minimizer.best, slots=aligned)):
        minimizer.attempt(replace(minimizer.best, slots=at_default_addresses(minimizer.best.slots)))
    for number in range(len(minimizer.best.slots)):
        for change in ({"log": False}, {"ro": False}, {"offset": 0}, {"alias": "", "offset": 0}, {"alias": ""}):
            _change(minimizer, number, **change)
        page = minimizer.best.vm.granule
        _change(minimizer, number, offset=minimizer.best.slots[number].offset % block_of(page))
        backing = minimizer.best.slots[number].backing
        for simpler in BACKINGS if backing == MEMFD else BACKINGS[: BACKINGS.index(backing)]:
            if _change(minimizer, number, backing=simpler):
                break
        name = minimizer.best.slots[number].name
        for unit in GIB, block_of(page):
            minimizer.attempt(gathered(minimizer.best, name, unit))
        for size in sizes(minimizer.best, number):
            if minimizer.attempt(shrunk(minimizer.best, number, size)):
                break
    minimizer.attempt(replace(minimizer.best, slots=at_default_addresses(minimizer.best.slots)))


def _change(minimizer: Minimizer, number: int, **changes: Any) -> bool:
    slots = list(minimizer.best.slots)
    slots[number] = replace(slots[number], **changes)
    return minimizer.attempt(replace(minimizer.best, slots=tuple(slots)))


def block_of(page: int) -> int:
    """Return the size of a block of level 2, in bytes."""
    return page * page // 8


def gathered(program: Program, name: str, unit: int) -> Program:
    """Return the program with the used blocks of *unit* bytes moved to the start of their slot, in order."""
    starts: set[int] = set()
    for operation in each_of(program.operations):
        each: Any = operation
        if slot_of(operation) == name and hasattr(each, "offset"):
            starts.add(each.offset // unit)
    ranks = {start: rank for rank, start in enumerate(sorted(starts))}

    def moved(operation: Operation) -> Operation:
        changed: Any = operation
        if slot_of(operation) == name and hasattr(changed, "offset"):
            changed = replace(changed, offset=ranks[changed.offset // unit] * unit + changed.offset % unit)
        same: Operation = changed
        return same

    return replace(program, operations=changed_in(program.operations, moved))


def sizes(program: Program, number: int) -> list[int]:
    """Return sizes that may suffice for a slot, from one page on: powers of two, and the ends of operations."""
    slot, page = program.slots[number], program.vm.granule
    found: set[int] = set()
    size = page
    while size < slot.size:
        found.add(size)
        size *= 2
    for operation in each_of(program.operations):
        each: Any = operation
        if slot_of(operation) == slot.name and hasattr(each, "offset"):
            end = each.offset + getattr(each, "size", 1)
            found |= {-(-end // unit) * unit for unit in (page, block_of(page))}
    return sorted(size for size in found if size < slot.size)


def shrunk(program: Program, number: int, size: int) -> Program:
    """Return the program with a smaller slot. Ranges beyond its end are cut there."""
    slots = list(program.slots)
    slot = slots[number] = replace(slots[number], size=size)
    operations: list[Any] = []
    for operation in program.operations:
        each: Any = operation
        if slot_of(operation) == slot.name and hasattr(each, "size") and each.offset < size:
            each = replace(each, size=min(each.size, size - each.offset))
        operations.append(each)
    return Program(program.vm, tuple(slots), tuple(operations))
