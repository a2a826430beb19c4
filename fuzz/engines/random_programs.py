# SPDX-License-Identifier: GPL-2.0-only
"""The random engine: one program of the generator after the other. The others are measured by it."""

from collections.abc import Iterator

from ..generation.generator import Generator
from ..language.program import Program
from .session import Session


def drive(session: Session) -> None:
    """Judge programs of the unit's seed until its budget is spent."""
    session.judge_all(programs(session))


def programs(session: Session) -> Iterator[Program | Exception]:
    """All programs of the unit's seed, as far as they are its; an error in place of one that cannot be made."""
    unit = session.unit
    generator = Generator(unit.seed, offers=session.offers)
    generator.skip(unit.first - unit.every)
    while True:
        generator.skip(unit.every - 1)
        try:
            yield generator.next()
        except Exception as error:
            yield error
