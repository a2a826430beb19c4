# SPDX-License-Identifier: GPL-2.0-only
"""A unit of work, done in this process."""

from collections.abc import Callable

from .registry import engine_of
from .session import Session
from .unit import Message, Unit


def run_here(unit: Unit, tell: Callable[[Message], None]) -> None:
    """Do a unit in this process, unsupervised; others should call `fuzz.engines.supervisor.run_unit`.

    The atheris engine ends the process.

    :raises candidate.UnknownCandidate: no version of one of the unit's names
    """
    session = Session(unit, tell)
    session.begin()
    engine_of(unit.engine).drive()(session)
    session.finish()
