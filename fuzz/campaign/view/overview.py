# SPDX-License-Identifier: GPL-2.0-only
"""A campaign at one moment, as its database has it: for the screen, the plain lines, and ``s2fuzz status``."""

import os
import socket
import sqlite3
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ...findings.found import CRASH, rank
from ...judging.differential import CLASSES, DIVERGENCE, REGRESSION
from ..store.database import snapshot
from ..store.findings import GONE, TO_REPLAY, UNREPLAYED

# Rates of "now" are over so many seconds.
_RECENT: Final = 60.0
_CURVE: Final = 60


@dataclass(frozen=True, slots=True)
class FindingRow:
    """A finding.

    :param state: pending, filed, unreplayed, or gone
    :param count: programs that showed it
    :param elapsed: campaign time of its first program, in seconds
    :param operations: of its smallest program; None until that is replayed
    :param accepted: why the file of known findings lives with it; "" if it does not
    """

    kind: str
    signature: str
    state: str
    count: int
    engine: str
    unit: int
    elapsed: float
    reason: str
    file: str
    operations: int | None
    accepted: str
    version: int


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """What a worker does.

    :param unit: that it is at; None: none, or not known
    :param seconds: that the unit took so far, in which so many programs were judged
    :param kib: memory of the engine's process
    """

    name: str
    unit: int | None
    engine: str
    programs: int
    operations: int
    seconds: float
    kib: int
    units_done: int
    programs_done: int


@dataclass(frozen=True, slots=True)
class EngineRow:
    """What an engine did on the newest code version."""

    engine: str
    units: int
    programs: int
    operations: int
    seconds: float
    features: int


@dataclass(frozen=True, slots=True)
class Overview:
    """See `read`; all but totals, curve and what is gone is of the newest code version.

    :param running: a coordinator is at work on this machine, or told so less than a minute ago
    :param why: why the last session ended; "" if it runs or was killed
    :param versions: how many code versions there were
    :param elapsed: campaign time in seconds
    :param programs: judged, all code versions together
    :param programs_now: a second, lately
    :param since_feature: seconds of campaign time since the last new feature; None: there was none
    :param curve: campaign time and number of features, not more than `_CURVE` points
    :param open_units: begun, not taken in yet
    :param waiting: programs that are to be replayed
    :param gone: findings that were not replayed before the code that they were found on was gone
    """

    folder: str
    candidate: str
    reference: str
    seed: int
    engines: str
    scheduler: str
    form: str
    running: bool
    why: str
    versions: int
    sessions: int
    elapsed: float
    programs: int
    operations: int
    programs_now: float
    operations_now: float
    units: int
    open_units: int
    failed_units: int
    corpus: int
    aside: int
    features: int
    since_feature: float | None
    curve: list[tuple[float, int]]
    findings: list[FindingRow]
    gone: list[FindingRow]
    waiting: int
    workers: list[WorkerRow]
    by_engine: list[EngineRow]

    @property
    def shown(self) -> list[FindingRow]:
        """The findings that count: not those that no fresh process showed, or was asked for."""
        return [each for each in self.findings if each.state not in (UNREPLAYED, GONE)]

    @property
    def unreplayed(self) -> list[FindingRow]:
        return [each for each in self.findings if each.state == UNREPLAYED]

    @property
    def counts(self) -> Counter[str]:
        """Findings by class, without those that are accepted."""
        return Counter(each.kind for each in self.shown if not each.accepted)

    @property
    def worse(self) -> bool:
        """Whether the candidate is worse, or differs for no known reason."""
        return bool(self.counts[REGRESSION] or self.counts[DIVERGENCE])

    @property
    def crashed(self) -> bool:
        """Whether our own code failed."""
        return bool(self.counts[CRASH])

    def by_class(self) -> str:
        """``6 regression, 11 common``; "none"."""
        counts = self.counts
        return ", ".join(f"{counts[kind]} {kind}" for kind in (*CLASSES, CRASH) if counts[kind]) or "none"


def read(db: sqlite3.Connection, folder: Path | str) -> Overview:
    """A campaign as it is."""
    with snapshot(db):
        return _read(db, str(folder))


