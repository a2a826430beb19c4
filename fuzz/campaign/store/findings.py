# SPDX-License-Identifier: GPL-2.0-only
"""Findings in the database: counted at once, filed once a fresh process has shown them."""

import sqlite3
from dataclasses import dataclass
from typing import Final, NamedTuple

from ...findings.accepted import Accepted
from ...findings.record import FindingRecord
from ...judging.finding import Finding
from .database import transaction

PENDING: Final = "pending"
FILED: Final = "filed"
UNREPLAYED: Final = "unreplayed"
# Not replayed: the code that it was found on no longer exists.
GONE: Final = "gone"

# Programs of the current code are to be replayed. So are programs of older code until it is known that this code is
# gone, except smaller programs of filed findings.
TO_REPLAY: Final = f"(version = ? OR state NOT IN ('{FILED}', '{GONE}'))"


@dataclass(frozen=True, slots=True)
class Pending:
    """A finding whose program is to be replayed.

    :param id: of its database row
    :param version: of the code that the program was found on
    :param record: the finding with that program
    """

    id: int
    version: int
    record: FindingRecord


@dataclass(frozen=True, slots=True)
class Replayed:
    """The outcome of a replay.

    :param state: `FILED`, `UNREPLAYED`, `GONE`, or `PENDING` if no process has replayed the program
    :param reason: of the finding, as the replay showed it, or with a note on why it did not
    :param file: of its smallest program; "" if it is neither filed nor gone
    :param operations: number of operations of that program
    :param trouble: why a file could not be written; the other fields are then meaningless; "" if it was written
    """

    pending: Pending
    state: str
    reason: str
    file: str
    operations: int
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class ToTell:
    """A filed finding for which the user's command is to run.

    :param version: of the code that it was filed on
    :param file: relative to the campaign's folder
    """

    finding: Finding
    version: int
    file: str


@dataclass(frozen=True, slots=True)
class Origin:
    """The place in a campaign where a finding was met.

    :param unit: number of the unit
    :param engine: of the unit
    :param seed: of the unit
    :param version: of the code
    :param elapsed: campaign time in seconds
    """

    unit: int
    engine: str
    seed: int
    version: int
    elapsed: float


class _Row(NamedTuple):
    """A row of the table ``pending``, without the number of the unit."""

    id: int
    kind: str
    signature: str
    version: int
    reason: str
    at: int
    known: str
    number: int
    seed: int
    text: str

    def pending(self) -> Pending:
        finding = Finding(self.kind, self.signature, self.reason, self.at, self.known)
        return Pending(self.id, self.version, FindingRecord(finding, self.text, self.number, self.seed))


def _weight(record: FindingRecord) -> tuple[bool, int]:
    """Return a sort key like `FindingRecord.size`, for texts that this version may be unable to parse."""
    return bool(record.finding.known), record.text.count("\n")


