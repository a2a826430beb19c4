# SPDX-License-Identifier: GPL-2.0-only
"""Programs on a real kernel and on the model, and the report about both, as text and as JSON."""

from dataclasses import dataclass, replace
from typing import Any, Final

from candidate import Candidate

from ..checkers import Violation
from ..execution.refusal import unmodelled
from ..language.program import Program
from ..language.text import headings
from .answers import DESTRUCTION, RealAnswers, parse
from .compare import OutcomeDifference, differences
from .errors import UnplayableError
from .model import Expected, ModelRun
from .session import RealSession
from .stamp import CONFIRMED, Stamp, stamp_of
from .tables import RealTables, TableDifference
from .translate import Played, played

# Maximum number of table differences to show.
MOST_LEAVES: Final = 8


@dataclass(frozen=True)
class RealRun:
    """One program on a real kernel.

    :param file: file of the program
    :param release: release of the kernel
    :param model: name of the version that models the kernel
    :param played: the part of the program that was played
    :param expected: results of the model
    :param answers: results of the kernel
    :param differences: differing outcomes
    :param stamps: a stamp for each finding of the model, the first of its kind
    :param tables: differences of the tables, if compared, at the first operation that has any
    """

    file: str
    release: str
    model: str
    played: Played
    expected: Expected
    answers: RealAnswers
    differences: list[OutcomeDifference]
    stamps: list[tuple[Violation, Stamp]]
    tables: list[TableDifference]

    @property
    def complaints(self) -> list[str]:
        """Return the complaints of the kernel, without duplicates."""
        return list(dict.fromkeys(self.answers.complaints()))

    @property
    def confirmed(self) -> list[tuple[Violation, Stamp]]:
        """Return the findings that the kernel shows too."""
        return [(violation, stamp) for violation, stamp in self.stamps if stamp.word == CONFIRMED]

    @property
    def unexplained(self) -> list[str]:
        """Return the complaints of the kernel that no finding of the model predicts."""
        foretold = {stamp.why for _, stamp in self.confirmed}
        return [each for each in self.complaints if each not in foretold]

    @property
    def wrong(self) -> bool:
        """Return whether a finding is confirmed, the kernel complained, or it differs from the model."""
        return bool(self.confirmed or self.differences or self.tables or self.complaints or self.answers.status)

    def heading(self, at: int) -> str:
        """Return the name of an operation, with its number in the original program."""
        names = headings(self.played.program)
        if at in (DESTRUCTION, len(self.played.places)):
            return names[-1]
        if at < 0:
            return names[0]
        title = names[at + 1].partition(": ")[2]
        return f"operation {self.played.places[at] + 1}: {title}"

    def word(self) -> str:
        """Return the result in a word or two."""
        if self.differences or self.tables or self.answers.status:
            return "differs from the model"
        if self.confirmed:
            return "finding confirmed"
        return "the kernel complains" if self.complaints else "as the model says"

    def text(self) -> str:
        """Return the report as text."""
        lines = [f"{self.file}: Linux {self.release} beside {self.model}: {self.word()}"]
        for violation, stamp in self.stamps:
            lines.append(f"{stamp.word}  {violation.signature}")
            lines.append(f"    at {self.heading(violation.at)}{': ' + stamp.why if stamp.why else ''}")
        for difference in self.differences:
            real = difference.real or "not reached"
            lines.append(f"difference at {self.heading(difference.at)}")
            lines.append(f"    model {difference.model}, kernel {real}")
        if self.tables:
            lines.append(f"tables differ at {self.heading(self.tables[0].at)}")
            lines += [f"    {each.text()}" for each in self.tables[:MOST_LEAVES]]
            more = len(self.tables) - MOST_LEAVES
            lines += [f"    and {more} more"] if more > 0 else []
        lines += [f"the kernel says: {complaint}" for complaint in self.complaints]
        if self.answers.status:
            lines.append(f"the process that played it exited with status {self.answers.status:#x}")
        lines += [f"left out: {each}" for each in self.played.left_out]
        return "\n".join(lines) + "\n"

    def answer(self) -> dict[str, Any]:
        """Return the result for ``--json``.

        The keys are ``file``, ``kernel`` (release), ``model``, ``result``, ``findings`` (for each ``signature``,
        ``operation``, ``stamp``, ``why``), ``differences`` (for each ``operation``, ``model``, ``kernel``), ``tables``
        (for each ``operation``, ``leaf``: guest address, ``model``, ``kernel``), ``complaints``, ``exit_status``
        (of the process that played it), ``left_out``, ``outcomes`` (of the kernel, for each operation played).
        """
        return {
            "file": self.file,
            "kernel": self.release,
            "model": self.model,
            "result": self.word(),
            "findings": [
                {
                    "signature": violation.signature,
                    "operation": self.heading(violation.at),
                    "stamp": stamp.word,
                    "why": stamp.why,
                }
                for violation, stamp in self.stamps
            ],
            "differences": [
                {"operation": self.heading(each.at), "model": each.model, "kernel": str(each.real or "not reached")}
                for each in self.differences
            ],
            "tables": [
                {"operation": self.heading(each.at), "leaf": each.ipa, "model": each.model, "kernel": each.real}
                for each in self.tables
            ],
            "complaints": self.complaints,
            "exit_status": self.answers.status,
            "left_out": list(self.played.left_out),
            "outcomes": [str(self.answers.outcomes[at]) for at in sorted(self.answers.outcomes)],
        }


