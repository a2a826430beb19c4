# SPDX-License-Identifier: GPL-2.0-only
"""Random programs with so many tables that a call that walks them must drop the mmu lock."""

import random
from typing import Final

from ..language.operations import GuestReset, HostDiscard, Operation, SetLog, SlotDelete, TableMap
from ..language.program import GIB, KIB, Program, Slot
from .large_slots import enlarged, may_grow
from .legal import legal_part

# Percentage of programs.
_LONG: Final = 2
# Number of table entries. It exceeds the minimum for which a hold can be too long (`fuzz.judging.stretch.ENTRIES`).
_ENTRIES: Final = 18 << 10
# Ranges over which the entries spread. The lock may be dropped between two. A hold over more than four is too long.
_RANGES: Final = 6


def with_long_holds(program: Program, source: random.Random) -> Program:
    """Return the program, sometimes with many tables in one of its slots, and calls that walk all of them.

    :param program: a valid program, like the result
    """
    fit = may_grow(program) if source.randrange(100) < _LONG else []
    return filled(program, source.choice(fit), source) if fit else program


def filled(program: Program, chosen: Slot, source: random.Random) -> Program:
    """Return the program with a slot that has many tables; itself if there is no place for such a slot.

    :param chosen: one of its slots, backed by pages
    """
    page = program.vm.granule
    entries = page // 8
    block = page * entries
    # `stage2_range_addr_end()` steps by the largest block: 1G with pages of 4K.
    reach = block * entries if page == 4 * KIB else block
    tables = max(_ENTRIES // entries, _RANGES)
    each = -(-tables // _RANGES) if reach > block else 1
    ranges = -(-tables // each)
    size = max(chosen.size, -(-ranges * reach // GIB) * GIB)
    wide = program
    if size > chosen.size:
        wide = enlarged(program, chosen, size, 0)
        if wide is program:
            return program
    maps = [
        TableMap(chosen.name, number * reach + table * block, page, "rw")
        for number in range(ranges)
        for table in range(each)
    ]
    sweeps: list[Operation] = [
        SetLog(chosen.name, True),
        HostDiscard(chosen.name, 0, size),
        SlotDelete(chosen.name),
        GuestReset(chosen.vm * program.vm.cpus),
    ]
    return legal_part(wide, [*maps, source.choice(sweeps), *wide.operations])
