# SPDX-License-Identifier: GPL-2.0-only
"""The queries of the database of a campaign that make up its overview."""

import os
import socket
import sqlite3
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

from ...engines.registry import DEFAULT
from ...findings.found import rank
from ...judging.finding import Finding
from ..store.database import not_begun, snapshot
from ..store.exercise import read_exercise
from ..store.findings import GONE, TO_REPLAY
from ..store.refused import read_refused
from ..store.shares import shares
from .overview import CampaignFinding, EngineRow, Overview, WorkerRow

# Current rates are averaged over this many seconds.
_RECENT: Final = 60.0
# Maximum number of points of the curve.
CURVE: Final = 60


class SessionRow(NamedTuple):
    """The last session of a campaign, with the columns of its row.

    :param id: 0: there was none
    :param seen: when it last reported, in seconds since 1970
    :param ended: when it ended; None: it runs or was killed
    :param version: of the code
    """

    id: int
    seen: float
    ended: float | None
    why: str
    version: int
    engines: str
    scheduler: str
    form: str
    host: str
    pid: int


class Work(NamedTuple):
    """The number of programs and operations judged over all code versions, and per second lately."""

    programs: int
    operations: int
    programs_now: float
    operations_now: float


def read(db: sqlite3.Connection, folder: Path | str) -> Overview:
    """Read the overview of a campaign.

    :raises CampaignError: it has no settings yet
    """
    with snapshot(db):
        return _read(db, str(folder))


def _read(db: sqlite3.Connection, folder: str) -> Overview:
    settings = dict(db.execute("SELECT key, value FROM settings"))
    if not settings:
        raise not_begun(folder)
    session, silent = last_session(db)
    version = session.version
    running = session.ended is None and alive(session.host, session.pid, silent)
    elapsed: float = one(db, "SELECT coalesce(sum(elapsed), 0.0) FROM sessions")[0]
    elapsed += min(max(silent, 0.0), _RECENT) if running else 0.0
    workers = [WorkerRow(*row) for row in db.execute("SELECT * FROM workers ORDER BY name")] if running else []
    work = work_done(db, session.id, elapsed, workers) if running else totals(db)
    units = dict(db.execute("SELECT state, count(*) FROM units GROUP BY state"))
    features, last = one(db, "SELECT count(*), max(elapsed) FROM features")
    found = findings(db, version)
    return Overview(
        folder=folder,
        candidate=settings["candidate"],
        reference=settings["reference"],
        seed=int(settings["seed"]),
        engines=session.engines,
        scheduler=session.scheduler,
        form=session.form,
        running=running,
        why=session.why if session.ended is not None else "",
        versions=one(db, "SELECT count(*) FROM versions")[0],
        sessions=session.id,
        elapsed=elapsed,
        programs=work.programs,
        operations=work.operations,
        programs_now=work.programs_now,
        operations_now=work.operations_now,
        units=units.get("done", 0),
        open_units=units.get("open", 0),
        failed_units=units.get("failed", 0),
        corpus=one(db, "SELECT count(*) FROM programs")[0],
        aside=one(db, "SELECT count(*) FROM aside")[0],
        features=features,
        since_feature=None if last is None else max(0.0, elapsed - last),
        curve=curve(db, elapsed, features),
        findings=[each for each in found if each.version == version],
        gone=[each for each in found if each.state == GONE],
        waiting=waiting(db, version),
        workers=workers,
        by_engine=engine_rows(db, version, session.engines.split()),
        exercise=read_exercise(db, version),
        refused=read_refused(db, version),
    )


def one(db: sqlite3.Connection, query: str, *values: object) -> tuple[Any, ...]:
    """Return the first row of a query; an empty one if there is none."""
    row: tuple[Any, ...] | None = db.execute(query, values).fetchone()
    return row or ()


def last_session(db: sqlite3.Connection) -> tuple[SessionRow, float]:
    """Return the last session, or a default one, and the seconds since it last reported."""
    query = f"SELECT {', '.join(SessionRow._fields)} FROM sessions ORDER BY id DESC LIMIT 1"
    session = SessionRow(*(one(db, query) or (0, 0.0, 0.0, "", 1, DEFAULT, "", "", "", 0)))
    return session, time.time() - session.seen


