# SPDX-License-Identifier: GPL-2.0-only
"""The part of the difference of two kernel trees that the units of a campaign ran, in its database."""

import json
import sqlite3
from dataclasses import asdict

from candidate.tree.lines.counts import CodeCounts, from_wire
from candidate.tree.lines.difference import Exercise

from ...coverage.exercised import exercise
from .database import has_table, transaction


class ExerciseRecords:
    """Adds up what the code of kernel trees ran in the units that are done, and notes what that is of the difference.

    :param db: of the campaign
    :param reference: name of the version that the candidate is compared with
    :param candidate: that of the version under test
    """

    def __init__(self, db: sqlite3.Connection, reference: str, candidate: str) -> None:
        self.db = db
        self.versions = reference, candidate
        # Of a version of the code, whether something was added since it was noted.
        self.stale: set[int] = set()

    def add(self, version: int, counts: CodeCounts) -> None:
        """Add the counters of a unit, within the transaction in which the unit becomes done.

        :param version: of the code
        """
        known = self._counts(version)
        known.merge(counts)
        rows = [(version, library, text) for library, text in known.to_wire().items() if library in counts.by_library]
        self.db.executemany("INSERT OR REPLACE INTO code_ran VALUES (?, ?, ?)", rows)
        if rows:
            self.stale.add(version)

    def note(self, version: int) -> None:
        """Note how much of the difference ran, if there are two trees and something was added since the last time."""
        if (
            version not in self.stale
            and self.db.execute("SELECT 1 FROM exercise WHERE version = ?", (version,)).fetchone()
        ):
            return
        found = exercise(*self.versions, self._counts(version))
        self.stale.discard(version)
        if found is not None:
            with transaction(self.db):
                self.db.execute("INSERT OR REPLACE INTO exercise VALUES (?, ?)", (version, json.dumps(asdict(found))))

    def _counts(self, version: int) -> CodeCounts:
        """The counters of all units that are done."""
        return from_wire(dict(self.db.execute("SELECT library, counters FROM code_ran WHERE version = ?", (version,))))


def read_exercise(db: sqlite3.Connection, version: int) -> Exercise | None:
    """Return how much of the difference of two trees ran, as it was noted last; None: nobody did.

    :param version: of the code
    """
    if not has_table(db, "exercise"):
        return None
    row = db.execute("SELECT found FROM exercise WHERE version = ?", (version,)).fetchone()
    return Exercise(**json.loads(row[0])) if row else None
