# SPDX-License-Identifier: GPL-2.0-only
"""Searches for planted races, for tests: by generated programs alone, which are then minimised."""

from collections.abc import Sequence
from statistics import median
from typing import Final

import pytest

import candidate
from fuzz.engines.registry import engine_of
from fuzz.engines.supervisor import run_unit
from fuzz.engines.unit import Result, Unit
from fuzz.generation.capabilities import Offers
from fuzz.generation.generator import Generator
from fuzz.judging.differential import Differential
from fuzz.judging.finding import Finding
from fuzz.language.operations import Par
from fuzz.language.program import KIB, Program, each_of, has_blocks
from fuzz.language.text import parse
from fuzz.minimizing.minimize import minimize

from .planted_races import PlantedRace

SEED: Final = 1
# Upper bound on the programs with blocks that are judged until one shows the mistake.
PROGRAMS: Final = 500
# Seconds for minimising a program, and the operations and switches that it may have afterwards, in the median.
SHRINKING: Final = 60.0
SHRUNK: Final = 6, 2
# The guided engine begins with this program, which does nothing.
NOTHING: Final = "s2fuzz 1\nvm\nslot a size=4K backing=anon\n"


def size(program: Program) -> tuple[int, int]:
    """Return the number of operations, those of blocks one by one, and of switches."""
    switches = sum(len(each.switches) for each in program.operations if isinstance(each, Par))
    return sum(1 for _ in each_of(program.operations)), switches


def found_by_random(race: PlantedRace, reference: str, planted: str) -> tuple[Program, Finding]:
    """Return the first program of the seed with a block that shows the mistake; others are skipped to save time."""
    differential = Differential(candidate.get(reference), candidate.get(planted))
    generator = Generator(SEED, 4 * KIB, Offers(par=True))
    judged = 0
    while judged < PROGRAMS:
        program = generator.next()
        if not has_blocks(program):
            continue
        judged += 1
        for each in differential.run(program).findings:
            if race.shown_by(each):
                return program, each
    pytest.fail(f"not found by {PROGRAMS} programs")


def found_by_atheris(race: PlantedRace, reference: str, planted: str, programs: int) -> tuple[Program, Finding]:
    """Return the first of this many programs of the guided engine that shows the mistake; it begins with nothing."""
    missing = engine_of("atheris").missing()
    if missing:
        pytest.skip(missing)

    def shown(result: Result) -> None:
        if any(race.shown_by(each.finding) for each in result.messages):
            raise KeyboardInterrupt

    result = run_unit(Unit("atheris", reference, planted, SEED, programs=programs, corpus=(NOTHING,)), shown)
    for record in result.messages:
        if race.shown_by(record.finding):
            return parse(record.text), record.finding
    pytest.fail(f"not found by {programs} programs")


def shrinks(program: Program, found: Finding, reference: str, planted: str) -> tuple[int, int]:
    """Return operations and switches of the smallest program that shows a finding."""
    versions = candidate.get(reference), candidate.get(planted)
    small = minimize(program, *versions, found.key, SHRINKING)
    assert found.key in {each.key for each in Differential(*versions).run(small).findings}
    return size(small)


def are_small(sizes: Sequence[tuple[int, int]]) -> None:
    """Check that programs are small in the median, by operations and by switches."""
    assert median(operations for operations, _ in sizes) <= SHRUNK[0], sizes
    assert median(switches for _, switches in sizes) <= SHRUNK[1], sizes
