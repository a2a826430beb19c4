# SPDX-License-Identifier: GPL-2.0-only
"""Collected differences: the first of each kind, as text and as a file that replays it."""

import hashlib
import re
from dataclasses import dataclass, replace
from pathlib import Path

from ..files import write_atomically
from .expectation import in_words
from .session import Difference, QemuSession
from .tables import ASK_NAMES, split
from .text import path, print_tables, show


@dataclass(slots=True)
class AnswerDifferenceKind:
    """Differences that are alike except for addresses.

    :param first: the first one seen
    :param where: name of the tables or program that showed it, for messages
    :param count: number of differences
    :param file: file of the first one; "" if it was not saved
    """

    first: Difference
    where: str
    count: int = 1
    file: str = ""

    def text(self) -> str:
        """Return the text for the report: the first difference, then their number and the file."""
        head, *rest = show(self.first)
        lines = [f"difference in {self.where}: {head}", *rest]
        more = f"    {self.count} like this" if self.count > 1 else ""
        if self.file:
            more += f"{', this one is' if more else '    it is'} in {self.file}"
        return "\n".join([*lines, *([more] if more else [])])


class Differences:
    """All kinds of differences.

    :param folder: where to save the first of each kind; None: nowhere
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self.kinds: dict[tuple[str, ...], AnswerDifferenceKind] = {}
        # The reason why a file could not be written; "" if all were written.
        self.trouble = ""

    def add(self, difference: Difference, where: str) -> None:
        """Count a difference, and keep it if it is the first of its kind."""
        key = kind_of(difference)
        kind = self.kinds.get(key)
        if kind is None:
            self.kinds[key] = AnswerDifferenceKind(difference, where)
        else:
            kind.count += 1

    def save(self, session: QemuSession) -> None:
        """Write the files, each reduced as far as it still shows the difference.

        :raises QemuError: QEMU died or does not answer
        """
        if self.folder is None:
            return
        for key, kind in self.kinds.items():
            small = reduced(session, kind.first)
            comments = [line.strip() for line in show(small)]
            text = print_tables(small.tables, [small.asked], comments)
            file = self.folder / file_name(key)
            try:
                write_atomically(file, text)
            except OSError as error:
                self.trouble = f"{file}: {error.strerror or error}"
            else:
                kind.file = str(file)


def kind_of(difference: Difference) -> tuple[str, ...]:
    """Return the key of a kind: without addresses, and with a memory type only if nothing else differs."""
    ask, _ = split(difference.asked)
    page = f"{1 << difference.tables.setting.page_shift >> 10}K"
    ours = in_words(difference.asked, difference.expected)
    theirs = in_words(difference.asked, difference.answer)
    (place, _, our_type), (other_place, _, their_type) = ours.partition(", ATTR"), theirs.partition(", ATTR")
    if our_type and their_type:
        if place != other_place:
            return ASK_NAMES[ask], page, "translated", "to another address"
        return ASK_NAMES[ask], page, f"ATTR{our_type}", f"ATTR{their_type}"
    return ASK_NAMES[ask], page, "translated" if our_type else ours, "translated" if their_type else theirs


def file_name(key: tuple[str, ...]) -> str:
    """Return a file name that is always the same for the same kind."""
    slug = re.sub(r"[^A-Za-z0-9_]+", "-", "-".join(key)).strip("-")[:80].rstrip("-")
    return f"{slug}-{hashlib.sha256(repr(key).encode()).hexdigest()[:6]}.tables"


def reduced(session: QemuSession, difference: Difference) -> Difference:
    """Return the difference with only the entries on the path; unchanged if those do not show it.

    :raises QemuError: QEMU died or does not answer
    """
    _, ipa = split(difference.asked)
    whole = replace(difference.tables, source=None, questions=[difference.asked])
    way = replace(whole, entries={index: word for _, index, word in path(whole, ipa) if word})
    for tables in (way, whole):
        session.memory.load(tables.entries)
        found = session.ask([tables])
        session.memory.clear([tables])
        if found and kind_of(found[0]) == kind_of(difference):
            return found[0]
    return difference
