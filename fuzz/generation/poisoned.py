# SPDX-License-Identifier: GPL-2.0-only
"""Random programs in which a huge page of hugetlb is poisoned, and a guest accesses it afterwards."""

import random
from typing import Final

from ..language.operations import HostPoison, SetLog
from ..language.program import HUGE_SHIFT, Program, Slot
from .builder import ProgramBuilder

# Percentage of programs with such a page.
_POISONED: Final = 15


def with_poison(program: Program, source: random.Random) -> Program:
    """Return the program, sometimes as `poisoned` changes it.

    :param program: a valid program, like the result
    :param source: the source of choices; nothing is drawn where there is no such page
    """
    fit = [slot for slot in program.slots if has_huge_page(slot)]
    return poisoned(program, source.choice(fit), source) if fit and source.randrange(100) < _POISONED else program


def has_huge_page(slot: Slot) -> bool:
    """Return whether a slot has a whole page of hugetlb."""
    return not slot.alias and slot.backing in HUGE_SHIFT and slot.size >= 1 << HUGE_SHIFT[slot.backing]


def poisoned(program: Program, slot: Slot, source: random.Random) -> Program:
    """Return the program with a page that is poisoned at its end, and an access that ends with SIGBUS.

    The signal has the size of the huge page if the slot has no log.

    :param slot: one of its slots, as `has_huge_page` requires
    """
    builder = ProgramBuilder(source, 0, program)
    size = 1 << HUGE_SHIFT[slot.backing]
    start = -slot.offset % size
    if start + size > slot.size:
        start = 0
    if builder.is_logged(slot):
        builder.add(SetLog(slot.name, False))
    pages = size // builder.page
    touched, broken, again = (start + source.randrange(pages) * builder.page for _ in range(3))
    if builder.chance(50):
        builder.access(slot, touched)
    builder.add(HostPoison(slot.name, broken))
    builder.access(slot, again)
    return builder.program()