class Findings:
    """The findings of a campaign.

    :param db: of the campaign
    :param accepted: the entries of the user's file of accepted findings
    """

    def __init__(self, db: sqlite3.Connection, accepted: Accepted) -> None:
        self.db = db
        self.accepted = accepted

    def accepted_text(self, kind: str, signature: str) -> str:
        """Return the reason why a finding is accepted; "" if it is not."""
        entry = self.accepted.match(kind, signature)
        return entry.text if entry is not None else ""

    def accept(self) -> None:
        """Match all findings against the file of accepted findings, which may have changed; within a transaction."""
        for kind, signature in self.db.execute("SELECT DISTINCT kind, signature FROM findings").fetchall():
            self.db.execute(
                "UPDATE findings SET accepted = ? WHERE kind = ? AND signature = ?",
                (self.accepted_text(kind, signature), kind, signature),
            )

    def add(self, found: FindingRecord, count: int, origin: Origin) -> Pending | None:
        """Count a finding; its program is to be replayed, unless a better one waits already. Call within a transaction.

        A smaller program is better, but a program that no known bug explains is better than every explained one.

        A finding whose code was gone is replayed again, because that code may be back.

        :param count: number of programs of the unit that showed it
        :returns: the program to replay now, if there is one
        """
        key = (*found.finding.key, origin.version)
        seen = (count, origin.unit, origin.engine, origin.elapsed, origin.elapsed)
        self.db.execute(
            "INSERT INTO findings (kind, signature, version, state, count, unit, engine, elapsed, last_elapsed, reason,"
            " accepted) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (kind, signature, version)"
            " DO UPDATE SET count = count + excluded.count, last_elapsed = excluded.last_elapsed",
            (*key, PENDING, *seen, found.reason, self.accepted_text(*found.finding.key)),
        )
        (state,) = self.db.execute(
            "SELECT state FROM findings WHERE kind = ? AND signature = ? AND version = ?", key
        ).fetchone()
        for waiting in self._pending("kind = ? AND signature = ? AND version = ?", key):
            if _weight(waiting.record) <= _weight(found):
                return waiting if state == GONE else None
        finding = found.finding
        row = _Row(0, *key, found.reason, finding.at, finding.known, found.number, origin.seed, found.text)
        added = self.db.execute(
            f"INSERT INTO pending ({', '.join(_Row._fields[1:])}, unit) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*row[1:], origin.unit),
        )
        return row._replace(id=added.lastrowid or 0).pending()

    def waiting(self, version: int) -> list[Pending]:
        """Return the programs to replay, in order, including those of code that is not yet known to be gone.

        :param version: of the current code
        """
        return self._pending(TO_REPLAY, (version,))

    def _pending(self, where: str, values: tuple[str | int, ...]) -> list[Pending]:
        rows = self.db.execute(
            "SELECT pending.id, kind, signature, version, pending.reason, at, known, number, seed, text"
            f" FROM pending JOIN findings USING (kind, signature, version) WHERE {where} ORDER BY pending.id",
            values,
        )
        return [_Row(*row).pending() for row in rows]

    def file(self, replayed: Replayed, tell: bool = False) -> bool:
        """Record the outcome of a replay.

        :param tell: if the finding is filed now, the user's command is to run for it
        :returns: whether this changed the state of the finding
        """
        asked = replayed.pending
        key = (*asked.record.finding.key, asked.version)
        with transaction(self.db):
            if replayed.state != GONE:
                self.db.execute("DELETE FROM pending WHERE id = ?", (asked.id,))
            (before,) = self.db.execute(
                "SELECT state FROM findings WHERE kind = ? AND signature = ? AND version = ?", key
            ).fetchone()
            # One program that shows the finding is enough, whatever others showed.
            state = FILED if before == FILED else replayed.state
            if replayed.state == FILED or state != FILED:
                self.db.execute(
                    "UPDATE findings SET state = ?, reason = ?, file = ?, operations = ?"
                    " WHERE kind = ? AND signature = ? AND version = ?",
                    (state, replayed.reason, replayed.file, replayed.operations, *key),
                )
            if tell and state == FILED != before:
                self.db.execute("INSERT OR IGNORE INTO untold VALUES (?, ?, ?)", key)
        return bool(state != before)

    def untold(self) -> list[ToTell]:
        """Return the filed findings for which the user's command has not begun, except accepted ones."""
        rows = self.db.execute(
            "SELECT kind, signature, reason, version, file FROM untold JOIN findings USING (kind, signature, version)"
            " WHERE state = ? AND accepted = '' ORDER BY findings.rowid",
            (FILED,),
        )
        return [ToTell(Finding(*about), version, file) for *about, version, file in rows]

    def told(self, told: ToTell) -> None:
        """Record that the user's command has begun for a finding."""
        key = (*told.finding.key, told.version)
        self.db.execute("DELETE FROM untold WHERE kind = ? AND signature = ? AND version = ?", key)

    def filed(self, version: int) -> list[tuple[Finding, str]]:
        """Return the filed findings that are not accepted, with their files.

        :param version: of the code
        """
        rows = self.db.execute(
            "SELECT kind, signature, reason, file FROM findings WHERE version = ? AND state = ? AND accepted = ''",
            (version, FILED),
        )
        return [(Finding(kind, signature, reason), file) for kind, signature, reason, file in rows]

    def minimized(self, finding: Finding, version: int, operations: int) -> None:
        """Record that the file of a finding now has a program of *operations* operations.

        :param finding: as that program shows it
        :param version: of the code that it was filed on
        """
        self.db.execute(
            "UPDATE findings SET reason = ?, operations = ? WHERE kind = ? AND signature = ? AND version = ?",
            (finding.reason, operations, *finding.key, version),
        )
