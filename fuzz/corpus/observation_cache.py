# SPDX-License-Identifier: GPL-2.0-only
"""The observed features of the programs of a corpus, kept in a SQLite file beside them.

The file is a cache: it may be deleted at any time. An entry is valid only for one pair of versions, one state of their
code and one state of the sources, which are part of every key.
"""

import hashlib
import os
import sqlite3
import struct
from collections.abc import Collection, Iterable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Final, NamedTuple

from ..distribution import home_folder
from ..findings.digests import code_text
from .folder import Corpus, CorpusError
from .observing import Observed

FILE: Final = ".observed.sqlite3"
# The sources that determine the features of a program, relative to the checkout.
SOURCES: Final = (
    *("reference", "candidate"),
    *("fuzz/language", "fuzz/sides", "fuzz/checkers", "fuzz/execution", "fuzz/features", "fuzz/judging"),
)
_LAYOUT: Final = 2
# Keys of this layout do not have the code of the versions.
_OLD_LAYOUT: Final = 1
_DROP: Final = "DROP TABLE observed; DROP TABLE superfluous;"
# Separates the parts of a key: reference, candidate, their code, sources.
_BETWEEN: Final = "\n"
_TABLES: Final = f"""
CREATE TABLE IF NOT EXISTS observed (
    key TEXT, digest TEXT, features BLOB, trouble TEXT, PRIMARY KEY (key, digest)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS superfluous (key TEXT, digest TEXT, PRIMARY KEY (key, digest)) WITHOUT ROWID;
PRAGMA user_version = {_LAYOUT};
"""
# Seconds to wait for another process that writes.
_PATIENCE: Final = 60.0


def sources_digest() -> str:
    """Return the digest of the sources that determine features."""
    home = home_folder()
    whole = hashlib.sha256()
    for folder in SOURCES:
        for path in sorted([*(home / folder).rglob("*.py"), *(home / folder).rglob("*.toml")]):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            whole.update(f"{path.relative_to(home).as_posix()} {content}\n".encode())
    return whole.hexdigest()


class KnownFeatures(NamedTuple):
    """The known features of a corpus, for the current sources.

    :param versions: the reference and the candidate
    :param programs: number of programs whose features are known
    :param features: number of distinct features
    """

    versions: str
    programs: int
    features: int


def seen_features(corpus: Corpus) -> list[KnownFeatures]:
    """Return earlier observations for each pair of versions; none where there is no readable file."""
    path = corpus.folder / FILE
    if not path.is_file():
        return []
    there = set(corpus.digests())
    sources = sources_digest()
    found: dict[str, list[tuple[int, ...]]] = {}
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            for key, digest, features in database.execute("SELECT key, digest, features FROM observed ORDER BY key"):
                *versions, _, of = key.split(_BETWEEN)
                if of == sources and digest in there and features is not None:
                    found.setdefault(" ".join(versions), []).append(unpack(features))
    except sqlite3.Error:
        return []
    return [KnownFeatures(versions, len(each), len(set().union(*each))) for versions, each in found.items()]


def pack(features: Iterable[int]) -> bytes:
    """Return features as bytes: 32 bits each, little endian."""
    values = list(features)
    return struct.pack(f"<{len(values)}I", *values)


def unpack(data: bytes) -> tuple[int, ...]:
    """Return the features that `pack` has packed."""
    return struct.unpack(f"<{len(data) // 4}I", data)


