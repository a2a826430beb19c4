# SPDX-License-Identifier: GPL-2.0-only
"""The random engine: one program of the generator after the other. The others are measured by it."""

from ..generation.generator import Generator
from .session import Session


def drive(session: Session) -> None:
    """Judge programs of the unit's seed until its budget is spent."""
    unit = session.unit
    generator = Generator(unit.seed, offers=session.offers)
    for _ in range(1, unit.first):
        generator.next()
    while not session.over():
        try:
            program = generator.next()
        except Exception as error:
            session.lost(error)
            continue
        session.judge(program)
