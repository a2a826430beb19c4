# SPDX-License-Identifier: GPL-2.0-only
"""The corpus in the database: who brought a program, which features it was the first to show."""

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
        """Have those programs in the corpus that still show something new: other units ran meanwhile.

        :returns: these, with their digests
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
        """Within a transaction: note programs of the corpus with their features.

        :param unit: that brought them
        :returns: how many features are new
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
        """Of the corpus; 0 if it is empty."""
        (newest,) = self.db.execute("SELECT coalesce(max(id), 0) FROM programs").fetchone()
        return int(newest)

    def take(self, there: set[str], newest: int, elapsed: float) -> None:
        """Take in what others put into the corpus, forget what is gone.

        :param there: digests of all programs in it
        :param newest: what `newest` was before somebody looked
        """
        with transaction(self.db):
            known = dict(self.db.execute("SELECT digest, id FROM programs"))
            new = [(digest, elapsed) for digest in sorted(there - known.keys())]
            self.db.executemany("INSERT INTO programs (digest, elapsed) VALUES (?, ?)", new)
            gone = [(number,) for digest, number in known.items() if digest not in there and number <= newest]
            self.db.executemany("DELETE FROM programs WHERE id = ?", gone)

    def told_of(self) -> list[str]:
        """Bad files of the corpus that were met since this was asked last: a line for each, once and for all."""
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
