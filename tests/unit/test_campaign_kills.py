# SPDX-License-Identifier: GPL-2.0-only
"""A campaign whose processes are killed at random loses nothing, counts nothing twice, leaves nothing behind."""

import random
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fuzz.campaign.database import connect_to_read
from fuzz.engines.drivers import run_here
from fuzz.engines.unit import Result, Unit

from .campaigns import Running, check, family, kill, units_done, wait_for

WORKERS = 2
ROUNDS = 7
COMMAND = ("--workers", str(WORKERS), "--unit-seconds", "0.7", "--seed", "3")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "killed"
    yield folder
    kill(family(folder))


def test_kills_of_every_kind(folder: Path) -> None:
    """An engine, all engines with what replays, the coordinator: seven times each, 21 in all."""
    moments = random.Random(1)
    for _ in range(ROUNDS):
        before = units_done(folder)
        campaign = Running(folder, *COMMAND)
        wait_for(campaign.engines, "an engine at work")
        time.sleep(moments.random())
        kill(campaign.engines()[:1])
        time.sleep(moments.random())
        kill(campaign.engines() + campaign.replayers())
        wait_for_units(folder, before + 1)
        time.sleep(moments.random())
        assert campaign.process.poll() is None, campaign.out.read_text()
        campaign.end(signal.SIGKILL)
        campaign.wait_for_orphans()
        check(folder)
    campaign = Running(folder, *COMMAND)
    wait_for_units(folder, before + 3)
    assert campaign.end(signal.SIGINT) == 130, campaign.out.read_text()
    campaign.wait_for_orphans()
    assert "Traceback" not in campaign.out.read_text()
    check(folder)
    with closing(connect_to_read(folder)) as db:
        (repeated,) = db.execute("SELECT coalesce(sum(attempts - 1), 0) FROM units WHERE attempts > 1").fetchone()
        assert repeated <= ROUNDS * WORKERS
        sessions = db.execute("SELECT count(*), count(ended) FROM sessions").fetchone()
        assert sessions == (ROUNDS + 1, 1)
        check_findings(db)


def wait_for_units(folder: Path, number: int) -> None:
    wait_for(lambda: units_done(folder) >= number, f"{number} units that are done")


def check_findings(db: sqlite3.Connection) -> None:
    """The same units, undisturbed, find what was found, as often."""
    least: Counter[str] = Counter()
    most: Counter[str] = Counter()
    done = "SELECT engine, seed, first, judged, programs, trouble FROM units WHERE state = 'done'"
    for engine, seed, first, judged, programs, trouble in db.execute(done).fetchall():
        # Of the last moments of an engine that is killed it is not known what they counted.
        number = programs if trouble else judged
        result = Result(Unit(engine, "original", "rfc-v1", seed, programs=number, first=first))
        run_here(result.unit, result.take)
        most.update(result.state.counts)
        if not trouble:
            least.update(result.state.counts)
    rows = db.execute("SELECT kind || ' ' || signature, count FROM findings").fetchall()
    assert {key for key, _ in rows} == set(most)
    for key, count in rows:
        assert least[key] <= count <= most[key], key
    assert least
