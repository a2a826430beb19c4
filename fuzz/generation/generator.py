# SPDX-License-Identifier: GPL-2.0-only
"""Random programs that reach the states that matter.

A program consists of a few motifs (`fuzz.generation.motifs`) among random operations on the same few pages.
"""

import random
from dataclasses import replace
from typing import Final

from ..language.program import Program
from .builder import ProgramBuilder
from .capabilities import Offers, equipped, with_lpa
from .capping import capped
from .contests import with_contest
from .disturbances import DISTURBANCES
from .ending import ending
from .full_rings import with_full_ring
from .large_slots import with_large_slot
from .long_holds import with_long_holds
from .motifs import MOTIFS
from .overtaken import with_overtaken_walk
from .poisoned import with_poison
from .prefaulted import with_prefaults
from .punched import with_punch
from .racing import racing
from .ring_visits import with_ring_visits
from .shortages import with_failed_creation, with_shortage
from .tag_races import with_tag_race
from .vmids import with_rollover

# Percentage of programs in which another task repeatedly waits for the mmu lock; percentage where it waits once.
_RESCHEDULED: Final = 6
_CONTENDED: Final = 3
NOTHING_OFFERED: Final = Offers()


class Generator:
    """Generates programs one after the other from a seed.

    :param seed: any integer; the same seed generates the same programs
    :param granule: page size of all programs in bytes; 0: all sizes, 4K most often
    :param offers: capabilities that programs may request; other programs do not depend on it
    :param whole: leave ranges as long as they were drawn (see `fuzz.generation.capping`)
    """

    def __init__(self, seed: int, granule: int = 0, offers: Offers = NOTHING_OFFERED, whole: bool = False) -> None:
        self.seed = seed
        self.whole = whole
        self.offers = offers
        self.granule = granule
        # Number of the next program, from 0. Each program depends only on seed and number.
        self.number = 0

    def next(self) -> Program:
        """Return the next program of this seed."""
        number = self.seed << 32 | self.number
        builder = ProgramBuilder(random.Random(number), self.granule)
        self.number += 1
        compose(builder)
        # All of these are drawn separately: each leaves the rest of a seed's programs unchanged.
        program = with_rollover(builder.program(), random.Random(f"vmids {number}"))
        program = program if self.whole else capped(program, number)
        program = with_large_slot(program, random.Random(f"large {number}"))
        program = with_long_holds(program, random.Random(f"holds {number}"))
        program = contended(program, random.Random(f"resched {number}"))
        program = equipped(program, self.offers, random.Random(f"capabilities {self.seed} {self.number}"))
        program = with_poison(program, random.Random(f"poison {number}"))
        program = with_ring_visits(program, random.Random(f"ring {number}"))
        program = with_full_ring(program, random.Random(f"full ring {number}"))
        program = with_lpa(program, self.offers.narrow, random.Random(f"lpa {number}"))
        program = ending(program, random.Random(f"end {number}"))
        program = with_shortage(program, random.Random(f"short {number}"))
        program = with_failed_creation(program, random.Random(f"create {number}"))
        program = with_prefaults(program, self.offers.prefault, random.Random(f"prefault {number}"))
        if not self.offers.par:
            return program
        program = racing(program, random.Random(f"par {number}"))
        program = with_tag_race(program, random.Random(f"tags {number}"))
        program = with_contest(program, random.Random(f"contest {number}"))
        program = with_punch(program, random.Random(f"punch {number}"))
        return with_overtaken_walk(program, self.offers.overtaken, random.Random(f"overtaken {number}"))


def contended(program: Program, source: random.Random) -> Program:
    """Let another task wait for the mmu lock in a few programs. Drawn separately, so the rest stays the same."""
    drawn = source.randrange(100)
    vm = program.vm
    if drawn < _RESCHEDULED:
        vm = replace(vm, resched=source.choice((1, 1, 2, 3)))
    elif drawn < _RESCHEDULED + _CONTENDED:
        vm = replace(vm, contended=source.randrange(1, 9))
    return program if vm is program.vm else replace(program, vm=vm)


def compose(builder: ProgramBuilder) -> None:
    """Add a few motifs, and noise around them."""
    for _ in range(builder.random.choice((1, 1, 2, 2, 3))):
        noise(builder, builder.random.randrange(4))
        builder.random.choice(MOTIFS)(builder, builder.pick_slot())
    noise(builder, builder.random.randrange(1, 8))


def noise(builder: ProgramBuilder, count: int, accesses: int = 55) -> None:
    """Add random operations. *accesses* is the percentage of accesses among them."""
    for _ in range(count):
        slot, offset = builder.place()
        if builder.chance(accesses):
            builder.access(slot, offset)
        else:
            builder.random.choice(DISTURBANCES)(builder, slot, offset)
