# SPDX-License-Identifier: GPL-2.0-only
"""Progress and outcome of a unit of work, as its worker sends them."""

from dataclasses import dataclass, field

from candidate.tree.lines.counts import CodeCounts

from ...engines.unit import Fresh, UnitState
from ...findings.record import FindingRecord
from .code import Code


@dataclass(frozen=True, slots=True)
class Notice:
    """The progress of a worker with a unit.

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
    """The outcome of a unit.

    :param number: of the unit
    :param code: that it ran on; None: that changed meanwhile, and the outcome means nothing
    :param seconds: from its start to its end, that of its process included
    :param child_kib: resident memory of the engine's process, in KiB, at most; 0: not seen
    :param worker_kib: of the process that supervised it, now
    :param accidents: as in `fuzz.engines.unit.Result`
    :param counts: how often the code of kernel trees ran
    """

    number: int
    worker: str
    code: Code | None
    state: UnitState
    found: list[FindingRecord]
    fresh: list[Fresh]
    seconds: float
    child_kib: int
    worker_kib: int
    interrupted: bool
    accidents: list[str]
    counts: CodeCounts = field(default_factory=CodeCounts)
