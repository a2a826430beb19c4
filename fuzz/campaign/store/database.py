# SPDX-License-Identifier: GPL-2.0-only
"""The SQLite file of a campaign.

Times are seconds since 1970; ``elapsed`` is campaign time: the seconds during which the campaign ran.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

NAME: Final = "campaign.sqlite"
# ``PRAGMA user_version``; other versions are refused.
VERSION: Final = 1
# ``PRAGMA application_id``: "s2fz".
APPLICATION: Final = 0x7332667A

# Survives a kill of any process; a crash of the machine loses the last units, each as a whole.
_MODES: Final = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"

_SCHEMA: Final = """
-- The settings that identify the campaign.
CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL);
-- Versions of the code under test: digests of the sources (fuzz.campaign.store.code).
CREATE TABLE versions (
    id INTEGER PRIMARY KEY, since REAL NOT NULL,
    candidate TEXT NOT NULL, reference TEXT NOT NULL, tool TEXT NOT NULL,
    UNIQUE (candidate, reference, tool)
);
-- One row per start of the command. ended: null while it runs, and still null if it was killed.
CREATE TABLE sessions (
    id INTEGER PRIMARY KEY, started REAL NOT NULL, seen REAL NOT NULL, elapsed REAL NOT NULL DEFAULT 0,
    ended REAL, why TEXT NOT NULL DEFAULT '', version INTEGER NOT NULL,
    workers INTEGER NOT NULL, engines TEXT NOT NULL, scheduler TEXT NOT NULL,
    form TEXT NOT NULL, host TEXT NOT NULL, pid INTEGER NOT NULL
);
-- Work units. state: open until the outcome is in the other tables, then done; or failed.
-- corpus: digests of the snapshot. seen: features with this id or a smaller one are not fresh to the unit.
CREATE TABLE units (
    number INTEGER PRIMARY KEY, state TEXT NOT NULL, engine TEXT NOT NULL, seed INTEGER NOT NULL,
    first INTEGER NOT NULL, programs INTEGER NOT NULL, corpus TEXT NOT NULL, seen INTEGER NOT NULL,
    planned REAL NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
    session INTEGER, version INTEGER, worker TEXT, begun REAL, ended REAL,
    judged INTEGER, operations INTEGER, seconds REAL, fresh INTEGER,
    child_kib INTEGER, worker_kib INTEGER, trouble TEXT NOT NULL DEFAULT ''
);
CREATE INDEX units_open ON units (state) WHERE state = 'open';
CREATE INDEX units_engine ON units (engine, state, number);
-- Sums over the units that are done.
CREATE TABLE totals (
    version INTEGER NOT NULL, engine TEXT NOT NULL, units INTEGER NOT NULL DEFAULT 0,
    programs INTEGER NOT NULL DEFAULT 0, operations INTEGER NOT NULL DEFAULT 0, seconds REAL NOT NULL DEFAULT 0,
    features INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (version, engine)
);
-- state: pending (not replayed yet), filed, unreplayed (did not replay in a fresh process),
-- or gone (not replayed: the code that it was found on no longer exists; its programs stay in pending).
-- count: number of programs that showed it. accepted: the reason in the file of accepted findings, or ''.
CREATE TABLE findings (
    kind TEXT NOT NULL, signature TEXT NOT NULL, version INTEGER NOT NULL,
    state TEXT NOT NULL, count INTEGER NOT NULL, unit INTEGER NOT NULL, engine TEXT NOT NULL,
    elapsed REAL NOT NULL, last_elapsed REAL NOT NULL,
    reason TEXT NOT NULL, file TEXT NOT NULL DEFAULT '', operations INTEGER, accepted TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (kind, signature, version)
);
-- Programs to be replayed before their finding is filed. known: the known bug that explains the finding, or ''.
CREATE TABLE pending (
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, signature TEXT NOT NULL, version INTEGER NOT NULL,
    reason TEXT NOT NULL, at INTEGER NOT NULL, number INTEGER NOT NULL, seed INTEGER NOT NULL,
    unit INTEGER NOT NULL, text TEXT NOT NULL, known TEXT NOT NULL DEFAULT ''
);
-- The corpus. unit: null for programs that another process added.
CREATE TABLE programs (id INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE, unit INTEGER, elapsed REAL NOT NULL);
-- program: the first one that showed the feature; 0: it is no longer in the corpus, and its id may belong to another
-- program. hits: number of programs of the corpus that showed it.
CREATE TABLE features (
    id INTEGER PRIMARY KEY, feature INTEGER NOT NULL UNIQUE, program INTEGER NOT NULL,
    elapsed REAL NOT NULL, hits INTEGER NOT NULL
);
CREATE INDEX features_rare ON features (hits, id);
-- Files in the folder of the corpus that are not programs of it.
CREATE TABLE aside (
    path TEXT NOT NULL, reason TEXT NOT NULL, moved TEXT NOT NULL, at REAL NOT NULL, PRIMARY KEY (path, reason, moved)
);
-- The state of the campaign over time.
CREATE TABLE statistics (
    elapsed REAL PRIMARY KEY, at REAL NOT NULL, session INTEGER NOT NULL, version INTEGER NOT NULL,
    programs INTEGER NOT NULL, operations INTEGER NOT NULL, corpus INTEGER NOT NULL, features INTEGER NOT NULL,
    findings INTEGER NOT NULL, coordinator_kib INTEGER NOT NULL
);
-- The workers of the running session. programs, operations and seconds: of the current unit so far.
CREATE TABLE workers (
    name TEXT PRIMARY KEY, unit INTEGER, engine TEXT NOT NULL, programs INTEGER NOT NULL, operations INTEGER NOT NULL,
    seconds REAL NOT NULL, kib INTEGER NOT NULL, units_done INTEGER NOT NULL, programs_done INTEGER NOT NULL
);
"""
# Tables and indexes added to databases of older releases.
_LATER: Final = """
-- How often judged programs of the units that are done ran the code of kernel trees, keyed by the path of a library.
-- counters: in the JSON form of candidate.tree.lines.counts.
CREATE TABLE IF NOT EXISTS code_ran (
    version INTEGER NOT NULL, library TEXT NOT NULL, counters TEXT NOT NULL, PRIMARY KEY (version, library)
);
-- The same for their programs without a verdict.
CREATE TABLE IF NOT EXISTS code_unjudged (
    version INTEGER NOT NULL, library TEXT NOT NULL, counters TEXT NOT NULL, PRIMARY KEY (version, library)
);
-- How much of the difference of two kernel trees ran: candidate.tree.lines.difference.Exercise as JSON.
CREATE TABLE IF NOT EXISTS exercise (version INTEGER PRIMARY KEY, found TEXT NOT NULL);
-- Programs without a verdict of the units that are done, keyed by what they needed that is not modelled.
CREATE TABLE IF NOT EXISTS refused (
    version INTEGER NOT NULL, reason TEXT NOT NULL, programs INTEGER NOT NULL, PRIMARY KEY (version, reason)
);
-- Filed findings for which the command of --on-finding has not begun.
CREATE TABLE IF NOT EXISTS untold (
    kind TEXT NOT NULL, signature TEXT NOT NULL, version INTEGER NOT NULL, PRIMARY KEY (kind, signature, version)
);
-- Indexes for the features that a unit has found, which determine the shares of engines.
CREATE INDEX IF NOT EXISTS programs_unit ON programs (unit);
CREATE INDEX IF NOT EXISTS features_program ON features (program);
"""
# Columns added to tables of older releases: table, column, definition.
_COLUMNS: Final = (("pending", "known", "TEXT NOT NULL DEFAULT ''"),)


class CampaignError(Exception):
    """A campaign cannot begin or continue; the message is one line: where, why, what to do."""


class DamagedError(sqlite3.DatabaseError):
    """A value in the database that nothing wrote there."""


def failure(path: Path, error: OSError | sqlite3.Error | ValueError) -> CampaignError:
    """Return the error for the user when the directory cannot be used.

    :param error: a ValueError: something in the database, or SQLite's message about it, cannot be decoded
    """
    name = getattr(error, "sqlite_errorname", "")
    missing = isinstance(error, sqlite3.Error) and str(error).startswith("no such ")
    unusable = ""
    if name == "SQLITE_NOTADB":
        unusable = "not a database"
    elif name == "SQLITE_CORRUPT" or missing or isinstance(error, (DamagedError, ValueError)):
        unusable = "the database is damaged"
    if unusable:
        whole = "an intact database, or a new directory (the programs in corpus/ and findings/ are text files)"
        return CampaignError(f"{path}: {unusable}; use {whole}")
    wrong = getattr(error, "strerror", None) or str(error)
    if name == "SQLITE_BUSY":
        wrong = "another program keeps it locked"
    return CampaignError(f"{path}: {wrong}; use a writable directory with free space")


def not_begun(folder: Path | str) -> CampaignError:
    """Return the error for a campaign that ended before its settings were stored."""
    wrong = "the campaign has not begun, because it was killed or its disk was full"
    return CampaignError(f"{folder}: {wrong}; free space there, and run its `s2fuzz campaign` command again")


def _text(data: bytes) -> str:
    """Decode a text of the database.

    :raises DamagedError: it is not UTF-8
    """
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise DamagedError(str(error)) from None


def _close(db: sqlite3.Connection) -> None:
    with suppress(sqlite3.Error):
        db.close()


@contextmanager
def _closed_on_failure(path: Path) -> Iterator[ExitStack]:
    """Yield a stack of cleanup callbacks that run only if the body fails.

    :raises CampaignError: SQLite fails
    """
    with ExitStack() as opened:
        try:
            yield opened
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise failure(path, error) from None
        opened.pop_all()


def connect(folder: Path) -> sqlite3.Connection:
    """Open the database, creating it if necessary, and check that it is a campaign's.

    :raises CampaignError: it is not a campaign's, is damaged, or cannot be written
    """
    path = folder / NAME
    with _closed_on_failure(path) as opened:
        # Only `transaction` begins transactions.
        db = sqlite3.connect(path, timeout=10, isolation_level=None)
        opened.callback(_close, db)
        db.text_factory = _text
        version, tables = _head(db)
        if not version and not tables:
            db.executescript(_MODES)
            marks = f"PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION};"
            db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} {marks} COMMIT;")
        else:
            _check(db, path, version)
            db.executescript(_MODES)
        db.executescript(_LATER)
        for table, column, kind in _COLUMNS:
            if not db.execute("SELECT 1 FROM pragma_table_info(?) WHERE name = ?", (table, column)).fetchone():
                db.execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")
    return db


def has_table(db: sqlite3.Connection, name: str) -> bool:
    """Tell whether a table exists: databases of older releases lack new tables until the campaign is resumed."""
    return db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (name,)).fetchone() is not None


def connect_to_read(folder: Path) -> sqlite3.Connection:
    """Open the database for reading, even while others write to it; nothing is changed.

    :raises CampaignError: there is none, it is not a campaign's, or it cannot be read
    """
    path = folder / NAME
    if not path.is_file():
        raise CampaignError(f"{folder}: no campaign; name a directory that `s2fuzz campaign` created")
    where = f"file:{quote(str(path.resolve()))}"
    log = path.with_name(f"{NAME}-wal")
    with _closed_on_failure(path) as opened:
        try:
            # SQLite makes a write-ahead log and its index even for readers. A connection that may write removes them
            # when it is the last one. A log that exists already belongs to a session that runs or was killed.
            mode = "ro" if log.exists() else "rw"
            db = sqlite3.connect(f"{where}?mode={mode}", uri=True, timeout=10, isolation_level=None)
            opened.callback(_close, db)
            db.execute("PRAGMA query_only = 1")
            version, tables = _head(db)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname.startswith("SQLITE_BUSY"):
                raise
            # These files cannot be made, as on a read-only file system. Then SQLite reads the database file alone.
            if log.exists() and log.stat().st_size:
                wrong = f"its latest records are in {log.name}, which cannot be read in a read-only directory"
                raise CampaignError(f"{path}: {wrong}; copy the directory to a writable one") from None
            db = sqlite3.connect(f"{where}?mode=ro&immutable=1", uri=True, isolation_level=None)
            opened.callback(_close, db)
            version, tables = _head(db)
        if not version and not tables:
            raise not_begun(folder)
        _check(db, path, version)
        db.text_factory = _text
    return db


@contextmanager
def reading(folder: Path) -> Iterator[sqlite3.Connection]:
    """Open the database as `connect_to_read` does, and close it after the body.

    :raises CampaignError: there is none, it is not a campaign's, or it cannot be read
    """
    db = connect_to_read(folder)
    try:
        yield db
    except (sqlite3.Error, ValueError) as error:
        raise failure(folder / NAME, error) from None
    finally:
        db.close()


def _head(db: sqlite3.Connection) -> tuple[int, int]:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return version, tables


def _check(db: sqlite3.Connection, path: Path, version: int) -> None:
    (application,) = db.execute("PRAGMA application_id").fetchone()
    if application != APPLICATION:
        raise CampaignError(f"{path}: not a campaign's database; name one that `s2fuzz campaign` created")
    if version != VERSION:
        raise CampaignError(f"{path}: unknown version {version}; allowed: {VERSION}")


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Commit everything written within, or nothing."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        # SQLite has already rolled back if the disk is full.
        with suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        raise


@contextmanager
def snapshot(db: sqlite3.Connection) -> Iterator[None]:
    """Make all reads within see the same state."""
    db.execute("BEGIN")
    try:
        yield
    finally:
        db.execute("COMMIT")
