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
        points = [run.create()]
        if not run.executor.refused:
            for at in range(len(program.operations)):
                points.append(run.step(at))
                if run.executor.dead:
                    return tuple(points)
            points.append(run.destroy())
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
        for number, point in enumerate(points):
            # No more events than the base, since the mutant could run forever.
            run.stream.most = point.events
            at = number - 1
            here = run.create() if at < 0 else run.step(at) if at < len(program.operations) else run.destroy()
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

    def create(self) -> Point:
        self.executor.create()
        return self.point(OK)

    def step(self, at: int) -> Point:
        outcome, _ = self.executor.step(at)
        return self.point(outcome)

    def destroy(self) -> Point:
        self.executor.destroy()
        return self.point(OK)

    def point(self, outcome: Outcome) -> Point:
        return Point(self.stream.count, self.stream.digest, outcome)
