# SPDX-License-Identifier: GPL-2.0-only
"""Minimising of filed programs while the filer has nothing else to do."""

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
from ...minimizing.minimizer import BudgetSpentError, Judge, MinimizingProgress
from ..store.code import Code

# Limits per finding: number of programs judged, and seconds.
MAX_RUNS: Final = 400
MAX_SECONDS: Final = 120.0
_SEED: Final = re.compile(r"([0-9]+), program ([0-9]+)")
# Parts of the comment on a program: its former size, and the mark of an unfinished minimisation.
_BEFORE: Final = re.compile(r"([0-9]+) operations to ")
_SO_FAR: Final = ", so far"


@dataclass(frozen=True, slots=True)
class ToMinimize:
    """A filed finding whose program is to be made smaller.

    :param code: that it was filed on
    :param version: number of that code version
    :param file: relative to the campaign's folder
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
class MinimizedFile:
    """The end of minimising the program of a filed finding.

    :param finding: as the program shows it
    :param operations: number of operations of the program
    :param how: number of operations before and after; "": it had been minimised before
    :param trouble: why the file could not be written; "" if it could
    """

    finding: Finding
    version: int
    file: str
    operations: int
    how: str
    trouble: str = ""


def minimize_file(
    store: Store, folder: Path, wanted: ToMinimize, judge: Judge, busy: Callable[[], bool]
) -> MinimizedFile | None:
    """Minimise the program of a filed finding, and replace the larger program in its file.

    The file is replaced atomically, after a fresh process has shown the finding with the smaller program: at any
    interruption, one of the two programs is there. A file that is marked as minimised stays unchanged.

    :param folder: of the campaign
    :param judge: replays a program in a fresh process; an exception that it raises ends this
    :param busy: tells whether more important work waits
    :returns: the outcome; None if it was interrupted by other work, or nothing could be minimised
    """
    path = folder / wanted.file
    there = _read(path)
    if there is None:
        return None
    comments, program = there
    finding, said = wanted.finding, comments.get("minimized", "")
    if said and not said.endswith(_SO_FAR):
        return MinimizedFile(finding, wanted.version, wanted.file, len(program.operations), "")
    if finding.kind == CRASH or is_silent(finding.signature):
        # Each run takes long.
        return None

    def look(progress: MinimizingProgress) -> None:
        if busy():
            raise BudgetSpentError

    try:
        result = minimized(program, finding.key, judge, MAX_SECONDS, MAX_RUNS, look)
    except NotShownError:
        return None
    final = result.finished or result.runs >= MAX_RUNS or result.seconds >= MAX_SECONDS
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
    # Use the current comments: a stamp of a real kernel may have been added meanwhile.
    trouble = _put(store, path, there[0], shown, text, how if final else how + _SO_FAR)
    if not final and not trouble:
        return None
    return MinimizedFile(shown, wanted.version, wanted.file, len(result.program.operations), how, trouble)


def _read(path: Path) -> tuple[dict[str, str], Program] | None:
    """Return comments and program of a file; None if it was removed or no longer holds a program."""
    try:
        text = path.read_text(encoding="utf-8")
        return comments_of(text), parse(text)
    except (OSError, UnicodeDecodeError, ProgramError):
        return None


def _put(store: Store, path: Path, comments: dict[str, str], shown: Finding, text: str, how: str) -> str:
    """Write a program to the file of its finding.

    :param comments: of the file
    :returns: why it could not be written; "" if it was
    """
    numbers = _SEED.fullmatch(comments.get("seed", ""))
    seed, number = (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)
    store.files.trouble = ""
    store.replace(FindingRecord(shown, text, number, seed, path=path, minimized=how), {**comments, "minimized": how})
    return store.files.trouble