def run(session: RealSession, version: Candidate, file: str, program: Program, tables: bool = False) -> RealRun:
    """Play a program while its model runs, and compare the results.

    :param tables: also compare the stage-2 tables after each operation
    :raises UnplayableError: no user space can play it, or the model has no verdict on it
    :raises RealError: QEMU died or does not answer
    """
    part = played(program, session.page_size, tables)
    fresh = session.fresh
    found = attempt(session, version, part, tables)
    if found.answers.incomplete and not fresh:
        # Earlier programs have used up memory: poisoned pages are not freed.
        session.start()
        found = attempt(session, version, part, tables)
    if found.expected.refused:
        raise UnplayableError(f"the model has no verdict: {unmodelled(found.expected.refused)}")
    different = differences(part.program, found.expected, found.answers)
    stamps = stamped(found.expected.violations, found.answers, {each.at for each in different}, len(part.places))
    return RealRun(
        file,
        session.release,
        version.name,
        part,
        found.expected,
        found.answers,
        different,
        stamps,
        found.tables,
    )


def with_stamps(done: RealRun, stamps: list[tuple[Violation, Stamp]]) -> RealRun:
    """Return the run with these stamps, replacing stamps of the same signatures."""
    signatures = {violation.signature for violation, _ in stamps}
    return replace(done, stamps=[*(each for each in done.stamps if each[0].signature not in signatures), *stamps])


@dataclass(frozen=True)
class Attempt:
    """One playing of a program, together with its model."""

    expected: Expected
    answers: RealAnswers
    tables: list[TableDifference]


def attempt(session: RealSession, version: Candidate, part: Played, tables: bool) -> Attempt:
    """Play a program while the model runs.

    :raises RealError: QEMU died or does not answer
    """
    session.begin(list(part.lines))
    different: list[TableDifference] = []
    looks: RealTables | None = None
    model: ModelRun | None = None

    def look(at: int) -> None:
        """Compare the tables while the machine waits after an operation."""
        nonlocal looks
        if at < 0 or model is None or different or not model.step():
            return
        if looks is None:
            assert session.machine is not None
            looks = RealTables(session.machine, part.program)
        different.extend(looks.look(at, part.program.operations[at], model.executor.side.guests))

    try:
        model = ModelRun(version, part.program)
        expected = None if tables else model.finish()
    finally:
        answers = parse(session.finish(look))
    return Attempt(model.finish() if expected is None else expected, answers, different)


def stamped(
    violations: list[Violation], answers: RealAnswers, differing: set[int], operations: int
) -> list[tuple[Violation, Stamp]]:
    """Return one stamp for each kind of violation, preferring a confirmed one.

    :param differing: the operations at which the kernel had another outcome
    :param operations: number of operations of the program
    """
    stamps: dict[str, tuple[Violation, Stamp]] = {}
    for violation in violations:
        stamp = stamp_of(violation, answers, violation.at in differing, operations)
        before = stamps.get(violation.signature)
        if before is None or (before[1].word != CONFIRMED and stamp.word == CONFIRMED):
            stamps[violation.signature] = violation, stamp
    return list(stamps.values())
