# SPDX-License-Identifier: GPL-2.0-only
"""The record of a finding: the finding, and the program that shows it."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from candidate import anywhere

from ..judging.finding import Finding
from ..language.direct_calls import direct_call
from ..language.program import Program
from ..language.text import headings, parse, print_program
from .found import CRASH, commented, known_text, rank, reproduce
from .severity import severity

# Size of the cache of parsed programs: records of a session are compared with each other.
PARSED: Final = 512


@lru_cache(PARSED)
def parsed(text: str) -> Program:
    """Return the program of a text, as `parse` does, with a cache."""
    return parse(text)


@dataclass(slots=True)
class FindingRecord:
    """A finding and the smallest program seen so far that shows it.

    Consists of built-in types only, so that it can be sent between processes.

    :param finding: as that program shows it
    :param text: the program
    :param number: of the program in its seed, from 1; 0: the program comes from an existing file
    :param seed: of the session that found the program
    :param count: number of programs that showed the finding
    :param path: file of the program, once it is written
    :param minimized: how the program with this number was minimised, for people; "": it was not
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

        :raises fuzz.language.program.ProgramError: the text is not a program of this version of the language
        """
        return parsed(self.text)

    @property
    def operations(self) -> int:
        """The number of operations of the program."""
        return len(self.program.operations)

    def size(self) -> tuple[bool, int, int]:
        """Return the sort key of programs, the smallest first: operations, then length of the text.

        A program whose finding a known bug explains sorts after every program whose finding none explains: an unknown
        bug may have the signature of a known one. Only fewer operations beat a program that comes from an existing
        file.
        """
        return bool(self.finding.known), self.operations, len(self.text) if self.number else 0

    def where(self) -> str:
        """Return the operation at which the program shows the finding; "" for a crash."""
        return "" if self.kind == CRASH else headings(self.program)[self.finding.at + 1]

    def note(self) -> str:
        """Return a note on that operation if it is a direct call of pgtable.c; "" otherwise."""
        return direct_call(self.program, self.finding.at)


def record_of(finding: Finding, program: Program, number: int, seed: int = 0) -> FindingRecord:
    """Return the record of a finding that a program has just shown."""
    return FindingRecord(finding, print_program(program), number, seed)


def in_order(records: Iterable[FindingRecord]) -> list[FindingRecord]:
    """Sort records by class, then by severity, then by signature."""
    return sorted(records, key=lambda record: rank(record.finding))


def file_text(record: FindingRecord, reference: str, candidate: str, path: Path, code: str = "") -> str:
    """Return the program below comments that describe what it shows and how to see it.

    :param path: of the file, for the command in it
    :param code: as in `file_comments`
    """
    about = file_comments(record, reference, candidate, path, code)
    about["seed"] = f"{record.seed}, program {record.number}"
    about["minimized"] = record.minimized
    return commented(about, record.program)


def file_comments(record: FindingRecord, reference: str, candidate: str, path: Path, code: str) -> dict[str, str]:
    """Return the comments of a finding whose file is *path*: key -> value.

    :param code: digests of the code that shows it (`fuzz.findings.digests.code_text`); "": that code no longer exists
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
