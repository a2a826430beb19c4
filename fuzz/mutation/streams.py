# SPDX-License-Identifier: GPL-2.0-only
"""Streams of events of a version without checkers: a mutant with the same stream as its base needs no judge."""

from typing import Final, NamedTuple

from candidate import Candidate
from candidate.tree.runtime.errors import TwinDiffersError

from ..execution.executor import Executor
from ..execution.mistakes import CandidateMistakeError
from ..judging.port_once import equal
from ..judging.stream import Stream
from ..language.operations import TableRelax
from ..language.program import Program
from ..sides.outcome import Outcome
from ..sides.pulse import CANDIDATE, REFERENCE

OK: Final = Outcome("ok", 0)


class Point(NamedTuple):
    """A quiet point of a run.

    :param events: number of events so far
    :param digest: digest of these events; comparable within one process and its forks
    """

    events: int
    digest: int
    outcome: Outcome


def record(version: Candidate, program: Program) -> tuple[Point, ...]:
    """Run a program; return its quiet points as far as it gets. Empty if it needs an unmodelled feature."""
    run = _Run(version, program, REFERENCE)
    try:
        points = [run.perform(-1)]
        if not run.executor.refused:
            for at in range(len(program.operations)):
                points.append(run.perform(at))
                if run.executor.dead:
                    break
            else:
                points.append(run.perform(len(program.operations)))
        return () if run.executor.refused else tuple(points)
    finally:
        run.executor.dismantle()


def same_events(base: Candidate, mutant: Candidate, program: Program, points: tuple[Point, ...]) -> bool:
    """Return whether a mutant has the same events and outcomes as its base.

    :param points: quiet points of the base, at least one
    """
    try:
        run = _Run(mutant, program, CANDIDATE)
    except CandidateMistakeError:
        return False
    executor = run.executor
    executor.side.hold_to(base)
    try:
        for at, point in enumerate(points, -1):
            # No more events than the base, since the mutant could run forever.
            run.stream.most = point.events
            here = run.perform(at)
            if here.events != point.events or here.digest != point.digest or not equal(here.outcome, point.outcome):
                return False
        return not executor.refused
    except (TwinDiffersError, CandidateMistakeError):
        return False
    finally:
        executor.dismantle()


class _Run:
    """A version that runs a program, with the digest of its events."""

    def __init__(self, version: Candidate, program: Program, number: int) -> None:
        # This operation depends on checkers.
        judged = any(isinstance(operation, TableRelax) for operation in program.operations)
        self.executor = Executor(version, program, number, judged=judged)
        self.stream = Stream(self.executor.side.kernel)

    def perform(self, at: int) -> Point:
        """Perform as `Executor.perform` does; return the quiet point that follows."""
        outcome, _ = self.executor.perform(at)
        return Point(self.stream.count, self.stream.digest, OK if outcome is None else outcome)
