# SPDX-License-Identifier: GPL-2.0-only
"""The programs that mutants are tried on, in the same order for all: programs of the corpus, then random ones.

Each runs on a machine: the corpus on each machine in turn, a random program on one. The capabilities of a machine
besides those that programs request decide which functions of tlb.c run, and how instruction caches are invalidated.
"""

from dataclasses import replace
from typing import Final, NamedTuple

from candidate import Candidate
from reference.capabilities import ARM64_WORKAROUND_SPECULATIVE_AT, ICACHE_ALIASING, ICACHE_VPIPT, NO_VHE

from ..distribution import corpus_folder
from ..engines.unit_run import offers_of
from ..generation.generator import Generator
from ..language.program import Program
from ..language.text import parse
from .streams import Point, record

# The capabilities of each machine, by name; the first is that of all other runs.
MACHINES: Final[dict[str, int]] = {
    "": 0,
    "EL1": NO_VHE,
    "speculative AT": ARM64_WORKAROUND_SPECULATIVE_AT,
    "EL1, speculative AT": NO_VHE | ARM64_WORKAROUND_SPECULATIVE_AT,
    "VPIPT": ICACHE_VPIPT,
    "EL1, VPIPT": NO_VHE | ICACHE_VPIPT,
    "VIPT": ICACHE_ALIASING,
}


class Tried(NamedTuple):
    """A program, and the results of the base.

    :param name: name of its file, or its number
    :param caps: capabilities of the machine
    """

    name: str
    program: Program
    caps: int
    points: tuple[Point, ...]


class MutantPrograms:
    """The programs; each is made and run on the base on first request.

    *corpus*: number of programs of the corpus, which come first

    :param base: the version that mutants are made of
    :param seed: seed of the random programs
    """

    def __init__(self, base: Candidate, seed: int) -> None:
        self.base = base
        self.made: list[Tried] = []
        self.generator = Generator(seed, offers=offers_of(base))
        programs = [
            (path.stem, parse(path.read_text()))
            for folder in ("regressions", "seeds")
            for path in sorted((corpus_folder() / folder).glob("*.s2"))
        ]
        # Programs of the corpus that have not run yet.
        self.waiting = [(name, program, machine) for machine in MACHINES for name, program in programs]
        self.corpus = len(self.waiting)

    def at(self, number: int) -> Tried:
        """Return a program by its number, from 0."""
        machines = [*MACHINES]
        while number >= len(self.made):
            count = len(self.made) - self.corpus
            if count < 0:
                self.add(*self.waiting[count])
            else:
                self.add(f"random {count + 1}", self.generator.next(), machines[count % len(machines)])
        return self.made[number]

    def add(self, name: str, program: Program, machine: str = "") -> None:
        """Run a program on the base, on a machine, and append the result."""
        caps = MACHINES[machine]
        shown = f"{name} ({machine})" if machine else name
        self.made.append(Tried(shown, program, caps, record(on_machine(self.base, caps), program)))


def on_machine(version: Candidate, caps: int) -> Candidate:
    """Return a version on the machine with these capabilities."""
    return replace(version, caps=caps) if caps else version
