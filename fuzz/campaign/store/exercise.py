# SPDX-License-Identifier: GPL-2.0-only
"""The share of the difference of two kernel trees that the units of a campaign ran, in its database."""

import json
import sqlite3
from dataclasses import asdict

from candidate.tree.lines.counts import CodeCounts, from_wire
from candidate.tree.lines.difference import Exercise

from ...coverage.exercised import exercise
from .database import has_table, transaction


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

    def add(self, version: int, counts: CodeCounts) -> None:
        """Add the counters of a unit, within the transaction that marks the unit as done.

        :param version: of the code
        """
        known = self._counts(version)
        known.merge(counts)
        rows = [(version, library, text) for library, text in known.to_wire().items() if library in counts.by_library]
        self.db.executemany("INSERT OR REPLACE INTO code_ran VALUES (?, ?, ?)", rows)
        if rows:
            self.stale.add(version)

    def note(self, version: int) -> None:
        """Record how much of the difference ran, if both sides are trees and the last record is stale."""
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
        """Return the summed counters of all units that are done."""
        return from_wire(dict(self.db.execute("SELECT library, counters FROM code_ran WHERE version = ?", (version,))))


def read_exercise(db: sqlite3.Connection, version: int) -> Exercise | None:
    """Return how much of the difference of two trees ran, as last recorded; None if it was never recorded.

    :param version: of the code
    """
    if not has_table(db, "exercise"):
        return None
    row = db.execute("SELECT found FROM exercise WHERE version = ?", (version,)).fetchone()
    return Exercise(**json.loads(row[0])) if row else None
