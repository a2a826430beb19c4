# SPDX-License-Identifier: GPL-2.0-only
"""The best program so far, and attempts at a better one."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from candidate import Candidate

from ..execution.mistakes import CandidateMistakeError
from ..findings.found import crash_finding
from ..judging.differential import Differential
from ..judging.finding import Finding, Key
from ..language.operations import Operation
from ..language.program import Program
from ..language.text import print_program
from .legal import legal
from .measure import measure

Judge: TypeAlias = Callable[[Program], list[Finding]]


class BudgetSpentError(Exception):
    """The time or the number of runs is spent."""


@dataclass(frozen=True, slots=True)
class MinimizingProgress:
    """The progress of a minimization.

    :param seconds: time since the start
    :param runs: number of programs judged
    :param doing: the current pass
    :param program: the best program so far
    """

    seconds: float
    runs: int
    doing: str
    program: Program


def judge_here(reference: Candidate, candidate: Candidate) -> Judge:
    """Return a judge for this process, for which an exception in our own code is a finding, too.

    It raises a mistake in a candidate's Python.
    """
    differential = Differential(reference, candidate)

    def judge(program: Program) -> list[Finding]:
        try:
            verdict = differential.run(program)
        except CandidateMistakeError:
            raise
        except Exception as error:
            return [crash_finding(error)]
        return verdict.findings

    return judge


class Minimizer:
    """A search for ever simpler programs that show one finding.

    :param program: a program that shows it
    :param key: its class and signature
    :param judge: returns the findings of a program
    :param seconds: raise `BudgetSpentError` after this many seconds; None: no limit
    :param runs: raise `BudgetSpentError` after this many runs; None: no limit
    :param progress: called before each run
    """

    def __init__(
        self,
        program: Program,
        key: Key,
        judge: Judge,
        seconds: float | None = None,
        runs: int | None = None,
        progress: Callable[[MinimizingProgress], None] | None = None,
    ) -> None:
        self.best = program
        self.key = key
        self.judge = judge
        self.seconds, self.most, self.progress = seconds, runs, progress
        self.start = time.monotonic()
        self.runs = 0
        self.doing = ""
        self.size = measure(program)
        self.tried: set[str] = set()
        # The known bug that explains the finding of the first program, "" if none does. A program whose finding has
        # another explanation shows something else.
        self.known: str | None = None

    def attempt(self, program: Program | None) -> bool:
        """Record a program, or its legal rest, as the best if it is simpler and shows the finding. Return true if so.

        :raises BudgetSpentError: it was not judged
        """
        program = None if program is None else legal(program)
        if program is None or measure(program) >= self.size:
            return False
        text = print_program(program)
        if text in self.tried:
            return False
        self.tried.add(text)
        shown = self.run(program)
        if shown is None:
            return False
        self.best, self.size = program, measure(program)
        self.drop_rest(shown)
        return True

    def operations(self, operations: Sequence[Operation]) -> Sequence[Operation] | None:
        """Return, for `ddmin`, the rest of these operations if they show the finding, else None."""
        if self.attempt(replace(self.best, operations=tuple(operations))):
            return self.best.operations
        return None

    def run(self, program: Program) -> Finding | None:
        """Return the finding as the program shows it, or None."""
        if self.seconds is not None and self.elapsed() >= self.seconds:
            raise BudgetSpentError
        if self.most is not None and self.runs >= self.most:
            raise BudgetSpentError
        if self.progress is not None:
            self.progress(MinimizingProgress(self.elapsed(), self.runs, self.doing, self.best))
        self.runs += 1
        shown = [each for each in self.judge(program) if each.key == self.key]
        if self.known is None and shown:
            # Prefer a finding that no known bug explains.
            self.known = min(each.known for each in shown)
        return next((each for each in shown if each.known == self.known), None)

    def elapsed(self) -> float:
        """Return the seconds since the start."""
        return time.monotonic() - self.start

    def drop_rest(self, shown: Finding) -> None:
        """Try the program without the operations after the finding."""
        if 0 <= shown.at < len(self.best.operations) - 1:
            self.attempt(replace(self.best, operations=self.best.operations[: shown.at + 1]))
