# SPDX-License-Identifier: GPL-2.0-only
"""A campaign on a Dask cluster of a scheduler and two workers, one of which is killed."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from fuzz.campaign.store.database import NAME

from ..console import ROOT
from ..processes import wait_for
from .campaigns import Running, check, family, kill, units_done


class Cluster:
    """Processes of Dask.

    :param folder: directory of their files
    """

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.stack = stack
        self.scheduler_file = folder / "scheduler.json"
        self.start("scheduler", "--port", "0")
        wait_for(lambda: bool(self.identity()), "a scheduler")
        self.address = str(self.identity()["address"])
        threads = ("--nthreads", "1", "--no-nanny", "--local-directory", str(folder))
        self.workers = [self.start("worker", *threads) for _ in range(2)]

    def identity(self) -> dict[str, object]:
        """Return the scheduler's description of itself, or an empty one until its file is complete."""
        try:
            return dict(json.loads(self.scheduler_file.read_text()))
        except (FileNotFoundError, json.JSONDecodeError):
            return {}

    def start(self, what: str, *arguments: str) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", f"distributed.cli.dask_{what}", "--host", "127.0.0.1", "--no-dashboard"]
        command += ["--scheduler-file", str(self.scheduler_file), *arguments]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "S2FUZZ_PURE": "1"}
        with open(self.folder / f"{what}.out", "ab") as out:
            process = subprocess.Popen(command, env=environment, cwd=self.folder, stdout=out, stderr=out)
        self.stack.callback(process.wait)
        self.stack.callback(process.kill)
        return process


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with ExitStack() as stack:
        yield Cluster(tmp_path, stack)


def workers_of(folder: Path) -> set[str]:
    """Return the workers that completed units."""
    with closing(sqlite3.connect(f"file:{folder / NAME}?mode=ro", uri=True)) as db:
        return {worker for (worker,) in db.execute("SELECT DISTINCT worker FROM units WHERE state = 'done'")}


def test_one_worker_continues_when_the_other_is_killed(tmp_path: Path, cluster: Cluster) -> None:
    folder = tmp_path / "campaign"
    campaign = Running(folder, "--scheduler", cluster.address, "--unit-seconds", "1")
    try:
        wait_for(lambda: units_done(folder) and len(workers_of(folder)) == 2, "both workers at work")
        cluster.workers[0].kill()
        cluster.workers[0].wait()
        done = units_done(folder)
        wait_for(lambda: units_done(folder) >= done + 4, "the rest goes on")
        assert campaign.process.poll() is None
        assert campaign.end(signal.SIGINT) == 130
    finally:
        kill(family(folder))
    check(folder)
    with closing(sqlite3.connect(folder / NAME)) as db:
        # The other worker completed the unit of the killed one.
        (left,) = db.execute("SELECT count(*) FROM units WHERE state = 'open'").fetchone()
        (failed,) = db.execute("SELECT count(*) FROM units WHERE state = 'failed'").fetchone()
    assert (left <= 2, failed) == (True, 0)
    assert {name.rpartition("-")[2] for name in workers_of(folder)} == {str(each.pid) for each in cluster.workers}
    assert "Traceback" not in campaign.out.read_text()
