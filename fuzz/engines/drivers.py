# SPDX-License-Identifier: GPL-2.0-only
"""The modules that drive the engines."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Final

from . import guidance, peers, random_programs
from .session import Session
from .unit import Message, Unit

HYPOTHESIS: Final = "hypothesis"


def missing(engine: str) -> str:
    """Say why an engine cannot run here: one line that says what to install; "" if it can."""
    if engine in (HYPOTHESIS, peers.BARE_HYPOTHESIS) and find_spec("hypothesis") is None:
        install = "`pip install -e '.[hypothesis]'` in the checkout"
        return f"hypothesis: no such package; run {install}, or choose another engine"
    return guidance.missing() if engine in (guidance.ENGINE, peers.BARE_ATHERIS) else ""


def driver(engine: str) -> Callable[[Session], None]:
    """Return the function that drives a session of this engine.

    :raises ValueError: no such engine
    """
    if engine == "random":
        return random_programs.drive
    if engine in peers.PEERS:
        return peers.driver(engine)
    if engine == guidance.ENGINE:
        # The packages of one engine are not needed for others.
        from . import atheris_records

        return atheris_records.drive
    if engine == HYPOTHESIS:
        from . import hypothesis_programs

        return hypothesis_programs.drive
    raise ValueError(f"no engine {engine!r}")


def run_here(unit: Unit, tell: Callable[[Message], None]) -> None:
    """Do a unit in this process, unsupervised; others should call `fuzz.engines.supervisor.run_unit`.

    The atheris engine ends the process.

    :raises candidate.UnknownCandidate: no version of one of the unit's names
    """
    session = Session(unit, tell)
    session.begin()
    driver(unit.engine)(session)
    session.finish()
