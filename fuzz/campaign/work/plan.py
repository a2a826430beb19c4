# SPDX-License-Identifier: GPL-2.0-only
"""The plan: chooses the next unit and records it before it begins."""

import hashlib
import json
import sqlite3
import time
from typing import Final

from ...corpus import Corpus
from ...engines.unit import Unit
from ...language.text import print_program
from ..store.database import transaction
from ..store.settings import Settings
from ..store.shares import next_engine

# For the first unit of an engine, programs per second that every machine can do; later, the maximum growth per unit.
_SLOW: Final = 3
_GROWTH: Final = 8
MAX_PROGRAMS: Final = 1_000_000
# Number of an engine's last units used to measure its speed.
_LAST: Final = 4
# Programs of the corpus that a unit starts from: up to _RARE with rare features, the rest recent ones.
SNAPSHOT: Final = 64
_RARE: Final = 32


def unit_seed(seed: int, number: int) -> int:
    """Return the seed of a unit, of 62 bits; campaigns with different seeds have different unit seeds."""
    return int.from_bytes(hashlib.sha256(f"{seed} {number}".encode()).digest()[:8]) >> 2


class Planner:
    """A planner of new units; it also restores units that were begun and did not end.

    :param db: of the campaign
    :param corpus: of the campaign
    :param seed: of the campaign
    """

    def __init__(self, db: sqlite3.Connection, corpus: Corpus, settings: Settings, seed: int) -> None:
        self.db = db
        self.corpus = corpus
        self.settings = settings
        self.seed = seed
        # Excludes engines that repeatedly failed.
        self.engines = list(settings.engines)

    def open(self) -> list[int]:
        """Return the numbers of the units that were begun before this session, in order."""
        rows = self.db.execute("SELECT number FROM units WHERE state = 'open' ORDER BY number")
        return [number for (number,) in rows]

    def plan(self) -> int:
        """Record the next unit.

        :returns: its number
        """
        with transaction(self.db):
            (number,) = self.db.execute("SELECT coalesce(max(number), 0) + 1 FROM units").fetchone()
            (seen,) = self.db.execute("SELECT coalesce(max(id), 0) FROM features").fetchone()
            engine = next_engine(self.db, self.engines)
            seed = unit_seed(self.seed, number)
            row = (number, engine, seed, self.budget(engine), json.dumps(self.snapshot()), seen, time.time())
            self.db.execute(
                "INSERT INTO units (number, state, engine, seed, first, programs, corpus, seen, planned)"
                " VALUES (?, 'open', ?, ?, 1, ?, ?, ?, ?)",
                row,
            )
        return int(number)

    def budget(self, engine: str) -> int:
        """Return the number of programs that take about the target time of a unit."""
        rows = self.db.execute(
            "SELECT judged, ended - begun, programs FROM units"
            " WHERE engine = ? AND state = 'done' AND judged > 0 ORDER BY number DESC LIMIT ?",
            (engine, _LAST),
        ).fetchall()
        if not rows:
            return max(1, int(_SLOW * self.settings.unit_seconds))
        judged: int = sum(row[0] for row in rows)
        seconds: float = sum(row[1] for row in rows)
        largest: int = max(row[2] for row in rows)
        wanted = int(judged / max(seconds, 0.001) * self.settings.unit_seconds)
        return max(1, min(wanted, _GROWTH * largest, MAX_PROGRAMS))

    def snapshot(self) -> list[str]:
        """Return the digests of the programs to start from."""
        rare = self.db.execute(
            "SELECT programs.digest FROM features JOIN programs ON programs.id = features.program"
            " ORDER BY features.hits, features.id DESC LIMIT ?",
            (_RARE * 8,),
        ).fetchall()
        digests = list(dict.fromkeys(digest for (digest,) in rare))[:_RARE]
        recent = self.db.execute("SELECT digest FROM programs ORDER BY id DESC LIMIT ?", (SNAPSHOT,)).fetchall()
        for (digest,) in recent:
            if len(digests) == SNAPSHOT:
                break
            if digest not in digests:
                digests.append(digest)
        return digests

    def engine(self, number: int) -> str:
        """Return the engine of a recorded unit."""
        (engine,) = self.db.execute("SELECT engine FROM units WHERE number = ?", (number,)).fetchone()
        return str(engine)

    def unit(self, number: int) -> Unit:
        """Return a recorded unit; programs that were removed from the corpus meanwhile are left out."""
        row = self.db.execute(
            "SELECT engine, seed, first, programs, corpus, seen FROM units WHERE number = ?", (number,)
        ).fetchone()
        engine, seed, first, programs, digests, seen = row
        features = self.db.execute("SELECT feature FROM features WHERE id <= ? ORDER BY id", (seen,))
        texts: list[str] = []
        for digest in json.loads(digests):
            try:
                texts.append(print_program(self.corpus.get(digest)))
            except KeyError:
                continue
        settings = self.settings
        return Unit(
            engine,
            settings.reference,
            settings.candidate,
            seed,
            programs=programs,
            first=first,
            corpus=tuple(texts),
            features=True,
            seen=tuple(feature for (feature,) in features),
        )
