# SPDX-License-Identifier: GPL-2.0-only
"""The random engine: judges the generator's programs in order. It is the yardstick for the other engines."""

from ..generation.generator import Generator
from ..language.program import Program
from .unit_run import UnitRun


def drive(unit_run: UnitRun) -> None:
    """Judge programs of the unit's seed until its budget is spent."""
    generator = Generator(unit_run.unit.seed, offers=unit_run.offers)

    def make(number: int) -> Program:
        generator.number = number - 1
        return generator.next()

    unit_run.judge_all(make)
