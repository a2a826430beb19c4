# SPDX-License-Identifier: GPL-2.0-only
"""Random programs with a slot of many gigabytes: around the most that one instruction flushes, and larger.

Flushing a range of more takes several instructions. Some programs write-protect pages that only a later one covers.
"""

import random
from dataclasses import replace
from typing import Any, Final

from reference.tlbflush import MAX_TLBI_RANGE_PAGES

from ..language.bounds import MAX_SLOT_SIZE
from ..language.operations import GuestAccess, Operation, SetLog
from ..language.program import GIB, MIB, Program, Slot
from .builder import ProgramBuilder
from .legal import alone, legal_part

# Percentage of programs; and percentage of these that get a CPU that flushes ranges.
_LARGE: Final = 3
_RANGE: Final = 60
# Percentage of these whose flush takes several instructions, if a slot can be so large.
_SEVERAL: Final = 40


def with_large_slot(program: Program, source: random.Random) -> Program:
    """Return the program, sometimes with one of its slots enlarged, and its operations there moved far from the start.

    :param program: a valid program, like the result
    """
    fit = may_grow(program) if source.randrange(100) < _LARGE else []
    if not fit:
        return program
    slot = source.choice(fit)
    vm = program.vm if source.randrange(100) >= _RANGE else replace(program.vm, range=True)
    size = source.choice(sizes(vm.granule))
    far = source.choice((0, 512 * MIB, 512 * MIB, size // 2, size - slot.size))
    # Drawn separately, so that other programs do not change.
    apart = random.Random(f"{size} {far} {program.operations}")
    if vm.range and MAX_TLBI_RANGE_PAGES * vm.granule < MAX_SLOT_SIZE and apart.randrange(100) < _SEVERAL:
        larger = enlarged(replace(program, vm=vm), slot, MAX_SLOT_SIZE, 0)
        return protected_late(larger, slot.name, apart)
    return enlarged(replace(program, vm=vm), slot, size, far - far % (vm.granule * vm.granule // 8))


def protected_late(program: Program, name: str, source: random.Random) -> Program:
    """Return the program with a page, in the slot of that name, that logging write-protects, and that is then written.

    Only the second instruction that flushes the slot covers the page. A smaller slot gets no such page.
    """
    builder = ProgramBuilder(source, 0, program)
    (slot,) = (each for each in builder.slots if each.name == name)
    page = builder.page
    pages = range(MAX_TLBI_RANGE_PAGES, slot.size // page)
    if not pages or slot.ro:
        return program
    offset = source.choice((pages[0], pages[-1], source.choice(pages))) * page
    if builder.is_logged(slot):
        builder.add(SetLog(name, False))
    builder.add(GuestAccess(builder.cpu_of(slot), "write", name, offset), SetLog(name, True))
    builder.add(GuestAccess(builder.cpu_of(slot), "write", name, offset))
    return builder.program()


def may_grow(program: Program) -> list[Slot]:
    """Return the slots of a program that may grow to many gigabytes."""
    if program.vm.manual == "set":
        # A slot that begins with all pages dirty is cleared word by word, which takes long.
        return []
    return [slot for slot in alone(program) if slot.backing in ("anon", "thp")]


def sizes(page: int) -> list[int]:
    """Return the sizes of large slots in bytes: the maxima for slots and range flushes, and a page less or more."""
    most = min(MAX_TLBI_RANGE_PAGES * page, MAX_SLOT_SIZE)
    return [each for each in (most - page, most, most, most + page, MAX_SLOT_SIZE) if each <= MAX_SLOT_SIZE]


def enlarged(program: Program, chosen: Slot, size: int, far: int) -> Program:
    """Return the program with a larger slot, without operations that this makes illegal; itself if there is no place.

    :param far: bytes by which operations in the slot move, a multiple of a block
    """
    end = chosen.ipa + chosen.size
    # Whole gigabytes, so that later slots stay aligned as before.
    by = -(-(size - chosen.size) // GIB) * GIB
    top = 1 << program.vm.ipa
    if chosen.ipa + size > top or any(slot.ipa >= end and slot.ipa + slot.size + by > top for slot in program.slots):
        return program

    def moved(operation: Operation) -> Operation:
        each: Any = operation
        if getattr(each, "slot", "") == chosen.name and hasattr(each, "offset"):
            each = replace(each, offset=each.offset + far)
        where = getattr(each, "ipa", None)
        changed: Operation = each if where is None or where < end else replace(each, ipa=where + by)
        return changed

    slots = tuple(
        replace(slot, size=size) if slot is chosen else replace(slot, ipa=slot.ipa + (by if slot.ipa >= end else 0))
        for slot in program.slots
    )
    return legal_part(replace(program, slots=slots), [moved(operation) for operation in program.operations])