def _read(db: sqlite3.Connection, folder: str) -> Overview:
    def one(query: str, *values: object) -> tuple[Any, ...]:
        row: tuple[Any, ...] | None = db.execute(query, values).fetchone()
        return row or ()

    settings = dict(db.execute("SELECT key, value FROM settings"))
    (versions,) = one("SELECT count(*) FROM versions")
    session = one(
        "SELECT id, seen, elapsed, ended, why, version, engines, scheduler, form, host, pid FROM sessions"
        " ORDER BY id DESC LIMIT 1"
    ) or (0, 0.0, 0.0, 0.0, "", 1, "random", "", "", "", 0)
    _, seen, _, ended, why, version, engines, scheduler, form, host, pid = session
    now = time.time()
    running = ended is None and alive(host, pid, now - seen)
    (elapsed,) = one("SELECT coalesce(sum(elapsed), 0.0) FROM sessions")
    elapsed += min(max(now - seen, 0.0), _RECENT) if running else 0.0
    workers = [WorkerRow(*row) for row in db.execute("SELECT * FROM workers ORDER BY name")] if running else []
    programs, operations = one("SELECT coalesce(sum(programs), 0), coalesce(sum(operations), 0) FROM totals")
    programs += sum(worker.programs for worker in workers)
    operations += sum(worker.operations for worker in workers)
    recent = one(
        "SELECT elapsed, programs, operations FROM statistics WHERE elapsed <= ? AND session = ?"
        " ORDER BY elapsed DESC LIMIT 1",
        *(elapsed - _RECENT, session[0]),
    ) or one(
        "SELECT elapsed, programs, operations FROM statistics WHERE session = ? ORDER BY elapsed LIMIT 1", session[0]
    )
    since = elapsed - recent[0] if recent and running else 0.0
    units = dict(db.execute("SELECT state, count(*) FROM units GROUP BY state"))
    (corpus,) = one("SELECT count(*) FROM programs")
    (aside,) = one("SELECT count(*) FROM aside")
    features, last = one("SELECT count(*), max(elapsed) FROM features")
    (waiting,) = one(
        f"SELECT count(*) FROM pending JOIN findings USING (kind, signature, version) WHERE {TO_REPLAY} AND state != ?",
        *(version, GONE),
    )
    findings = [
        FindingRow(*row)
        for row in db.execute(
            "SELECT kind, signature, state, count, engine, unit, elapsed, reason, file, operations, accepted, version"
            " FROM findings WHERE version = ? OR state = ? ORDER BY version",
            (version, GONE),
        )
    ]
    findings.sort(key=lambda row: rank(row.kind, row.signature))
    rows = db.execute(
        "SELECT engine, units, programs, operations, seconds, features FROM totals WHERE version = ? ORDER BY engine",
        (version,),
    )
    return Overview(
        folder=folder,
        candidate=settings.get("candidate", ""),
        reference=settings.get("reference", ""),
        seed=int(settings.get("seed", 0)),
        engines=engines,
        scheduler=scheduler,
        form=form,
        running=running,
        why=why if ended is not None else "",
        versions=versions,
        sessions=session[0],
        elapsed=elapsed,
        programs=programs,
        operations=operations,
        programs_now=max(0, programs - recent[1]) / since if since > 0 else 0.0,
        operations_now=max(0, operations - recent[2]) / since if since > 0 else 0.0,
        units=units.get("done", 0),
        open_units=units.get("open", 0),
        failed_units=units.get("failed", 0),
        corpus=corpus,
        aside=aside,
        features=features,
        since_feature=None if last is None else max(0.0, elapsed - last),
        curve=curve(db, elapsed, features),
        findings=[each for each in findings if each.version == version],
        gone=[each for each in findings if each.state == GONE],
        waiting=waiting,
        workers=workers,
        by_engine=[EngineRow(*row) for row in rows],
    )


def alive(host: str, pid: int, silent: float) -> bool:
    """Whether a coordinator that has not ended its session is there.

    :param silent: seconds since it told so
    """
    if host != socket.gethostname():
        return silent < _RECENT
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    # The number may be another process's by now.
    return silent < _RECENT


def curve(db: sqlite3.Connection, elapsed: float, features: int) -> list[tuple[float, int]]:
    """Features over time, in steps of the same length."""
    step = max(elapsed / _CURVE, 0.001)
    rows = db.execute(
        "SELECT max(elapsed), max(features) FROM statistics WHERE elapsed <= ? GROUP BY CAST(elapsed / ? AS INTEGER)"
        " ORDER BY 1",
        (elapsed, step),
    ).fetchall()
    return [*((float(at), int(count)) for at, count in rows), (elapsed, features)][-_CURVE:]
