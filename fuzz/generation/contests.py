# SPDX-License-Identifier: GPL-2.0-only
"""Par blocks in which two vCPUs fault on one page at once, and one of them loses the compare-exchange.

Where faults hold the mmu lock for reading, the loser's walk ends with -EAGAIN. `fuzz.generation.racing` rarely gets
there: its vCPUs often use other pages or rights, and stop elsewhere.
"""

import random
from typing import Final, NamedTuple

from ..language.operations import AccessKind, GuestAccess, Moment, Par, Point, Switch
from ..language.program import Program, Slot, has_blocks
from .builder import ProgramBuilder
from .racing import RaceSetup, add_block, coalesce, collected, execute, first_maps, may_race, relax, split

# Percentage of programs without another block, if the CPU takes level hints, and if it does not: after -EAGAIN, code
# must not give a hint.
_HINTED: Final = 12
_UNHINTED: Final = 2
# Percentage of blocks in which an access is of a random kind.
_ANY_KIND: Final = 15
# Percentage of blocks in which the winner lets the loser run again in the middle of a change.
_HALFWAY: Final = 40


class _Contest(NamedTuple):
    """A way to prepare a page.

    :param setup: prepares it
    :param kind: accesses that then fault
    :param most: greatest number of entries that a fault exchanges
    """

    setup: RaceSetup
    kind: AccessKind
    most: int


# Faults that relax or replace a leaf, more often than faults that map.
_CONTESTS: Final = (
    *(_Contest(relax, "write", 1), _Contest(collected, "write", 1), _Contest(execute, "fetch", 1)) * 2,
    *(_Contest(split, "write", 2), _Contest(coalesce, "read", 1), _Contest(first_maps, "read", 3)),
)
# Places at which the winner lets the loser run again, from its first change of an entry on.
_HALF: Final[tuple[tuple[Moment, Point], ...]] = (
    ("after", "cmpxchg"),
    ("after", "cmpxchg"),
    ("after", "flush"),
    ("before", "store"),
    ("before", "unlock"),
)


def with_contest(program: Program, source: random.Random) -> Program:
    """Return the program, sometimes with such a block at its end, if it has no other block.

    :param program: a valid program, like the result
    :param source: the source of choices
    """
    often = _HINTED if program.vm.ttl else _UNHINTED
    if source.randrange(100) >= often or has_blocks(program) or not may_race(program.vm, program.slots):
        return program
    builder = ProgramBuilder(source, 0, program)
    return builder.program() if contest(builder, builder.pick_slot()) else program


def contest(builder: ProgramBuilder, slot: Slot) -> bool:
    """Add a block in which two vCPUs fault on the same page. Return false if none is legal here."""
    page = builder.page_in(slot, builder.block_of(slot))
    chosen = builder.random.choice(_CONTESTS)
    kinds = chosen.setup(builder, slot, (page,))
    loser, winner = builder.cpus_of(slot, 2)
    accesses = [
        GuestAccess(cpu, builder.random.choice(kinds) if builder.chance(_ANY_KIND) else chosen.kind, slot.name, page)
        for cpu in (loser, winner)
    ]
    # The loser has loaded an entry, and exchanges it when the winner has been there.
    switches = [Switch(loser, winner, "before", "cmpxchg", builder.random.randint(1, chosen.most))]
    if builder.chance(_HALFWAY):
        switches.append(Switch(winner, loser, *builder.random.choice(_HALF), 1))
    return add_block(builder, Par(tuple(accesses), tuple(switches)), slot, page, chosen.kind)
