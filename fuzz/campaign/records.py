# SPDX-License-Identifier: GPL-2.0-only
"""What is written into the database: sessions, outcomes of units, findings, statistics."""

import os
import socket
import sqlite3
import time
from dataclasses import dataclass
from typing import Final

from ..corpus import Corpus
from ..distribution import form
from ..engines.supervisor import remaining
from ..engines.unit import FoundRecord, Fresh, Result, Unit
from ..findings.accepted import Accepted
from .code import Code
from .database import transaction
from .settings import Settings
from .work import Notice, Outcome, resident_kib

PENDING: Final = "pending"
FILED: Final = "filed"
UNREPLAYED: Final = "unreplayed"


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

    :param state: `FILED` or `UNREPLAYED`
    :param file: of its smallest program; "" if it is not filed
    :param operations: of that program
    :param trouble: why a file could not be written; "" if it could; then the rest means nothing
    """

    pending: Pending
    state: str
    reason: str
    file: str
    operations: int
    trouble: str = ""


class Records:
    """Writes; every method is one transaction, and none counts anything twice.

    :param db: of the campaign
    :param corpus: of the campaign
    """

    def __init__(
        self, db: sqlite3.Connection, corpus: Corpus, settings: Settings, code: Code, accepted: Accepted
    ) -> None:
        self.db = db
        self.accepted = accepted
        self.corpus = corpus
        self.settings = settings
        self.versions: dict[Code, int] = {}
        self.features = {feature for (feature,) in db.execute("SELECT feature FROM features")}
        self.session = 0
        (self.earlier,) = db.execute("SELECT coalesce(sum(elapsed), 0) FROM sessions").fetchone()
        self.start = time.monotonic()
        self.code = code
        self.version = self.version_of(code)

    @property
    def elapsed(self) -> float:
        """Campaign time: seconds in which it ran, all sessions together."""
        return float(self.earlier) + time.monotonic() - self.start

    def version_of(self, code: Code) -> int:
        """The number of a version of the code, a new one if it is new."""
        if code not in self.versions:
            with transaction(self.db):
                self.db.execute(
                    "INSERT OR IGNORE INTO versions (since, candidate, reference, tool) VALUES (?, ?, ?, ?)",
                    (time.time(), *code.digests()),
                )
                (self.versions[code],) = self.db.execute(
                    "SELECT id FROM versions WHERE candidate = ? AND reference = ? AND tool = ?", code.digests()
                ).fetchone()
        return self.versions[code]

    def previous_code(self) -> Code | None:
        """What the last session ran on at its end; None for the first one."""
        row = self.db.execute(
            "SELECT candidate, reference, tool FROM sessions JOIN versions ON versions.id = version"
            " ORDER BY sessions.id DESC LIMIT 1"
        ).fetchone()
        return Code(*row) if row else None

    def begin(self, workers: int) -> None:
        """A session begins."""
        settings, now = self.settings, time.time()
        asked = (workers, " ".join(settings.engines), settings.scheduler)
        with transaction(self.db):
            added = self.db.execute(
                "INSERT INTO sessions (started, seen, version, workers, engines, scheduler, form, host, pid)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (now, now, self.version, *asked, form(), socket.gethostname(), os.getpid()),
            )
            self.session = added.lastrowid or 0
            self.db.execute("DELETE FROM workers")
            # The file may have changed since the last session.
            for kind, signature in self.db.execute("SELECT DISTINCT kind, signature FROM findings").fetchall():
                self.db.execute(
                    "UPDATE findings SET accepted = ? WHERE kind = ? AND signature = ?",
                    (self.accepted_text(kind, signature), kind, signature),
                )

    def accepted_text(self, kind: str, signature: str) -> str:
        """Why a finding is accepted; "" if it is not."""
        entry = self.accepted.match(kind, signature)
        return entry.text if entry is not None else ""

    def end(self, why: str) -> None:
        """The session ends."""
        with transaction(self.db):
            self.beat()
            self.db.execute("UPDATE sessions SET ended = ?, why = ? WHERE id = ?", (time.time(), why, self.session))
            self.db.execute("DELETE FROM workers")

    def beat(self) -> None:
        """Within a transaction: the session lives."""
        self.db.execute(
            "UPDATE sessions SET seen = ?, elapsed = ?, version = ? WHERE id = ?",
            (time.time(), time.monotonic() - self.start, self.version, self.session),
        )

    def show(self, workers: dict[str, tuple[int, int]], notices: dict[str, tuple[str, Notice]]) -> None:
        """Tell other processes what goes on.

        :param workers: name -> units and programs that it has done
        :param notices: name -> engine and state of the unit that it is at
        """
        rows = []
        for name in sorted(workers):
            engine, at = notices.get(name, ("", Notice(name, 0, 0, 0, 0.0, 0)))
            unit = at.number or None
            rows.append((name, unit, engine, at.programs, at.operations, at.seconds, at.kib, *workers[name]))
        with transaction(self.db):
            self.beat()
            self.db.execute("DELETE FROM workers")
            self.db.executemany("INSERT INTO workers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def begin_unit(self, number: int) -> None:
        """A unit is handed out."""
        with transaction(self.db):
            self.db.execute(
                "UPDATE units SET session = ?, begun = ?, attempts = attempts + 1 WHERE number = ? AND state = 'open'",
                (self.session, time.time(), number),
            )

    def finish(self, unit: Unit, outcome: Outcome, code: Code) -> list[Pending] | None:
        """Take in what came of a unit, once.

        What an interrupted unit has left to do becomes another unit.

        :param code: that it ran on
        :returns: what is to be replayed; None if the unit was taken in before
        :raises fuzz.corpus.CorpusError: a program cannot be written
        """
        version, state = self.version_of(code), outcome.state
        # Files first: what the database speaks of is there.
        kept = [(self.keep(each), each) for each in outcome.fresh if self.is_fresh(each)]
        with transaction(self.db):
            now, elapsed = time.time(), self.elapsed
            values: dict[str, object] = {
                "session": self.session,
                "version": version,
                "worker": outcome.worker,
                "begun": now - outcome.seconds,
                "ended": now,
                "judged": state.programs,
                "operations": state.operations,
                "seconds": state.seconds,
                "fresh": len(kept),
                "child_kib": outcome.child_kib,
                "worker_kib": outcome.worker_kib,
                "trouble": "; ".join(outcome.accidents),
            }
            columns = ", ".join(f"{name} = :{name}" for name in values)
            done = self.db.execute(
                f"UPDATE units SET state = 'done', {columns} WHERE number = :number AND state = 'open'",
                {**values, "number": outcome.number},
            )
            if not done.rowcount:
                return None
            # Its programs count in the totals from now on.
            self.db.execute("DELETE FROM workers WHERE unit = ?", (outcome.number,))
            features = sum(self.add_features(digest, each, outcome.number, elapsed) for digest, each in kept)
            self.add_totals(version, unit.engine, outcome, features)
            pending = [self.add_finding(found, unit, outcome, version, elapsed) for found in outcome.found]
            if outcome.interrupted:
                self.add_rest(unit, outcome)
        self.features.update(*(each.features for _, each in kept))
        return [each for each in pending if each is not None]

    def is_fresh(self, fresh: Fresh) -> bool:
        """Whether it still is: other units ran meanwhile."""
        return not self.features.issuperset(fresh.features)

    def keep(self, fresh: Fresh) -> str:
        """Have a program in the corpus; its digest."""
        return self.corpus.add(fresh.text)

    def add_features(self, digest: str, fresh: Fresh, number: int, elapsed: float) -> int:
        """A program of the corpus with its features.

        :returns: how many of these are new
        """
        db = self.db
        db.execute(
            "INSERT INTO programs (digest, unit, elapsed) VALUES (?, ?, ?)"
            " ON CONFLICT (digest) DO UPDATE SET unit = coalesce(unit, excluded.unit)",
            (digest, number, elapsed),
        )
        (program,) = db.execute("SELECT id FROM programs WHERE digest = ?", (digest,)).fetchone()
        (before,) = db.execute("SELECT count(*) FROM features").fetchone()
        db.executemany(
            "INSERT INTO features (feature, program, elapsed, hits) VALUES (?, ?, ?, 1)"
            " ON CONFLICT (feature) DO UPDATE SET hits = hits + 1",
            [(feature, program, elapsed) for feature in fresh.features],
        )
        (after,) = db.execute("SELECT count(*) FROM features").fetchone()
        return int(after - before)

    def add_totals(self, version: int, engine: str, outcome: Outcome, features: int) -> None:
        state = outcome.state
        self.db.execute("INSERT OR IGNORE INTO totals (version, engine) VALUES (?, ?)", (version, engine))
        self.db.execute(
            "UPDATE totals SET units = units + 1, programs = programs + ?, operations = operations + ?,"
            " seconds = seconds + ?, features = features + ? WHERE version = ? AND engine = ?",
            (state.programs, state.operations, outcome.seconds, features, version, engine),
        )

    def add_finding(
        self, found: FoundRecord, unit: Unit, outcome: Outcome, version: int, elapsed: float
    ) -> Pending | None:
        """Count a finding, and note its program for a replay unless a smaller one waits already."""
        db, number = self.db, outcome.number
        count = max(1, outcome.state.counts.get(found.key, 1))
        key = (found.kind, found.signature, version)
        accepted = self.accepted_text(found.kind, found.signature)
        db.execute(
            "INSERT INTO findings (kind, signature, version, state, count, unit, engine, elapsed, last_elapsed, reason,"
            " accepted) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (kind, signature, version)"
            " DO UPDATE SET count = count + excluded.count, last_elapsed = excluded.last_elapsed",
            (*key, PENDING, count, number, unit.engine, elapsed, elapsed, found.reason, accepted),
        )
        waiting = db.execute(
            "SELECT text FROM pending WHERE kind = ? AND signature = ? AND version = ?", key
        ).fetchall()
        if any(text.count("\n") <= found.text.count("\n") for (text,) in waiting):
            return None
        row = (*key, found.reason, found.at, found.number, unit.seed)
        cursor = db.execute(
            "INSERT INTO pending (kind, signature, version, reason, at, number, seed, unit, text)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*row, number, found.text),
        )
        return Pending(cursor.lastrowid or 0, *row, found.text)

    def add_rest(self, unit: Unit, outcome: Outcome) -> None:
        """What an interrupted unit did not get to, as another unit."""
        state = outcome.state
        rest = remaining(unit, Result(unit, state), unit.first - 1 + state.programs, "")
        if rest.programs:
            self.db.execute(
                "INSERT INTO units (number, state, engine, seed, first, programs, corpus, seen, planned)"
                " SELECT (SELECT max(number) + 1 FROM units), 'open', engine, ?, ?, ?, corpus, seen, ?"
                " FROM units WHERE number = ?",
                (rest.seed, rest.first, rest.programs, time.time(), outcome.number),
            )

    def fail_unit(self, number: int, trouble: str, for_good: bool) -> None:
        """A unit came to nothing: it is tried again, or given up."""
        with transaction(self.db):
            self.db.execute(
                "UPDATE units SET state = ?, trouble = ? WHERE number = ? AND state = 'open'",
                ("failed" if for_good else "open", trouble, number),
            )

    def waiting(self) -> list[Pending]:
        """What is to be replayed, in order."""
        rows = self.db.execute(
            "SELECT id, kind, signature, version, reason, at, number, seed, text FROM pending ORDER BY id"
        )
        return [Pending(*row) for row in rows]

    def file(self, replayed: Replayed) -> bool:
        """Note what came of a replay.

        :returns: whether the finding is filed, or known not to replay, from now on
        """
        pending = replayed.pending
        key = (pending.kind, pending.signature, pending.version)
        with transaction(self.db):
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

    def add_statistics(self, programs: int, operations: int) -> None:
        """A point of the curves.

        :param programs: judged in units that are not done yet, with so many operations
        """
        now = self.elapsed, time.time()
        with transaction(self.db):
            self.db.execute(
                "INSERT OR REPLACE INTO statistics SELECT ?, ?, ?, ?,"
                " (SELECT coalesce(sum(programs), 0) FROM totals) + ?,"
                " (SELECT coalesce(sum(operations), 0) FROM totals) + ?,"
                " (SELECT count(*) FROM programs), (SELECT count(*) FROM features),"
                " (SELECT count(*) FROM findings WHERE state != ?), ?",
                (*now, self.session, self.version, programs, operations, UNREPLAYED, resident_kib("self")),
            )

    def newest_program(self) -> int:
        """Of the corpus; 0 if it is empty."""
        (newest,) = self.db.execute("SELECT coalesce(max(id), 0) FROM programs").fetchone()
        return int(newest)

    def take_corpus(self, there: set[str], newest: int) -> None:
        """Take in what others put into the corpus, forget what is gone.

        :param there: digests of all programs in it
        :param newest: what `newest_program` was before somebody looked
        """
        with transaction(self.db):
            known = dict(self.db.execute("SELECT digest, id FROM programs"))
            new = [(digest, self.elapsed) for digest in sorted(there - known.keys())]
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
