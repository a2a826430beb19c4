# SPDX-License-Identifier: GPL-2.0-only
"""Random programs that reach the states that matter.

A program is a few motifs (`fuzz.generation.motifs`) among random operations on the same few pages.
"""

import random

from ..language.program import Program
from .builder import ProgramBuilder
from .disturbances import DISTURBANCES
from .motifs import MOTIFS


class Generator:
    """Makes one program after the other from a seed.

    :param seed: any integer; the same seed makes the same programs
    :param granule: page size of all programs in bytes; 0: all sizes, 4K most often
    """

    def __init__(self, seed: int, granule: int = 0) -> None:
        self.seed = seed
        self.granule = granule
        self.number = 0

    def next(self) -> Program:
        """The next program of this seed."""
        builder = ProgramBuilder(random.Random(self.seed << 32 | self.number), self.granule)
        self.number += 1
        compose(builder)
        return builder.program()


def compose(builder: ProgramBuilder) -> None:
    """A few motifs, and noise around them."""
    for _ in range(builder.random.choice((1, 1, 2, 2, 3))):
        noise(builder, builder.random.randrange(4))
        builder.random.choice(MOTIFS)(builder, builder.pick_slot())
    noise(builder, builder.random.randrange(1, 8))


def noise(builder: ProgramBuilder, count: int, accesses: int = 55) -> None:
    """Random operations, so many percent of them accesses."""
    for _ in range(count):
        slot, offset = builder.place()
        if builder.chance(accesses):
            builder.access(slot, offset)
        else:
            builder.random.choice(DISTURBANCES)(builder, slot, offset)
