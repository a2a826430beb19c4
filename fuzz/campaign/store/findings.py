# SPDX-License-Identifier: GPL-2.0-only
"""Findings in the database: counted at once, filed when a fresh process has shown them."""

import sqlite3
from dataclasses import dataclass
from typing import Final

from ...findings.accepted import Accepted
from ...findings.record import FindingRecord
from ...judging.finding import Finding
from .database import transaction

PENDING: Final = "pending"
FILED: Final = "filed"
UNREPLAYED: Final = "unreplayed"
# Not replayed: the code that it was found on is not there any more.
GONE: Final = "gone"

# A program is to be replayed while its code is there; one of older code until it is known that its code is gone.
# Smaller programs of filed findings are not missed.
TO_REPLAY: Final = f"(version = ? OR state NOT IN ('{FILED}', '{GONE}'))"


@dataclass(frozen=True, slots=True)
class Pending:
    """A finding whose program is to be replayed.

    :param id: of its row
    :param version: of the code that the program was found on
    :param record: the finding, and that program
    """

    id: int
    version: int
    record: FindingRecord


@dataclass(frozen=True, slots=True)
class Replayed:
    """The outcome of a replay.

    :param state: `FILED`, `UNREPLAYED` or `GONE`
    :param reason: of the finding, as the replay showed it, or with a note on why it did not
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


def pending(
    id: int,
    kind: str,
    signature: str,
    version: int,
    reason: str,
    at: int,
    known: str,
    number: int,
    seed: int,
    text: str,
) -> Pending:
    """Make the object of a row of the database."""
    return Pending(id, version, FindingRecord(Finding(kind, signature, reason, at, known), text, number, seed))


def _weight(record: FindingRecord) -> tuple[bool, int]:
    """Return a sort key like that of `FindingRecord.size`, of texts that this version may not be able to parse."""
    return bool(record.finding.known), record.text.count("\n")


class Findings:
    """The findings of a campaign.

    :param db: of the campaign
    :param accepted: those that somebody knows of
    """

    def __init__(self, db: sqlite3.Connection, accepted: Accepted) -> None:
        self.db = db
        self.accepted = accepted

    def accepted_text(self, kind: str, signature: str) -> str:
        """Return the reason why a finding is accepted; "" if it is not."""
        entry = self.accepted.match(kind, signature)
        return entry.text if entry is not None else ""

    def accept(self) -> None:
        """Match all, within a transaction, against the file of accepted findings, which may have changed."""
        for kind, signature in self.db.execute("SELECT DISTINCT kind, signature FROM findings").fetchall():
            self.db.execute(
                "UPDATE findings SET accepted = ? WHERE kind = ? AND signature = ?",
                (self.accepted_text(kind, signature), kind, signature),
            )

    def add(
        self, found: FindingRecord, count: int, unit: int, engine: str, seed: int, version: int, elapsed: float
    ) -> Pending | None:
        """Count a finding, within a transaction; its program is to be replayed, unless a better one waits already.

        A smaller program is better, but one that no known bug explains is better than all that one does.

        One whose code was gone is replayed again: that code may be back.

        :param count: programs of the unit that showed it
        :param unit: its number
        :returns: the program to be replayed now, if there is one
        """
        key = (*found.finding.key, version)
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
            if _weight(waiting.record) <= _weight(found):
                return waiting if state == GONE else None
        row = (*key, found.reason, found.finding.at, found.finding.known, found.number, seed)
        added = self.db.execute(
            "INSERT INTO pending (kind, signature, version, reason, at, known, number, seed, unit, text)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*row, unit, found.text),
        )
        return pending(added.lastrowid or 0, *row, found.text)

    def waiting(self, version: int) -> list[Pending]:
        """Return the programs to be replayed, in order, and those that are not yet known to be of code that is gone.

        :param version: of the code that is there
        """
        return self._pending(TO_REPLAY, (version,))

    def _pending(self, where: str, values: tuple[str | int, ...]) -> list[Pending]:
        rows = self.db.execute(
            "SELECT pending.id, kind, signature, version, pending.reason, at, known, number, seed, text"
            f" FROM pending JOIN findings USING (kind, signature, version) WHERE {where} ORDER BY pending.id",
            values,
        )
        return [pending(*row) for row in rows]

    def file(self, replayed: Replayed) -> bool:
        """Note the outcome of a replay.

        :returns: whether the finding is filed, known not to replay, or of code that is gone, from now on
        """
        asked = replayed.pending
        key = (*asked.record.finding.key, asked.version)
        with transaction(self.db):
            if replayed.state != GONE:
                self.db.execute("DELETE FROM pending WHERE id = ?", (asked.id,))
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

    def filed(self, version: int) -> list[tuple[Finding, str]]:
        """Return the findings that are filed, but for what is accepted, with their files.

        :param version: of the code
        """
        rows = self.db.execute(
            "SELECT kind, signature, reason, file FROM findings WHERE version = ? AND state = ? AND accepted = ''",
            (version, FILED),
        )
        return [(Finding(kind, signature, reason), file) for kind, signature, reason, file in rows]

    def refiled(self, finding: Finding, version: int, operations: int) -> None:
        """Note that the file of a finding has a program of so many operations by now.

        :param finding: as that shows it
        :param version: of the code that it was filed on
        """
        self.db.execute(
            "UPDATE findings SET reason = ?, operations = ? WHERE kind = ? AND signature = ? AND version = ?",
            (finding.reason, operations, *finding.key, version),
        )