def alive(host: str, pid: int, silent: float) -> bool:
    """Tell whether the coordinator of an unfinished session is alive.

    :param silent: seconds since it last reported
    """
    if host != socket.gethostname():
        return silent < _RECENT
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    # The process id may have been reused.
    return silent < _RECENT


def totals(db: sqlite3.Connection) -> Work:
    """Return the work of the units that are done; no speed."""
    programs, operations = one(db, "SELECT coalesce(sum(programs), 0), coalesce(sum(operations), 0) FROM totals")
    return Work(programs, operations, 0.0, 0.0)


def work_done(db: sqlite3.Connection, session: int, elapsed: float, workers: list[WorkerRow]) -> Work:
    """Return the work of a campaign that runs, including the units in flight.

    :param session: number of the current session
    :param elapsed: campaign time in seconds
    """
    done = totals(db)
    programs = done.programs + sum(worker.programs for worker in workers)
    operations = done.operations + sum(worker.operations for worker in workers)
    # The latest point that is old enough, or else the first one of the session.
    query = "SELECT elapsed, programs, operations FROM statistics WHERE session = ?"
    recent = one(db, f"{query} AND elapsed <= ? ORDER BY elapsed DESC LIMIT 1", session, elapsed - _RECENT)
    recent = recent or one(db, f"{query} ORDER BY elapsed LIMIT 1", session)
    since = elapsed - recent[0] if recent else 0.0
    if since <= 0:
        return Work(programs, operations, 0.0, 0.0)
    return Work(programs, operations, max(0, programs - recent[1]) / since, max(0, operations - recent[2]) / since)


def findings(db: sqlite3.Connection, version: int) -> list[CampaignFinding]:
    """Return the findings of a code version, and those whose code is gone, the weightiest first."""
    rows = db.execute(
        "SELECT kind, signature, reason, state, count, engine, unit, elapsed, file, operations, accepted, version,"
        # Campaign time does not advance between sessions, so the point before is of the same session.
        " (SELECT at + findings.elapsed - past.elapsed FROM statistics AS past"
        " WHERE past.elapsed <= findings.elapsed ORDER BY past.elapsed DESC LIMIT 1)"
        " FROM findings WHERE version = ? OR state = ? ORDER BY version",
        (version, GONE),
    )
    found = [CampaignFinding(Finding(*row[:3]), *row[3:]) for row in rows]
    return sorted(found, key=lambda each: rank(each.finding))


def waiting(db: sqlite3.Connection, version: int) -> int:
    """Return the number of programs to be replayed.

    :param version: of the current code
    """
    pending = "pending JOIN findings USING (kind, signature, version)"
    (count,) = one(db, f"SELECT count(*) FROM {pending} WHERE {TO_REPLAY} AND state != ?", version, GONE)
    return int(count)


def engine_rows(db: sqlite3.Connection, version: int, engines: list[str]) -> list[EngineRow]:
    """Return the work of each engine on a code version.

    :param engines: of the current session
    """
    share = shares(db, engines)
    rows = db.execute(
        "SELECT engine, units, programs, operations, seconds, features FROM totals WHERE version = ? ORDER BY engine",
        (version,),
    )
    return [
        EngineRow(engine, units, programs, operations, seconds, features, share.get(engine))
        for engine, units, programs, operations, seconds, features in rows
    ]


def curve(db: sqlite3.Connection, elapsed: float, features: int) -> list[tuple[float, int]]:
    """Return the number of features over time, in steps of the same length."""
    step = max(elapsed / CURVE, 0.001)
    rows = db.execute(
        "SELECT max(elapsed), max(features) FROM statistics WHERE elapsed <= ? GROUP BY CAST(elapsed / ? AS INTEGER)"
        " ORDER BY 1",
        (elapsed, step),
    ).fetchall()
    return [*((float(at), int(count)) for at, count in rows), (elapsed, features)][-CURVE:]
