# SPDX-License-Identifier: GPL-2.0-only
"""Random programs in which a vCPU with a dirty ring writes pages far apart, forwards and backwards.

KVM_RESET_DIRTY_RINGS handles up to 64 neighbouring pages at once. It must begin anew if a page lies too far
before or after the others, and handle no page beyond the end of the slot.
"""

import random
from collections.abc import Sequence
from typing import Final

from ..language.bounds import wanted_backings
from ..language.operations import GetLog, GuestAccess, SetLog
from ..language.program import Program, Slot
from .builder import ProgramBuilder

# Percentage of programs with dirty rings.
_VISITS: Final = 60
# Percentage of these in which the second page is the first that does not fit, and in which the third one is near the
# end of the slot.
_NEXT: Final = 20
_ENDING: Final = 20
# Number of pages that one reset handles at once, and the minimum distance of the second page from the first.
_AT_ONCE: Final = 64
_FAR: Final = 32


def with_ring_visits(program: Program, source: random.Random) -> Program:
    """Return the program, sometimes with such writes at its end, if it has dirty rings.

    :param program: a valid program, like the result
    :param source: the source of choices; nothing is drawn where there are no rings
    """
    if not program.vm.ring or source.randrange(100) >= _VISITS:
        return program
    fit = [slot for slot in program.slots if may_visit(program, slot)]
    return visited(program, source.choice(fit), source) if fit else program


def may_visit(program: Program, slot: Slot) -> bool:
    """Return whether a slot may have a log, and has enough pages."""
    granule = program.vm.granule
    return not slot.ro and slot.size >= 2 * _AT_ONCE * granule and slot.backing in wanted_backings(GetLog, granule)


def visited(program: Program, slot: Slot, source: random.Random) -> Program:
    """Return the program with writes to a few pages, of which one reset can take two at most, and to one of them again.

    :param slot: one of its slots, as `may_visit` requires
    """
    builder = ProgramBuilder(source, 0, program)
    page = builder.page
    ahead = source.randrange(_FAR, _AT_ONCE)
    back = source.randrange(_AT_ONCE - ahead, _AT_ONCE)
    first = source.randrange(back, slot.size // page - ahead)
    pages, again = [first, first + ahead, first - back], first + ahead
    # Drawn separately, so that other programs do not change.
    apart = random.Random(f"{first} {ahead} {back}")
    drawn = apart.randrange(100)
    if drawn < _NEXT:
        again = max(first, _AT_ONCE)
        pages = [again - _AT_ONCE, again]
        if apart.randrange(2):
            pages.reverse()
    elif drawn < _NEXT + _ENDING:
        again = slot.size // page - 1 - apart.randrange(_FAR)
        first = min(first, again - _AT_ONCE)
        pages = [first, first + ahead, again]
    write_between_collections(builder, slot, pages)
    builder.add(GuestAccess(builder.cpu_of(slot), "write", slot.name, again * page))
    builder.add(GetLog(slot.name))
    return builder.program()


def write_between_collections(builder: ProgramBuilder, slot: Slot, pages: Sequence[int]) -> None:
    """Let one vCPU write pages of a slot, given by number, between two collections of its log."""
    cpu = builder.cpu_of(slot)
    if not builder.is_logged(slot):
        builder.add(SetLog(slot.name, True))
    builder.add(GetLog(slot.name))
    builder.add(*(GuestAccess(cpu, "write", slot.name, each * builder.page) for each in pages))
    builder.add(GetLog(slot.name))
