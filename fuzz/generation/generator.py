# SPDX-License-Identifier: GPL-2.0-only
"""Random programs that reach what matters.

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
        draft = ProgramBuilder(random.Random(self.seed << 32 | self.number), self.granule)
        self.number += 1
        compose(draft)
        return draft.program()


def compose(draft: ProgramBuilder) -> None:
    """A few motifs, and noise around them."""
    for _ in range(draft.random.choice((1, 1, 2, 2, 3))):
        noise(draft, draft.random.randrange(4))
        draft.random.choice(MOTIFS)(draft, draft.pick_slot())
    noise(draft, draft.random.randrange(1, 8))


def noise(draft: ProgramBuilder, count: int) -> None:
    """Random operations, accesses most of all."""
    for _ in range(count):
        slot, offset = draft.place()
        if draft.chance(55):
            draft.access(slot, offset)
        else:
            draft.random.choice(DISTURBANCES)(draft, slot, offset)
