# SPDX-License-Identifier: GPL-2.0-only
"""The record of a finding: the finding, and the program that shows it."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from candidate import anywhere

from ..judging.finding import Finding
from ..language.program import Program
from ..language.text import headings, parse, print_program
from .found import CRASH, commented, known_text, rank, reproduce
from .severity import severity

# Programs that are not parsed again: of the records of a session, which are compared with each other.
PARSED: Final = 512


@lru_cache(PARSED)
def parsed(text: str) -> Program:
    """Return the program of a text; as `parse`."""
    return parse(text)


@dataclass(slots=True)
class FindingRecord:
    """A finding, and the smallest program seen so far that shows it.

    Made of built-in types throughout, so that it passes from process to process.

    :param finding: as that program shows it
    :param text: the program
    :param number: of the program in its seed, from 1; 0: its file had it already
    :param seed: of the session that found the program
    :param count: programs that showed the finding
    :param path: file of the program, once it is written
    :param minimized: how the program of this number was made smaller, for people; "": it is as it was
    """

    finding: Finding
    text: str
    number: int
    seed: int = 0
    count: int = 1
    path: Path | None = None
    minimized: str = ""

    @property
    def kind(self) -> str:
        """The class of the finding."""
        return self.finding.kind

    @property
    def signature(self) -> str:
        """The signature of the finding."""
        return self.finding.signature

    @property
    def reason(self) -> str:
        """The reason of the finding, one line for people."""
        return self.finding.reason

    @property
    def program(self) -> Program:
        """The program, parsed.

        :raises fuzz.language.program.ProgramError: the text is no program of this version of the language
        """
        return parsed(self.text)

    @property
    def operations(self) -> int:
        """The number of operations of the program."""
        return len(self.program.operations)

    def size(self) -> tuple[bool, int, int]:
        """Return the sort key of the smallest program: operations, then length of the text.

        A program of which a known bug explains the finding comes behind each of which none does: a bug that nobody
        knows may have the signature of a known one. Only fewer operations beat a program that its file had already.
        """
        return bool(self.finding.known), self.operations, len(self.text) if self.number else 0

    def where(self) -> str:
        """Return the operation at which the program shows the finding; "" for a crash."""
        return "" if self.kind == CRASH else headings(self.program)[self.finding.at + 1]


def record_of(finding: Finding, program: Program, number: int, seed: int = 0) -> FindingRecord:
    """Make the record of a finding that a program has just shown."""
    return FindingRecord(finding, print_program(program), number, seed)


def in_order(records: Iterable[FindingRecord]) -> list[FindingRecord]:
    """Sort records by weight of the class, then by severity, then by signature."""
    return sorted(records, key=lambda record: rank(record.finding))


def file_text(record: FindingRecord, reference: str, candidate: str, path: Path, code: str = "") -> str:
    """Return the program under comments that say what it shows and how to see it.

    :param path: of the file, for the command in it
    :param code: as in `file_comments`
    """
    about = file_comments(record, reference, candidate, path, code)
    about["seed"] = f"{record.seed}, program {record.number}"
    about["minimized"] = record.minimized
    return commented(about, record.program)


def file_comments(
    record: FindingRecord, reference: str, candidate: str, path: Path, code: str = ""
) -> dict[str, str]:
    """Return the comments of a finding whose file is *path*: key -> value.

    :param code: digests of the code that shows it (`fuzz.findings.digests.code_text`); "": that code is gone
    """
    return {
        "kind": record.kind,
        "signature": record.signature,
        "severity": "" if record.kind == CRASH else severity(record.signature).text,
        "reason": record.reason,
        "at": record.where(),
        "known": known_text(record.finding, reference),
        "reference": anywhere(reference),
        "candidate": anywhere(candidate),
        "code": code,
        "seed": "",
        "reproduce": reproduce(reference, candidate, path),
    }
