# SPDX-License-Identifier: GPL-2.0-only
"""Findings that a user knows of and accepts: a TOML file of patterns, and their matches.

Known bugs of versions are a different thing: `fuzz.judging.known`.

An entry is a table ``[[finding]]`` with ``pattern`` (`fuzz.findings.patterns`), ``reason``, and optionally ``who`` and
``link``.
"""

import json
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ..judging.differential import CLASSES
from ..language.program import MIB
from ..language.text import shown_name
from ..suggestions import near_file
from .patterns import matches
from .renamed import names_of

# The default file, in the current directory.
DEFAULT_FILE: Final = "known-findings.toml"
MAX_FILE_SIZE: Final = MIB
_KEYS: Final = ("pattern", "reason", "who", "link")
_ALLOWED: Final = "[[finding]] entries with pattern, reason, who and link (both may be left out)"
_LINE: Final = re.compile(r" \(at line ([0-9]+), column [0-9]+\)$")


class AcceptedError(ValueError):
    """The file cannot be used; the message is one line: file and entry, what is wrong, what is allowed."""


@dataclass(slots=True)
class Entry:
    """One entry of the file.

    :param number: its position in the file, from 1
    :param count: distinct findings that matched it first
    """

    number: int
    pattern: str
    reason: str
    who: str = ""
    link: str = ""
    count: int = 0

    @property
    def text(self) -> str:
        """The reason why the user accepts matching findings, with *who* and *link*."""
        more = ", ".join(each for each in (self.who, self.link) if each)
        return f"{self.reason} ({more})" if more else self.reason


class Accepted:
    """The entries of a file, each with a count of the findings that it matched.

    :param file: its name for people; "" without a file
    """

    def __init__(self, file: str = "", entries: tuple[Entry, ...] = ()) -> None:
        self.file = file
        self.entries = entries
        self.seen: dict[tuple[str, str], Entry | None] = {}

    def match(self, kind: str, signature: str) -> Entry | None:
        """Return the first entry that accepts a finding, or None; each distinct finding is counted once.

        A crash of our own code is not a finding and never accepted.
        """
        key = (kind, signature)
        if key not in self.seen:
            entry = self.seen[key] = self.first(kind, signature) if kind in CLASSES else None
            if entry is not None:
                entry.count += 1
        return self.seen[key]

    def first(self, kind: str, signature: str) -> Entry | None:
        """Return the first entry that matches a finding, by its current or a former signature."""
        names = names_of(signature)
        for entry in self.entries:
            if any(matches(entry.pattern, kind, name) for name in names):
                return entry
        return None

    def stale(self) -> list[Entry]:
        """Return the entries that have matched nothing so far."""
        return [entry for entry in self.entries if not entry.count]


def load_accepted(name: str | None) -> Accepted:
    """Load the entries of a file; without a *name*, those of `DEFAULT_FILE` in the current directory, if it exists.

    :raises AcceptedError: the file cannot be read, or contains something that is not allowed
    """
    if name is None:
        if not Path(DEFAULT_FILE).exists():
            return Accepted()
        name = DEFAULT_FILE
    path, name = name, shown_name(name)
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_FILE_SIZE + 1)
        if len(data) > MAX_FILE_SIZE:
            raise AcceptedError(f"{name}: the file is too large; allowed: at most 1M")
        return Accepted(name, _entries(name, data.decode()))
    except UnicodeDecodeError:
        raise AcceptedError(f"{name}: not UTF-8; allowed: TOML, {_ALLOWED}") from None
    except (OSError, ValueError) as error:
        if isinstance(error, AcceptedError):
            raise
        wrong = getattr(error, "strerror", None) or str(error)
        wrong += near_file(path) if isinstance(error, FileNotFoundError) else ""
        raise AcceptedError(f"{name}: {wrong}; name a file that can be read") from None


def added(name: str, text: str, pattern: str, reason: str, who: str, link: str) -> str:
    """Return the text of a file with one more entry at its end; existing comments and layout stay.

    :param name: of the file, for people
    :param text: its current text; "" for a new file
    :raises AcceptedError: the text is not valid, it has the pattern already, or a value is not one line of text
    """
    fields = {"pattern": pattern, "reason": reason, "who": who, "link": link}
    # A basic string of TOML has the syntax of a JSON string.
    lines = [
        f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in fields.items() if value or key in _KEYS[:2]
    ]
    before = f"{text.rstrip()}\n\n" if text.strip() else ""
    whole = before + "\n".join(["[[finding]]", *lines, ""])
    _entries(name, whole)
    return whole


def _entries(name: str, text: str) -> tuple[Entry, ...]:
    try:
        content: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = _LINE.search(str(error))
        where = f"{name}:{place[1]}" if place else name
        raise AcceptedError(f"{where}: not TOML: {_LINE.sub('', str(error))}; allowed: {_ALLOWED}") from None
    for key in content:
        if key != "finding":
            raise AcceptedError(f"{name}: unknown {key[:40]!a}; allowed: {_ALLOWED}")
    tables = content.get("finding", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise AcceptedError(f"{name}: finding is not a list of tables; allowed: {_ALLOWED}")
    entries: list[Entry] = []
    for number, table in enumerate(tables, 1):
        where = f"{name}: entry {number}"
        for key, value in table.items():
            if key not in _KEYS:
                raise AcceptedError(f"{where}: unknown key {key[:40]!a}; allowed: {', '.join(_KEYS)}")
            if not isinstance(value, str) or not value.strip() or not value.isprintable():
                raise AcceptedError(f"{where}: {key} is not text; allowed: one line of text in quotes")
        for key in _KEYS[:2]:
            if key not in table:
                raise AcceptedError(f"{where}: {key} is missing; allowed: {_ALLOWED}")
        earlier = [each.number for each in entries if each.pattern == table["pattern"]]
        if earlier:
            raise AcceptedError(f"{where}: same pattern as entry {earlier[0]}; give every pattern once")
        entries.append(Entry(number, **table))
    return tuple(entries)
