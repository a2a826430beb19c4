# SPDX-License-Identifier: GPL-2.0-only
"""The random engine: judges the generator's programs in order. It is the yardstick for the other engines."""

from ..generation.generator import Generator
from ..language.program import Program
from .session import Session


def drive(session: Session) -> None:
    """Judge programs of the unit's seed until its budget is spent."""
    generator = Generator(session.unit.seed, offers=session.offers)

    def make(number: int) -> Program:
        generator.number = number - 1
        return generator.next()

    session.judge_all(make)
