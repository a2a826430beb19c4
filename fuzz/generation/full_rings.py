# SPDX-License-Identifier: GPL-2.0-only
"""Random programs in which a vCPU writes more pages than its dirty ring has entries.

The vCPU must leave the guest before its ring is full, so that user space empties the ring. Otherwise KVM overwrites
entries that user space has not collected.
"""

import random
from typing import Final

from ..language.program import Program, Slot
from .builder import ProgramBuilder
from .ring_visits import may_visit, write_between_collections

# Percentage of programs with dirty rings; maximum number of entries of a ring that is filled.
_FULL: Final = 4
_FEW: Final = 256
# Bytes of an entry (struct kvm_dirty_gfn); maximum number of pages written beyond the entries of the ring.
_ENTRY: Final = 16
_MORE: Final = 4


def with_full_ring(program: Program, source: random.Random) -> Program:
    """Return the program, sometimes with such writes at its end, if its dirty rings have few entries.

    :param program: a valid program, like the result
    :param source: the source of choices; nothing is drawn where there are no such rings
    """
    if not 0 < program.vm.ring // _ENTRY <= _FEW or source.randrange(100) >= _FULL:
        return program
    fit = [slot for slot in program.slots if may_fill(program, slot)]
    return filled(program, source.choice(fit), source) if fit else program


def may_fill(program: Program, slot: Slot) -> bool:
    """Return whether a slot may have a log, and has more pages than a ring has entries."""
    return may_visit(program, slot) and slot.size // program.vm.granule >= program.vm.ring // _ENTRY + _MORE


def filled(program: Program, slot: Slot, source: random.Random) -> Program:
    """Return the program with writes of one vCPU to more pages than its ring has entries, between two collections.

    :param slot: one of its slots, as `may_fill` requires
    """
    builder = ProgramBuilder(source, 0, program)
    count = program.vm.ring // _ENTRY + source.randrange(1, _MORE + 1)
    first = source.randrange(slot.size // builder.page - count + 1)
    pages = list(range(first, first + count))
    if builder.chance(50):
        pages.reverse()
    write_between_collections(builder, slot, pages)
    return builder.program()
