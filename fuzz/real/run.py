# SPDX-License-Identifier: GPL-2.0-only
"""Programs on a real kernel beside the model, and the report of that, for people and as JSON."""

from dataclasses import dataclass
from typing import Any

from candidate import Candidate

from ..checkers import Violation
from ..language.program import Program
from ..language.text import headings
from .answers import DESTRUCTION, RealAnswers, parse
from .compare import OutcomeDifference, differences
from .deviations import RealDeviation, explained
from .errors import UnplayableError
from .model import Expected, expected
from .session import RealSession
from .stamp import CONFIRMED, Stamp, stamp_of
from .translate import Played, played


@dataclass(frozen=True)
class RealRun:
    """One program on a real kernel.

    :param file: the program's
    :param release: of the kernel
    :param model: name of the version that was run beside
    :param played: the part of the program that was played
    :param expected: of it, on the model
    :param answers: of the kernel
    :param differences: of the two, but for known deviations
    :param explained: the known deviations
    :param stamps: of each finding of the model, the first of its kind
    """

    file: str
    release: str
    model: str
    played: Played
    expected: Expected
    answers: RealAnswers
    differences: list[OutcomeDifference]
    explained: list[RealDeviation]
    stamps: list[tuple[Violation, Stamp]]

    @property
    def complaints(self) -> list[str]:
        """The complaints of the kernel, each once."""
        return list(dict.fromkeys(self.answers.complaints()))

    @property
    def confirmed(self) -> list[tuple[Violation, Stamp]]:
        """The findings that the kernel shows too."""
        return [(violation, stamp) for violation, stamp in self.stamps if stamp.word == CONFIRMED]

    @property
    def unexplained(self) -> list[str]:
        """The complaints of the kernel that no finding of the model foretells."""
        foretold = {stamp.why for _, stamp in self.confirmed}
        return [each for each in self.complaints if each not in foretold]

    @property
    def wrong(self) -> bool:
        """Tell whether a finding is confirmed, the kernel complained, or it does otherwise than the model."""
        return bool(self.confirmed or self.differences or self.complaints or self.answers.status)

    def heading(self, at: int) -> str:
        """The name of an operation, by its number in the program as it was written."""
        names = headings(self.played.program)
        if at in (DESTRUCTION, len(self.played.places)):
            return names[-1]
        if at < 0:
            return names[0]
        title = names[at + 1].partition(": ")[2]
        return f"operation {self.played.places[at] + 1}: {title}"

    def word(self) -> str:
        """Return the result in a word or two."""
        if self.differences or self.answers.status:
            return "differs from the model"
        if self.confirmed:
            return "finding confirmed"
        return "the kernel complains" if self.complaints else "as the model says"

    def text(self) -> str:
        """Return the report for people."""
        lines = [f"{self.file}: Linux {self.release} beside {self.model}: {self.word()}"]
        for violation, stamp in self.stamps:
            lines.append(f"{stamp.word}  {violation.signature}")
            lines.append(f"    at {self.heading(violation.at)}{': ' + stamp.why if stamp.why else ''}")
        for difference in self.differences:
            real = difference.real or "not reached"
            lines.append(f"difference at {self.heading(difference.at)}")
            lines.append(f"    model {difference.model}, kernel {real}")
        lines += [f"the kernel says: {complaint}" for complaint in self.complaints]
        if self.answers.status:
            lines.append(f"the process that played it ended with status {self.answers.status:#x}")
        lines += [f"left out, a known deviation: {each.name}: {each.reason}" for each in self.explained]
        lines += [f"left out: {each}" for each in self.played.left_out]
        return "\n".join(lines) + "\n"

    def answer(self) -> dict[str, Any]:
        """Return the keys for ``--json``: ``file``, ``kernel`` (release), ``model``, ``result``, ``findings`` (of each
        ``signature``, ``operation``, ``stamp``, ``why``), ``differences`` (of each ``operation``, ``model``,
        ``kernel``), ``explained`` (names of known deviations), ``complaints``, ``left_out``, ``outcomes`` (of the
        kernel, of each operation played).
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
            "explained": [each.name for each in self.explained],
            "complaints": self.complaints,
            "left_out": list(self.played.left_out),
            "outcomes": [str(self.answers.outcomes[at]) for at in sorted(self.answers.outcomes)],
        }


def run(session: RealSession, version: Candidate, file: str, program: Program) -> RealRun:
    """Have a program played, run its model meanwhile, and compare.

    :raises UnplayableError: no user space can play it, or the model has no verdict on it
    :raises RealError: QEMU died or does not answer
    """
    part = played(program, session.page_size)
    session.begin(list(part.lines))
    try:
        model = expected(version, part.program)
    finally:
        answers = parse(session.finish())
    if model.refused:
        raise UnplayableError(f"the model has no verdict: {model.refused}")
    found = differences(part.program, model, answers)
    stamps = stamped(model.violations, answers, {each.at for each in found}, len(part.places))
    reasons = [explained(part, each, answers) for each in found]
    left = [each for each, reason in zip(found, reasons, strict=True) if reason is None]
    known = list(dict.fromkeys(reason for reason in reasons if reason is not None))
    return RealRun(file, session.release, version.name, part, model, answers, left, known, stamps)


def stamped(
    violations: list[Violation], answers: RealAnswers, differing: set[int], operations: int
) -> list[tuple[Violation, Stamp]]:
    """One stamp for each kind of violation: of several of a kind, that of one that was confirmed.

    :param differing: the operations at which the kernel had another outcome
    :param operations: of the program
    """
    stamps: dict[str, tuple[Violation, Stamp]] = {}
    for violation in violations:
        stamp = stamp_of(violation, answers, violation.at in differing, operations)
        before = stamps.get(violation.signature)
        if before is None or (before[1].word != CONFIRMED and stamp.word == CONFIRMED):
            stamps[violation.signature] = violation, stamp
    return list(stamps.values())
