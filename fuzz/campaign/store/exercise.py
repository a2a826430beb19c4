# SPDX-License-Identifier: GPL-2.0-only
"""The share of the difference of two kernel trees that the units of a campaign ran, in its database."""

import json
import sqlite3
from dataclasses import asdict
from typing import Final

from candidate.tree.lines.counts import CodeCounts, from_wire
from candidate.tree.lines.difference import Exercise

from ...coverage.exercised import exercise
from .database import has_table, transaction

# Tables with the counters of judged programs, and of programs without a verdict.
_JUDGED: Final = "code_ran"
_UNJUDGED: Final = "code_unjudged"


class ExerciseRecords:
    """The counts of kernel tree code that the units done have run, and the share of the difference that they cover.

    :param db: of the campaign
    :param reference: name of the version that the candidate is compared with
    :param candidate: name of the version under test
    """

    def __init__(self, db: sqlite3.Connection, reference: str, candidate: str) -> None:
        self.db = db
        self.versions = reference, candidate
        # Versions of the code for which counters were added since their share was last recorded.
        self.stale: set[int] = set()

    def add(self, version: int, counts: CodeCounts, unjudged: CodeCounts) -> None:
        """Add the counters of a unit, within the transaction that marks the unit as done.

        :param version: of the code
        :param counts: of its judged programs
        :param unjudged: of its programs without a verdict
        """
        for table, more in ((_JUDGED, counts), (_UNJUDGED, unjudged)):
            known = self._counts(version, table)
            known.merge(more)
            rows = [(version, library, text) for library, text in known.to_wire().items() if library in more.by_library]
            self.db.executemany(f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?)", rows)
            if rows:
                self.stale.add(version)

    def note(self, version: int) -> None:
        """Record how much of the difference ran, if both sides are trees and the last record is stale."""
        if (
            version not in self.stale
            and self.db.execute("SELECT 1 FROM exercise WHERE version = ?", (version,)).fetchone()
        ):
            return
        judged, unjudged = self._counts(version, _JUDGED), self._counts(version, _UNJUDGED)
        found = exercise(*self.versions, judged, unjudged)
        self.stale.discard(version)
        if found is not None:
            with transaction(self.db):
                self.db.execute("INSERT OR REPLACE INTO exercise VALUES (?, ?)", (version, json.dumps(asdict(found))))

    def _counts(self, version: int, table: str) -> CodeCounts:
        """Return the summed counters of all units that are done, from one of the tables."""
        return from_wire(dict(self.db.execute(f"SELECT library, counters FROM {table} WHERE version = ?", (version,))))


def read_exercise(db: sqlite3.Connection, version: int) -> Exercise | None:
    """Return how much of the difference of two trees ran, as last recorded; None if it was never recorded.

    :param version: of the code
    """
    if not has_table(db, "exercise"):
        return None
    row = db.execute("SELECT found FROM exercise WHERE version = ?", (version,)).fetchone()
    return Exercise(**json.loads(row[0])) if row else None
