# SPDX-License-Identifier: GPL-2.0-only
"""The random engine: one program of the generator after the other. What others are measured by."""

from typing import Final

from ..generation.generator import Generator
from ..language.text import parse
from .session import Session

# What stands for a program where none could be made.
NOTHING: Final = parse("s2fuzz 1\nvm\nslot a size=64K backing=anon\n")


def drive(session: Session) -> None:
    """Judge programs of the unit's seed until its budget is spent."""
    unit = session.unit
    generator = Generator(unit.seed)
    for _ in range(1, unit.first):
        generator.next()
    while not session.over():
        try:
            program = generator.next()
        except Exception as error:
            session.number += 1
            session.state.programs += 1
            session.failed(error, NOTHING)
            session.progress()
            continue
        session.judge(program)
