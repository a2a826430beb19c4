# SPDX-License-Identifier: GPL-2.0-only
"""The smallest program that shows a finding."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from candidate import Candidate

from ..judging.finding import Key
from ..language.program import Program
from . import blocks, deletion, operands, settings
from .minimizer import BudgetSpentError, Judge, Minimizer, MinimizingProgress, judge_here

SECONDS: Final = 60.0
# The passes are repeated in this order until nothing changes any more.
_PASSES: Final[tuple[tuple[str, Callable[[Minimizer], None]], ...]] = (
    ("deleting operations", deletion.operations),
    ("deleting slots", deletion.slots),
    ("simplifying par blocks", blocks.blocks),
    ("simplifying the machine", settings.machine),
    ("simplifying slots", settings.memory),
    ("simplifying operands", operands.operands),
)


class NotShownError(ValueError):
    """The program does not show the finding that it should keep."""


@dataclass(frozen=True, slots=True)
class Minimized:
    """The result of a minimization.

    :param program: the best program found
    :param runs: number of programs judged
    :param seconds: time taken
    :param finished: nothing more can be done; otherwise time or runs were spent, or it was interrupted
    :param interrupted: by Ctrl-C
    """

    program: Program
    runs: int
    seconds: float
    finished: bool
    interrupted: bool


def minimized(
    program: Program,
    key: Key,
    judge: Judge,
    seconds: float | None = SECONDS,
    runs: int | None = None,
    progress: Callable[[MinimizingProgress], None] | None = None,
) -> Minimized:
    """Shrink a program. Ctrl-C ends it early with the best program so far.

    :param program: a valid program
    :param key: class and signature of the finding that it must keep, together with the known bug that explains it, if
        any
    :param judge: returns the findings of a program
    :param seconds: time limit, after which the current run still finishes; None: no limit
    :param runs: maximum number of programs that are judged; None: no limit
    :param progress: called before each run
    :raises NotShownError: the program does not show the finding
    """
    minimizer = Minimizer(program, key, judge, seconds, runs, progress)
    finished = interrupted = False
    try:
        minimizer.doing = "judging the program"
        shown = minimizer.run(program)
        if shown is None:
            raise NotShownError(f"the program does not show {key[0]} {key[1]}")
        minimizer.drop_rest(shown)
        before = None
        while before != minimizer.best:
            before = minimizer.best
            for minimizer.doing, simplify in _PASSES:
                simplify(minimizer)
        finished = True
    except BudgetSpentError:
        pass
    except KeyboardInterrupt:
        interrupted = True
    return Minimized(minimizer.best, minimizer.runs, minimizer.elapsed(), finished, interrupted)


def minimize(
    program: Program,
    reference: Candidate,
    candidate: Candidate,
    key: Key,
    seconds: float | None = SECONDS,
    progress: Callable[[MinimizingProgress], None] | None = None,
) -> Program:
    """Return the smallest program found in *seconds* that shows a finding, judged in this process.

    :raises NotShownError: the program does not show the finding
    """
    return minimized(program, key, judge_here(reference, candidate), seconds, None, progress).program
