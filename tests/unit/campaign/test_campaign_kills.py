# SPDX-License-Identifier: GPL-2.0-only
"""A campaign whose processes are killed at random loses nothing, counts nothing twice, and leaves no process behind."""

import random
import signal
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from fuzz.campaign.store.database import connect_to_read
from fuzz.engines.unit import Result, Unit

from ..processes import wait_for, wait_for_work
from ..run_here import run_here
from .campaigns import Running, check, family, kill, units_done

WORKERS = 2
ROUNDS = 7
COMMAND = ("--workers", str(WORKERS), "--unit-seconds", "0.7", "--seed", "3")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "killed"
    yield folder
    kill(family(folder))


def test_kills_of_every_kind(folder: Path) -> None:
    """Kill one engine, all engines and replaying processes, the coordinator: seven times each, 21 kills in all."""
    moments = random.Random(1)
    for _ in range(ROUNDS):
        before = units_done(folder)
        campaign = Running(folder, *COMMAND)
        wait_for(campaign.engines, "an engine at work")
        wait_for_work(campaign.processes, moments.random())
        kill(campaign.engines()[:1])
        wait_for_work(campaign.processes, moments.random())
        kill(campaign.engines() + campaign.replayers())
        wait_for_units(folder, before + 1)
        wait_for_work(campaign.processes, moments.random())
        assert campaign.process.poll() is None, campaign.out.read_text()
        campaign.end(signal.SIGKILL)
        campaign.wait_for_orphans()
        check(folder)
    # Only the last run completes more units; by then the coordinator handles the signal.
    before = units_done(folder)
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
    """Check that undisturbed runs of the same units find the same findings equally often."""
    whole: Counter[str] = Counter()
    least: Counter[str] = Counter()
    needed: set[str] = set()
    done = "SELECT engine, seed, first, judged, programs, trouble FROM units WHERE state = 'done'"
    for engine, seed, first, judged, programs, trouble in db.execute(done).fetchall():
        unit = Unit(engine, "original", "rfc-v1", seed, programs=programs, first=first)
        counts = counts_of(unit)
        whole.update(counts)
        if judged < programs and not trouble:
            # The unit was interrupted at the end.
            counts = counts_of(replace(unit, programs=judged))
        needed |= set(counts)
        # The counts of an engine's last moments before its kill are unknown.
        least.update({} if trouble else counts)
    found = dict(db.execute("SELECT kind || ' ' || signature, count FROM findings").fetchall())
    assert needed <= set(found) <= set(whole)
    assert all(least[key] <= count <= whole[key] for key, count in found.items())
    assert least


def counts_of(unit: Unit) -> dict[str, int]:
    """Return the findings of an undisturbed unit, with their counts."""
    result = Result(unit)
    if unit.programs:
        run_here(unit, result.record)
    return result.state.counts