class Observations:
    """The file, for one pair of versions, their current code and the current sources.

    :param folder: the folder of the corpus; None: keep it only in memory
    :raises CorpusError: the file cannot be created or written
    """

    def __init__(self, folder: Path | None, reference: str, candidate: str) -> None:
        self.versions = reference, candidate
        self.key = _BETWEEN.join((*self.versions, code_text(*self.versions), sources_digest()))
        self.path = folder / FILE if folder else None
        # One line if the file was unusable.
        self.remark = ""
        self._unsaved: list[tuple[str, str, bytes | None, str]] = []
        try:
            self.database = self._open()
        except sqlite3.OperationalError as error:
            raise self._failure(error) from None
        except sqlite3.DatabaseError as error:
            self.remark = self._discard(error)
            try:
                self.database = self._open()
            except sqlite3.Error as again:
                raise self._failure(again) from None

    def _open(self) -> sqlite3.Connection:
        database = sqlite3.connect(self.path or ":memory:", timeout=_PATIENCE)
        try:
            (layout,) = database.execute("PRAGMA user_version").fetchone()
            if layout not in (0, _OLD_LAYOUT, _LAYOUT):
                raise sqlite3.DatabaseError(f"unknown layout {layout}")
            if layout == _OLD_LAYOUT:
                database.executescript(_DROP)
            database.executescript(_TABLES)
        except BaseException:
            database.close()
            raise
        return database

    def _failure(self, error: sqlite3.Error) -> CorpusError:
        return CorpusError(f"{self.path}: {error}; use a folder that can be written, with room in it")

    def _discard(self, error: sqlite3.Error) -> str:
        """Move a file that is not our database out of the way."""
        assert self.path is not None
        broken = self.path.with_name(f"{FILE}.broken")
        with suppress(OSError):
            os.replace(self.path, broken)
        return f"{self.path}: {error}; moved to {broken.name}, programs will be observed again"

    def known(self, digests: Collection[str]) -> dict[str, Observed]:
        """Return the known observations of these programs.

        :raises CorpusError: the file cannot be read
        """
        wanted = set(digests)
        query = "SELECT digest, features, trouble FROM observed WHERE key = ?"
        try:
            rows = self.database.execute(query, (self.key,)).fetchall()
        except sqlite3.Error as error:
            raise self._failure(error) from None
        return {
            digest: Observed(digest, None if features is None else unpack(features), trouble)
            for digest, features, trouble in rows
            if digest in wanted
        }

    def note(self, observed: Observed) -> None:
        """Record an observation for the next `save`."""
        if observed.lasting:
            features = None if observed.features is None else pack(observed.features)
            self._unsaved.append((self.key, observed.digest, features, observed.trouble))

    def save(self) -> None:
        """Write the recorded observations.

        :raises CorpusError: they cannot be written
        """
        self._write("INSERT OR REPLACE INTO observed VALUES (?, ?, ?, ?)", self._unsaved)
        self._unsaved = []

    def superfluous(self) -> list[str]:
        """Return the programs that a killed run had decided to remove; none if the sources have changed since."""
        query = "SELECT digest FROM superfluous WHERE key = ? ORDER BY digest"
        return [digest for (digest,) in self.database.execute(query, (self.key,))]

    def decide(self, digests: Collection[str]) -> None:
        """Save which programs are to be removed; none: all of them have been removed.

        :raises CorpusError: it cannot be written
        """
        rows = [(self.key, digest) for digest in digests]
        self._write("INSERT INTO superfluous VALUES (?, ?)", rows, "DELETE FROM superfluous")

    def forget(self, digests: Collection[str]) -> None:
        """Delete observations of removed programs.

        :raises CorpusError: it cannot be written
        """
        rows = [(self.key, digest) for digest in digests]
        self._write("DELETE FROM observed WHERE key = ? AND digest = ?", rows)

    def forget_other_code(self) -> None:
        """Delete observations of the same versions for other states of their code or of the sources.

        :raises CorpusError: it cannot be written
        """
        versions = _BETWEEN.join((*self.versions, ""))
        query = "DELETE FROM observed WHERE substr(key, 1, ?) = ? AND key <> ?"
        self._write(query, [(len(versions), versions, self.key)])

    def _write(self, statement: str, rows: Sequence[tuple[str | bytes | int | None, ...]], before: str = "") -> None:
        try:
            with self.database:
                if before:
                    self.database.execute(before)
                self.database.executemany(statement, rows)
        except sqlite3.Error as error:
            raise self._failure(error) from None

    def close(self) -> None:
        self.database.close()
