# SPDX-License-Identifier: GPL-2.0-only
"""Strategies for whole programs."""

import random
from collections.abc import Sequence
from typing import Final

from hypothesis import strategies as st

from ..generation.ending import ENDS, ended
from ..generation.generator import compose
from ..generation.mutations import crossover, mutate
from ..generation.racing import may_race, race
from ..generation.vmids import how_often, rolled_over
from ..language.program import Program
from .choices import SOURCES, Choices, ChosenBuilder

# Percentage of new programs whose VMs have two vCPUs or more that end in a par block.
_RACING: Final = 30


def programs(granule: int = 0, corpus: Sequence[Program] = ()) -> st.SearchStrategy[Program]:
    """Return a strategy for valid programs that reach the states that matter, made like those of the generator.

    Some have a par block, in which several actors run at once. They shrink to few operations, no block, the
    first pages, and small settings.

    :param granule: page size of new programs in bytes; 0: all sizes, 4K most often
    :param corpus: valid programs; half of the programs are then changed ones of these
    """

    def make(source: random.Random) -> Program:
        choices = Choices(source)
        if corpus and choices.randrange(2):
            # Prefer later programs: their new features are rarer.
            late = max(choices.randrange(len(corpus)), choices.randrange(len(corpus)))
            return changed(source, corpus[late], choices.choice(corpus))
        builder = ChosenBuilder(source, granule)
        compose(builder)
        if builder.chance(_RACING) and may_race(builder.vm, builder.slots):
            race(builder, builder.pick_slot())
            return builder.program()
        program = builder.program()
        if builder.chance(how_often(program.vm)):
            program = rolled_over(program, choices)
        return ended(program, choices) if program.vm.vms > 1 and builder.chance(ENDS) else program

    return SOURCES.map(make)


def changed(source: random.Random, program: Program, other: Program) -> Program:
    """Return a program of a corpus with some changes, at times with fewer of its operations."""
    choices = Choices(source)
    result = ChosenBuilder(source, begun=program).program()
    # No change, for the shrinker; otherwise one or a few.
    style = choices.randrange(32)
    if style >= 28:
        result = crossover(result, other, choices)
    elif style:
        for _ in range(1 + style % 3):
            result = mutate(result, choices)
    return result
