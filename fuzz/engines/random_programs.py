# SPDX-License-Identifier: GPL-2.0-only
"""The random engine: one program of the generator after the other. The others are measured by it."""

from ..generation.generator import Generator
from .session import Session


def drive(session: Session) -> None:
    """Judge programs of the unit's seed until its budget is spent."""
    unit = session.unit
    generator = Generator(unit.seed, offers=session.offers)
    generator.skip(unit.first - unit.every)
    while not session.over():
        generator.skip(unit.every - 1)
        try:
            program = generator.next()
        except Exception as error:
            session.lost(error)
            continue
        session.judge(program)
