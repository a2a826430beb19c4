# SPDX-License-Identifier: GPL-2.0-only
"""Random programs with a slot of many gigabytes: as large as the most that one instruction flushes, and larger."""

import random
from dataclasses import replace
from typing import Any, Final

from reference.tlbflush import MAX_TLBI_RANGE_PAGES

from ..language.bounds import MAX_SLOT_SIZE
from ..language.operations import Operation
from ..language.program import GIB, MIB, Program, Slot
from .legal import alone, legal_part

# Of a hundred programs; and of a hundred of those, with a CPU that flushes ranges although the program has another.
_LARGE: Final = 3
_RANGE: Final = 60


def with_large_slot(program: Program, source: random.Random) -> Program:
    """The program, now and then with one of its slots made large, and what happens there far from its start.

    :param program: a valid one, as the result is
    """
    fit = may_grow(program) if source.randrange(100) < _LARGE else []
    if not fit:
        return program
    slot = source.choice(fit)
    vm = program.vm if source.randrange(100) >= _RANGE else replace(program.vm, range=True)
    size = source.choice(sizes(vm.granule))
    far = source.choice((0, 512 * MIB, 512 * MIB, size // 2, size - slot.size))
    return enlarged(replace(program, vm=vm), slot, size, far - far % (vm.granule * vm.granule // 8))


def may_grow(program: Program) -> list[Slot]:
    """Return the slots of a program that may have many gigabytes."""
    if program.vm.manual == "set":
        # A slot that begins with all pages dirty is cleared word by word, which takes long.
        return []
    return [slot for slot in alone(program) if slot.backing in ("anon", "thp")]


def sizes(page: int) -> list[int]:
    """The sizes of large slots in bytes: the most that slots and flushes of a range can have, and a page beside."""
    most = min(MAX_TLBI_RANGE_PAGES * page, MAX_SLOT_SIZE)
    return [each for each in (most - page, most, most, most + page, MAX_SLOT_SIZE) if each <= MAX_SLOT_SIZE]


def enlarged(program: Program, chosen: Slot, size: int, far: int) -> Program:
    """Return the program with a larger slot, without operations that this cannot have; itself where it has no place.

    :param far: bytes by which what happens in the slot moves, a multiple of a block
    """
    end = chosen.ipa + chosen.size
    # Whole gigabytes, so that what lies behind is aligned as before.
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
