# SPDX-License-Identifier: GPL-2.0-only
"""The generator's choices, made by Hypothesis, which can then repeat, vary and shrink them."""

import random
from collections.abc import Iterable, MutableSequence, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

from hypothesis import strategies as st

from ..generation.builder import ProgramBuilder
from ..language.inside import of_block
from ..language.operations import Operation, Par, plain
from ..language.program import Program

T = TypeVar("T")

# Offset of the numbers that Hypothesis draws. In this range it draws evenly, and finds none of the
# constants that it collects from loaded modules.
_BASE: Final = 0x5EED_0BAD_CAFE_0001
# One in this many operations is left out, also within a par block, so that the shrinker learns to leave them out.
_KEPT: Final = 64

# The source of `Choices`. It is used directly, because a strategy for each number takes four times as long.
SOURCES: Final = st.randoms(use_true_random=False, note_method_calls=False)


class Choices(random.Random):
    """Evenly distributed choices that shrink to the first one.

    :param source: an example of `SOURCES`
    """

    def __init__(self, source: random.Random) -> None:
        super().__init__(0)
        self.source = source

    def randrange(self, start: int, stop: int | None = None, step: int = 1) -> int:
        numbers = range(start) if stop is None else range(start, stop, step)
        return numbers[self.source.randrange(_BASE, _BASE + len(numbers)) - _BASE]

    def random(self) -> float:
        return self.randrange(1 << 53) / (1 << 53)

    def choice(self, seq: Sequence[T]) -> T:  # type: ignore[override]
        return seq[self.randrange(len(seq))]

    def shuffle(self, x: MutableSequence[Any]) -> None:
        x[:] = self.sample(x, len(x))

    def sample(self, population: Sequence[T], k: int, *, counts: Iterable[int] | None = None) -> list[T]:
        left = list(population)
        return [left.pop(self.randrange(len(left))) for _ in range(k)]


class ChosenBuilder(ProgramBuilder):
    """A builder that shrinks well: towards nothing unusual and fewer operations.

    :param source: an example of `SOURCES`
    :param granule: page size in bytes; 0: any
    :param begun: a valid program to be continued
    """

    def __init__(self, source: random.Random, granule: int = 0, begun: Program | None = None) -> None:
        super().__init__(Choices(source), granule, begun)

    def continue_from(self, begun: Program) -> None:
        for slot in begun.slots:
            self.state.declare(slot)
            self.slots.append(slot)
        self.add(*begun.operations)

    def chance(self, percent: int) -> bool:
        return self.random.randrange(100) >= 100 - percent

    def add(self, *operations: Operation) -> None:
        for operation in operations:
            if self.random.randrange(_KEPT):
                super().add(*(self.thinned(operation) if isinstance(operation, Par) else (operation,)))

    def thinned(self, block: Par) -> Iterable[Operation]:
        """Return a block without some of its operations and switches, or its operations if only one actor is left."""
        switches = [each for each in block.switches if self.random.randrange(_KEPT)]
        operations = [each for each in block.operations if self.random.randrange(_KEPT)]
        thinner = of_block(replace(block, switches=tuple(switches)), operations)
        return (thinner,) if len(thinner.actors) > 1 else map(plain, operations)
