# SPDX-License-Identifier: GPL-2.0-only
"""A unit of work in this process, as the child of an engine does it."""

from collections.abc import Callable

from fuzz.engines.registry import engine_of
from fuzz.engines.unit import Message, Unit
from fuzz.engines.unit_run import UnitRun


def run_here(unit: Unit, tell: Callable[[Message], None]) -> None:
    """Do a unit in this process, unsupervised; most tests should use `fuzz.engines.supervisor.run_unit`.

    The atheris engine ends the process.

    :raises candidate.UnknownCandidateError: one of the unit's names is no version
    """
    unit_run = UnitRun(unit, tell)
    unit_run.begin()
    engine_of(unit.engine).drive()(unit_run)
    unit_run.finish()
