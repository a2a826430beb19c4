# SPDX-License-Identifier: GPL-2.0-only
"""The programs that mutants are tried on, in one order for all: those of the corpus, then random ones."""

from typing import NamedTuple

from candidate import Candidate

from ..distribution import corpus_folder
from ..engines.session import offers_of
from ..generation.generator import Generator
from ..language.program import Program
from ..language.text import parse
from .streams import Point, record


class Tried(NamedTuple):
    """A program, and what the base makes of it.

    :param name: of its file, or its number
    """

    name: str
    program: Program
    points: tuple[Point, ...]


class MutantPrograms:
    """The programs; each is made and run on the base when it is asked for first.

    *corpus*: the number of those at the front that are the corpus's

    :param base: what mutants are made of
    :param seed: of the random ones
    """

    def __init__(self, base: Candidate, seed: int) -> None:
        self.base = base
        self.made: list[Tried] = []
        self.generator = Generator(seed, offers=offers_of(base))
        for folder in ("regressions", "seeds"):
            for path in sorted((corpus_folder() / folder).glob("*.s2")):
                self.add(path.stem, parse(path.read_text()))
        self.corpus = len(self.made)

    def at(self, number: int) -> Tried:
        """Return a program by its number, from 0."""
        while number >= len(self.made):
            self.add(f"random {len(self.made) - self.corpus + 1}", self.generator.next())
        return self.made[number]

    def add(self, name: str, program: Program) -> None:
        """Run a program on the base, and keep it."""
        self.made.append(Tried(name, program, record(self.base, program)))
