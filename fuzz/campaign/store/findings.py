# SPDX-License-Identifier: GPL-2.0-only
"""Findings in the database: counted at once, filed when a fresh process has shown them."""

import sqlite3
from dataclasses import dataclass
from typing import Final

from ...engines.unit import FoundRecord
from ...findings.accepted import Accepted
from .database import transaction

PENDING: Final = "pending"
FILED: Final = "filed"
UNREPLAYED: Final = "unreplayed"
# Not replayed: the code that it was found on is not there any more.
GONE: Final = "gone"

# A program is asked for while its code is there; one of older code until it is known that its code is gone.
# Smaller programs of what is filed are not missed.
TO_REPLAY: Final = f"(version = ? OR state NOT IN ('{FILED}', '{GONE}'))"


@dataclass(frozen=True, slots=True)
class Pending:
    """A program that is to be replayed.

    :param id: of its row
    """

    id: int
    kind: str
    signature: str
    version: int
    reason: str
    at: int
    number: int
    seed: int
    text: str


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of a replay.

    :param state: `FILED`, `UNREPLAYED` or `GONE`
    :param file: of its smallest program; "" if it is neither filed nor gone
    :param operations: of that program
    :param trouble: why a file could not be written; "" if it could; then the rest means nothing
    """

    pending: Pending
    state: str
    reason: str
    file: str
    operations: int
    trouble: str = ""


class Findings:
    """The findings of a campaign.

    :param db: of the campaign
    :param accepted: those that somebody knows of
    """

    def __init__(self, db: sqlite3.Connection, accepted: Accepted) -> None:
        self.db = db
        self.accepted = accepted

    def accepted_text(self, kind: str, signature: str) -> str:
        """Why a finding is accepted; "" if it is not."""
        entry = self.accepted.match(kind, signature)
        return entry.text if entry is not None else ""

    def accept(self) -> None:
        """Within a transaction: hold all against the file of known findings, which may be another than before."""
        for kind, signature in self.db.execute("SELECT DISTINCT kind, signature FROM findings").fetchall():
            self.db.execute(
                "UPDATE findings SET accepted = ? WHERE kind = ? AND signature = ?",
                (self.accepted_text(kind, signature), kind, signature),
            )

    def add(
        self, found: FoundRecord, count: int, unit: int, engine: str, seed: int, version: int, elapsed: float
    ) -> Pending | None:
        """Within a transaction: count a finding; its program is to be replayed, unless a smaller one waits already.

        One whose code was gone is asked for again: that code may be back.

        :param count: programs of the unit that showed it
        :param unit: its number
        :returns: what is to be replayed now
        """
        key = (found.kind, found.signature, version)
        self.db.execute(
            "INSERT INTO findings (kind, signature, version, state, count, unit, engine, elapsed, last_elapsed, reason,"
            " accepted) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (kind, signature, version)"
            " DO UPDATE SET count = count + excluded.count, last_elapsed = excluded.last_elapsed",
            (*key, PENDING, count, unit, engine, elapsed, elapsed, found.reason, self.accepted_text(*key[:2])),
        )
        (state,) = self.db.execute(
            "SELECT state FROM findings WHERE kind = ? AND signature = ? AND version = ?", key
        ).fetchone()
        for waiting in self._pending("kind = ? AND signature = ? AND version = ?", key):
            if waiting.text.count("\n") <= found.text.count("\n"):
                return waiting if state == GONE else None
        row = (*key, found.reason, found.at, found.number, seed)
        added = self.db.execute(
            "INSERT INTO pending (kind, signature, version, reason, at, number, seed, unit, text)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*row, unit, found.text),
        )
        return Pending(added.lastrowid or 0, *row, found.text)

    def waiting(self, version: int) -> list[Pending]:
        """What is to be replayed, in order, and what is not yet known to be of code that is gone.

        :param version: of the code that is there
        """
        return self._pending(TO_REPLAY, (version,))

    def _pending(self, where: str, values: tuple[str | int, ...]) -> list[Pending]:
        rows = self.db.execute(
            "SELECT pending.id, kind, signature, version, pending.reason, at, number, seed, text"
            f" FROM pending JOIN findings USING (kind, signature, version) WHERE {where} ORDER BY pending.id",
            values,
        )
        return [Pending(*row) for row in rows]

    def file(self, replayed: Replayed) -> bool:
        """Note what came of a replay.

        :returns: whether the finding is filed, known not to replay, or of code that is gone, from now on
        """
        pending = replayed.pending
        key = (pending.kind, pending.signature, pending.version)
        with transaction(self.db):
            if replayed.state != GONE:
                self.db.execute("DELETE FROM pending WHERE id = ?", (pending.id,))
            (before,) = self.db.execute(
                "SELECT state FROM findings WHERE kind = ? AND signature = ? AND version = ?", key
            ).fetchone()
            # One program that shows it is enough, whatever others did.
            state = FILED if before == FILED else replayed.state
            if replayed.state == FILED or state != FILED:
                self.db.execute(
                    "UPDATE findings SET state = ?, reason = ?, file = ?, operations = ?"
                    " WHERE kind = ? AND signature = ? AND version = ?",
                    (state, replayed.reason, replayed.file, replayed.operations, *key),
                )
        return bool(state != before)
