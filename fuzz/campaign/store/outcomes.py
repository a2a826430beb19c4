# SPDX-License-Identifier: GPL-2.0-only
"""Progress and outcome of a unit of work, as sent by its worker."""

from dataclasses import dataclass, field

from candidate.tree.lines.counts import CodeCounts

from ...engines.unit import Fresh, UnitState
from ...findings.record import FindingRecord
from .code import Code


@dataclass(frozen=True, slots=True)
class Notice:
    """The progress of a worker on a unit.

    :param kib: peak resident memory of the engine's process so far, in KiB
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
    :param code: that it ran on; None: the code changed meanwhile, and the outcome is meaningless
    :param seconds: from start to end of the unit, including its process
    :param child_kib: peak resident memory of the engine's process, in KiB; 0: not measured
    :param worker_kib: current resident memory of the supervising process, in KiB
    :param accidents: as in `fuzz.engines.unit.Result`
    :param counts: how often judged programs ran the code of kernel trees
    :param unjudged: how often programs without a verdict ran it
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
    unjudged: CodeCounts = field(default_factory=CodeCounts)
