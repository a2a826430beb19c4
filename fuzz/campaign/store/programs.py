# SPDX-License-Identifier: GPL-2.0-only
"""The corpus in the database: the unit that found each program, and the features that the program showed first."""

import sqlite3
import time
from collections.abc import Sequence

from ...corpus import Corpus
from ...engines.unit import Fresh
from .database import transaction


class Programs:
    """The corpus of a campaign and the features that it shows.

    :param db: of the campaign
    :param corpus: of the campaign
    """

    def __init__(self, db: sqlite3.Connection, corpus: Corpus) -> None:
        self.db = db
        self.corpus = corpus
        self.features = {feature for (feature,) in db.execute("SELECT feature FROM features")}

    def keep(self, fresh: Sequence[Fresh]) -> list[tuple[str, Fresh]]:
        """Add the programs that still show something new to the corpus; other units ran meanwhile.

        :returns: these programs with their digests
        :raises fuzz.corpus.CorpusError: one cannot be written
        """
        new: set[int] = set()
        kept: list[tuple[str, Fresh]] = []
        for each in fresh:
            left = set(each.features) - self.features - new
            if left:
                new |= left
                kept.append((self.corpus.add(each.text), each))
        return kept

    def add(self, kept: Sequence[tuple[str, Fresh]], unit: int, elapsed: float) -> int:
        """Record programs of the corpus with their features, within a transaction.

        :param unit: that found them
        :returns: the number of new features
        """
        db = self.db
        for digest, fresh in kept:
            db.execute(
                "INSERT INTO programs (digest, unit, elapsed) VALUES (?, ?, ?)"
                " ON CONFLICT (digest) DO UPDATE SET unit = coalesce(unit, excluded.unit)",
                (digest, unit, elapsed),
            )
            (program,) = db.execute("SELECT id FROM programs WHERE digest = ?", (digest,)).fetchone()
            db.executemany(
                "INSERT INTO features (feature, program, elapsed, hits) VALUES (?, ?, ?, 1)"
                " ON CONFLICT (feature) DO UPDATE SET hits = hits + 1",
                [(feature, program, elapsed) for feature in fresh.features],
            )
        before = len(self.features)
        self.features.update(*(fresh.features for _, fresh in kept))
        return len(self.features) - before

    def newest(self) -> int:
        """Return the database id of the newest program of the corpus; 0 if it is empty."""
        (newest,) = self.db.execute("SELECT coalesce(max(id), 0) FROM programs").fetchone()
        return int(newest)

    def sync_with_folder(self, there: set[str], newest: int, elapsed: float) -> None:
        """Record programs that others put into the corpus; drop those that are gone.

        :param there: digests of all programs in the corpus
        :param newest: the result of `newest` before the corpus was read
        """
        with transaction(self.db):
            known = dict(self.db.execute("SELECT digest, id FROM programs"))
            new = [(digest, elapsed) for digest in sorted(there - known.keys())]
            self.db.executemany("INSERT INTO programs (digest, elapsed) VALUES (?, ?)", new)
            gone = [(number,) for digest, number in known.items() if digest not in there and number <= newest]
            self.db.executemany("DELETE FROM programs WHERE id = ?", gone)
            # SQLite gives the id of a deleted program to a later one. Older releases did not clear these references.
            self.db.execute("UPDATE features SET program = 0 WHERE program NOT IN (SELECT id FROM programs)")

    def new_bad_files(self) -> list[str]:
        """Return a line for each bad file found in the corpus since the last call; each file is reported only once."""
        lines: list[str] = []
        with transaction(self.db):
            for bad in self.corpus.aside:
                new = self.db.execute(
                    "INSERT OR IGNORE INTO aside VALUES (?, ?, ?, ?)", (bad.path, bad.reason, bad.moved, time.time())
                )
                if new.rowcount:
                    lines.append(str(bad))
        self.corpus.aside.clear()
        return lines
