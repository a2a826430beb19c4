# SPDX-License-Identifier: GPL-2.0-only
"""Which module drives an engine."""

from collections.abc import Callable

from . import peers, random_programs
from .session import Session
from .unit import Message, Unit


def driver(engine: str) -> Callable[[Session], None]:
    """What drives a session of this engine.

    :raises ValueError: no such engine
    """
    if engine == "random":
        return random_programs.drive
    if engine in peers.PEERS:
        return peers.driver(engine)
    raise ValueError(f"no engine {engine!r}")


def run_here(unit: Unit, tell: Callable[[Message], None]) -> None:
    """Do a unit in this process, unsupervised: `fuzz.engines.supervisor.run_unit` is what others should call.

    :raises candidate.UnknownCandidate: no version of one of the unit's names
    """
    session = Session(unit, tell)
    session.begin()
    driver(unit.engine)(session)
    session.finish()
