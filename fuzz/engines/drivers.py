# SPDX-License-Identifier: GPL-2.0-only
"""Run a unit of work in this process."""

from collections.abc import Callable

from .registry import engine_of
from .session import Session
from .unit import Message, Unit


def run_here(unit: Unit, tell: Callable[[Message], None]) -> None:
    """Do a unit in this process, unsupervised; most callers should use `fuzz.engines.supervisor.run_unit`.

    The atheris engine ends the process.

    :raises candidate.UnknownCandidateError: one of the unit's names is no version
    """
    session = Session(unit, tell)
    session.begin()
    engine_of(unit.engine).drive()(session)
    session.finish()
