# SPDX-License-Identifier: GPL-2.0-only
"""Filed programs made smaller, while whoever replays has nothing else to do."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ...findings.found import CRASH, comments_of, rank
from ...findings.record import FindingRecord
from ...findings.store import Store
from ...judging.finding import Finding
from ...judging.silence import is_silent
from ...language.program import Program, ProgramError
from ...language.text import parse, print_program
from ...minimizing.minimize import NotShownError, minimized
from ...minimizing.minimizer import BudgetSpent, Judge, MinimizingProgress
from ..store.code import Code

# Bounds of one finding: programs that are judged, and seconds.
RUNS: Final = 400
SECONDS: Final = 120.0
_SEED: Final = re.compile(r"([0-9]+), program ([0-9]+)")
# Of the comment on a program: what it was before, and the mark of one that may become smaller yet.
_BEFORE: Final = re.compile(r"([0-9]+) operations to ")
_SO_FAR: Final = ", so far"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A filed finding whose program is to be made smaller.

    :param code: that it was filed on
    :param version: the number of that
    :param file: below the campaign's folder
    """

    finding: Finding
    code: Code
    version: int
    file: str

    @property
    def weight(self) -> tuple[int, tuple[int, int], str]:
        """Return the sort key: the weightiest first."""
        return rank(self.finding)


@dataclass(frozen=True, slots=True)
class Refiled:
    """The program of a filed finding is as small as it becomes.

    :param finding: as the program shows it
    :param operations: of the program
    :param how: from how many operations to how many; "": it was so small before
    :param trouble: why the file could not be written; "" if it could
    """

    finding: Finding
    version: int
    file: str
    operations: int
    how: str
    trouble: str = ""


def refile(store: Store, folder: Path, wanted: Wanted, judge: Judge, busy: Callable[[], bool]) -> Refiled | None:
    """Make the program of a filed finding smaller, and put it into its file in place of the larger one.

    The file is replaced in one go, after a fresh process has shown the smaller program: whatever ends this, one of
    the two is there. A file that says that it has been through this is left as it is.

    :param folder: of the campaign
    :param judge: replays a program in a fresh process, which may raise what is to end this
    :param busy: tells whether something else is to be done first
    :returns: the outcome; None: busy before its end, or nothing to be made smaller
    """
    path = folder / wanted.file
    there = _read(path)
    if there is None:
        return None
    comments, program = there
    finding, said = wanted.finding, comments.get("minimized", "")
    if said and not said.endswith(_SO_FAR):
        return Refiled(finding, wanted.version, wanted.file, len(program.operations), "")
    if finding.kind == CRASH or is_silent(finding.signature):
        # Each run takes its time.
        return None

    def look(progress: MinimizingProgress) -> None:
        if busy():
            raise BudgetSpent

    try:
        result = minimized(program, finding.key, judge, SECONDS, RUNS, look)
    except NotShownError:
        return None
    final = result.finished or result.runs >= RUNS or result.seconds >= SECONDS
    if result.program == program and not final:
        return None
    text = print_program(result.program)
    replayed = store.replayer.shows(text, store.reference, store.candidate)
    shown = next((each for each in replayed if each.key == finding.key), None)
    there = _read(path)
    if shown is None or there is None:
        return None
    before = _BEFORE.match(said)
    first = int(before[1]) if before else len(program.operations)
    how = f"{first} operations to {len(result.program.operations)}"
    # The comments of now: somebody may have asked a real kernel meanwhile.
    trouble = _put(store, path, there[0], shown, text, how if final else how + _SO_FAR)
    if not final and not trouble:
        return None
    return Refiled(shown, wanted.version, wanted.file, len(result.program.operations), how, trouble)


def _read(path: Path) -> tuple[dict[str, str], Program] | None:
    """Return comments and program of a file; None: somebody has taken it away, or edited it."""
    try:
        text = path.read_text(encoding="utf-8")
        return comments_of(text), parse(text)
    except (OSError, UnicodeDecodeError, ProgramError):
        return None


def _put(store: Store, path: Path, comments: dict[str, str], shown: Finding, text: str, how: str) -> str:
    """Put a program into the file of its finding.

    :param comments: of the file
    :returns: why it cannot be written; "" if it is
    """
    numbers = _SEED.fullmatch(comments.get("seed", ""))
    seed, number = (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)
    store.files.trouble = ""
    store.replace(FindingRecord(shown, text, number, seed, path=path, minimized=how), {**comments, "minimized": how})
    return store.files.trouble
