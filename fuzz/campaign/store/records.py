# SPDX-License-Identifier: GPL-2.0-only
"""The records in the database: sessions, outcomes of units, statistics."""

import os
import socket
import sqlite3
import time
from collections.abc import Mapping
from typing import Final

from ...corpus import Corpus
from ...distribution import form
from ...engines.supervisor import remaining
from ...engines.unit import Result, Unit
from ...findings.accepted import Accepted
from ...processes.memory import resident_kib
from .code import Code
from .database import transaction
from .exercise import ExerciseRecords
from .findings import GONE, UNREPLAYED, Findings, Origin, Pending
from .outcomes import Notice, UnitOutcome
from .programs import Programs
from .refused import add_refused
from .settings import Settings

# Maximum number of points per curve: more than a page shows, and about 200 KiB however long a campaign runs.
MOST_POINTS: Final = 2400


class Records:
    """Writer of the records; every method is one transaction, and none counts anything twice.

    :param db: of the campaign
    :param corpus: of the campaign
    """

    def __init__(
        self, db: sqlite3.Connection, corpus: Corpus, settings: Settings, code: Code, accepted: Accepted
    ) -> None:
        self.db = db
        self.settings = settings
        rows = db.execute("SELECT id, candidate, reference, tool FROM versions")
        self.codes: dict[int, Code] = {number: Code(*digests) for number, *digests in rows}
        self.versions: dict[Code, int] = {each: number for number, each in self.codes.items()}
        self.programs = Programs(db, corpus)
        self.findings = Findings(db, accepted)
        self.exercise = ExerciseRecords(db, settings.reference, settings.candidate)
        self.session = 0
        (self.earlier,) = db.execute("SELECT coalesce(sum(elapsed), 0) FROM sessions").fetchone()
        self.start = time.monotonic()
        self.code = code
        self.version = self.version_of(code)

    @property
    def elapsed(self) -> float:
        """Campaign time: the seconds during which the campaign ran, over all sessions."""
        return float(self.earlier) + time.monotonic() - self.start

    def version_of(self, code: Code) -> int:
        """Return the number of a version of the code; a new version gets a new number."""
        if code not in self.versions:
            with transaction(self.db):
                self.db.execute(
                    "INSERT OR IGNORE INTO versions (since, candidate, reference, tool) VALUES (?, ?, ?, ?)",
                    (time.time(), *code.digests()),
                )
                (self.versions[code],) = self.db.execute(
                    "SELECT id FROM versions WHERE candidate = ? AND reference = ? AND tool = ?", code.digests()
                ).fetchone()
            self.codes[self.versions[code]] = code
        return self.versions[code]

    def previous_code(self) -> Code | None:
        """Return the code that the last session ran on at its end; None if there was no session."""
        row = self.db.execute(
            "SELECT candidate, reference, tool FROM sessions JOIN versions ON versions.id = version"
            " ORDER BY sessions.id DESC LIMIT 1"
        ).fetchone()
        return Code(*row) if row else None

    def begin(self, workers: int) -> None:
        """Begin a session."""
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
            self.findings.accept()

    def end(self, why: str) -> None:
        """End the session."""
        with transaction(self.db):
            self.beat()
            self.db.execute("UPDATE sessions SET ended = ?, why = ? WHERE id = ?", (time.time(), why, self.session))
            self.db.execute("DELETE FROM workers")

    def beat(self) -> None:
        """Record, within a transaction, that the session is alive."""
        self.db.execute(
            "UPDATE sessions SET seen = ?, elapsed = ?, version = ? WHERE id = ?",
            (time.time(), time.monotonic() - self.start, self.version, self.session),
        )

    def show(self, workers: Mapping[str, tuple[int, int]], notices: Mapping[str, tuple[str, Notice]]) -> None:
        """Write the state of the workers for other processes.

        :param workers: name -> number of units and of programs that it has done
        :param notices: name -> engine and state of its current unit
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
        """Record that a unit is handed out."""
        with transaction(self.db):
            self.db.execute(
                "UPDATE units SET session = ?, begun = ?, attempts = attempts + 1 WHERE number = ? AND state = 'open'",
                (self.session, time.time(), number),
            )

    def finish(self, unit: Unit, outcome: UnitOutcome, code: Code) -> list[Pending] | None:
        """Record the outcome of a unit, once.

        The rest of an interrupted unit becomes another unit.

        :param code: that it ran on
        :returns: the programs to replay; None if the outcome was recorded before
        :raises fuzz.corpus.CorpusError: a program cannot be written
        """
        version, state = self.version_of(code), outcome.state
        # Write files first: the database must not name a missing file.
        kept = self.programs.keep(outcome.fresh)
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
            # From now on, the totals include its programs.
            self.db.execute("DELETE FROM workers WHERE unit = ?", (outcome.number,))
            features = self.programs.add(kept, outcome.number, elapsed)
            self.add_totals(version, unit.engine, outcome, features)
            add_refused(self.db, version, state.refused)
            self.exercise.add(version, outcome.counts, outcome.unjudged)
            origin = Origin(outcome.number, unit.engine, unit.seed, version, elapsed)
            pending = [
                # Findings from before the interruption are recorded, and count with the rest of the unit.
                self.findings.add(found, state.counts.get(found.finding.title, 0), origin)
                for found in outcome.found
            ]
            if outcome.interrupted:
                self.add_rest(unit, outcome)
        return [each for each in pending if each is not None]

    def add_totals(self, version: int, engine: str, outcome: UnitOutcome, features: int) -> None:
        state = outcome.state
        self.db.execute("INSERT OR IGNORE INTO totals (version, engine) VALUES (?, ?)", (version, engine))
        self.db.execute(
            "UPDATE totals SET units = units + 1, programs = programs + ?, operations = operations + ?,"
            " seconds = seconds + ?, features = features + ? WHERE version = ? AND engine = ?",
            (state.programs, state.operations, outcome.seconds, features, version, engine),
        )

    def add_rest(self, unit: Unit, outcome: UnitOutcome) -> None:
        """Record the rest of an interrupted unit as another unit."""
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
        """Record that a unit failed; it is retried or given up."""
        with transaction(self.db):
            self.db.execute(
                "UPDATE units SET state = ?, trouble = ? WHERE number = ? AND state = 'open'",
                ("failed" if for_good else "open", trouble, number),
            )

    def add_statistics(self, programs: int, operations: int) -> None:
        """Add a point to the curves; above `MOST_POINTS`, drop every second point, so that old points are sparser.

        :param programs: judged in units that are not done yet, with *operations* operations
        """
        now = self.elapsed, time.time()
        with transaction(self.db):
            self.db.execute(
                "INSERT OR REPLACE INTO statistics SELECT ?, ?, ?, ?,"
                " (SELECT coalesce(sum(programs), 0) FROM totals) + ?,"
                " (SELECT coalesce(sum(operations), 0) FROM totals) + ?,"
                " (SELECT count(*) FROM programs), (SELECT count(*) FROM features),"
                " (SELECT count(*) FROM findings WHERE state NOT IN (?, ?)), ?",
                (*now, self.session, self.version, programs, operations, UNREPLAYED, GONE, resident_kib("self")),
            )
            (points,) = self.db.execute("SELECT count(*) FROM statistics").fetchone()
            if points > MOST_POINTS:
                # Keep the first point of each session, which gives its date: campaign time does not advance between
                # sessions.
                self.db.execute(
                    "DELETE FROM statistics WHERE elapsed IN (SELECT elapsed FROM (SELECT elapsed,"
                    " row_number() OVER (ORDER BY elapsed DESC) AS place,"
                    " row_number() OVER (PARTITION BY session ORDER BY elapsed) AS first FROM statistics)"
                    " WHERE place % 2 = 0 AND first > 1)"
                )
