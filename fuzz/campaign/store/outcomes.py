# SPDX-License-Identifier: GPL-2.0-only
"""Progress and outcome of a unit of work, as its worker tells them."""

from dataclasses import dataclass

from ...engines.unit import FoundRecord, Fresh, State
from .code import Code


@dataclass(frozen=True, slots=True)
class Notice:
    """How far a worker is with a unit.

    :param kib: resident memory of the engine's process, in KiB, at most so far
    """

    worker: str
    number: int
    programs: int
    operations: int
    seconds: float
    kib: int


@dataclass(frozen=True, slots=True)
class UnitOutcome:
    """What came of a unit.

    :param number: of the unit
    :param code: what it ran on; None: that changed meanwhile, and the outcome means nothing
    :param seconds: from its start to its end, that of its process included
    :param child_kib: resident memory of the engine's process, in KiB, at most; 0: not seen
    :param worker_kib: of the process that supervised it, now
    :param accidents: as in `fuzz.engines.unit.Result`
    """

    number: int
    worker: str
    code: Code | None
    state: State
    found: list[FoundRecord]
    fresh: list[Fresh]
    seconds: float
    child_kib: int
    worker_kib: int
    interrupted: bool
    accidents: list[str]
