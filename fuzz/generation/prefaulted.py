# SPDX-License-Identifier: GPL-2.0-only
"""Random programs in which user space has KVM map guest memory before the guest touches it."""

import random
from typing import Final

from ..language.bounds import MAX_PREFAULT_PAGES
from ..language.operations import GuestAccess, GuestPrefault, Operation
from ..language.program import Program
from .builder import ProgramBuilder
from .legal import legal_part

# Percentage of programs.
_PREFAULTED: Final = 40
# Percentage of guest accesses there before which their place is mapped, and the number of other calls.
_BEFORE: Final = 25
_OTHERS: Final = (1, 1, 2, 3)


def with_prefaults(program: Program, offered: bool, source: random.Random) -> Program:
    """Return the program, sometimes with such calls between its operations.

    :param program: a valid program, like the result
    :param offered: as in `fuzz.generation.capabilities.Offers`; nothing is drawn otherwise
    :param source: the source of choices
    """
    if not offered or source.randrange(100) >= _PREFAULTED:
        return program
    builder = ProgramBuilder(source, 0, Program(program.vm, program.slots, ()))
    by_name = {slot.name: slot for slot in program.slots}
    operations: list[Operation] = []
    for each in program.operations:
        if isinstance(each, GuestAccess) and builder.chance(_BEFORE):
            builder.last = by_name[each.slot], each.offset // builder.page * builder.page
            operations.append(prefault(builder))
        operations.append(each)
    for _ in range(source.choice(_OTHERS)):
        builder.place()
        operations.insert(source.randrange(len(operations) + 1), prefault(builder))
    return legal_part(program, operations)


def prefault(builder: ProgramBuilder) -> GuestPrefault:
    """Return a call for a range at the last place of the builder."""
    slot, place = builder.last
    offset, size = builder.range_at(slot, place)
    return GuestPrefault(builder.cpu_of(slot), slot.name, offset, min(size, MAX_PREFAULT_PAGES * builder.page))
