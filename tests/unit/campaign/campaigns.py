# SPDX-License-Identifier: GPL-2.0-only
"""Campaigns under test: processes that can be found and killed, and invariants of campaign directories."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from unittest.mock import patch

from fuzz.campaign.campaign import run
from fuzz.campaign.store.database import NAME, connect_to_read
from fuzz.campaign.store.findings import FILED
from fuzz.campaign.store.settings import Settings
from fuzz.campaign.view.overview import CampaignFinding, Overview
from fuzz.campaign.work.stopping import INTERRUPTED
from fuzz.corpus import Corpus
from fuzz.findings.accepted import Accepted
from fuzz.judging.finding import Finding
from fuzz.language.text import load

from ..console import ROOT
from ..processes import PATIENCE, interruptible, wait_for

# All processes of a campaign inherit this environment variable, so that none escapes.
MARK: Final = "S2FUZZ_TEST_CAMPAIGN"
SETTINGS: Final = Settings("rfc-v1", "original", workers=1, unit_seconds=1.0)
SIGNATURE: Final = "dcache: stage2_map_walker: table->block after a translation fault, not cleaned L2"
NOW: Final = 1_790_000_000.0
FILE: Final = (
    "findings/regression-dcache-stage2_map_walker-table-block-after-a-translation-fault-not-cleaned-L2-ee788e.s2"
)


def finding(kind: str, signature: str, file: str, first_at: float | None = NOW) -> CampaignFinding:
    reason = "block(2M)@0x100000000 exposes 508 frame(s) with host data that was never cleaned to memory"
    return CampaignFinding(
        Finding(kind, signature, reason), FILED, 1234567, "random", 7, 100.0, file, 12, "", 1, first_at
    )


class Running:
    """``s2fuzz campaign`` as a process.

    :param folder: directory of the campaign; its name marks the processes
    :param arguments: arguments of the command, besides the candidate
    """

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self.out = folder.with_suffix(".out")
        command = [sys.executable, "-m", "fuzz", "campaign", str(folder), "--candidate", "rfc-v1", *arguments]
        command = interruptible(command)
        environment = {**os.environ, "PYTHONPATH": str(ROOT), MARK: str(folder), "S2FUZZ_PURE": "1"}
        with open(self.out, "ab") as out:
            self.process = subprocess.Popen(
                command, env=environment, cwd=folder.parent, stdout=out, stderr=out, start_new_session=True
            )

    def engines(self) -> list[int]:
        """Return the processes in which an engine runs."""
        return family(self.folder, "fuzz.engines.engine_process")

    def replayers(self) -> list[int]:
        """Return the processes that replay programs."""
        return family(self.folder, "fuzz.findings.replay_server")

    def processes(self) -> list[int]:
        """Return all processes, including the coordinator."""
        return family(self.folder)

    def end(self, number: int) -> int:
        """Send the coordinator a signal and wait for its end.

        :returns: the exit status
        """
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def wait_for_orphans(self) -> None:
        """Wait until no process is left."""
        wait_for(lambda: not family(self.folder), "no process of a campaign that has ended")


def family(folder: Path, *words: str) -> list[int]:
    """Return the live processes of a campaign whose command line contains these words in order."""
    mark, found = f"{MARK}={folder}".encode(), []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark not in (path / "environ").read_bytes().split(b"\0"):
                continue
            command = (path / "cmdline").read_bytes().decode().split("\0")
            if all(word in command for word in words):
                found.append(int(path.name))
    return sorted(found)


def kill(pids: list[int]) -> None:
    """Send SIGKILL to the processes that still exist."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def units_done(folder: Path) -> int:
    """Return the number of completed units."""
    try:
        with closing(sqlite3.connect(f"file:{folder / NAME}?mode=ro", uri=True)) as db:
            (count,) = db.execute("SELECT count(*) FROM units WHERE state = 'done'").fetchone()
            return int(count)
    except sqlite3.OperationalError:
        return 0


def check(folder: Path) -> None:
    """Check the invariants of a campaign that is not running, whatever has happened to it."""
    with closing(connect_to_read(folder)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        units = db.execute("SELECT number, state FROM units ORDER BY number").fetchall()
        # No seed is skipped.
        assert [number for number, _ in units] == list(range(1, len(units) + 1))
        assert {state for _, state in units} <= {"open", "done"}
        # Each program is counted exactly once.
        sums = "SELECT coalesce(sum({}), 0), coalesce(sum(operations), 0), {} FROM {}"
        done = db.execute(sums.format("judged", "count(*)", "units WHERE state = 'done'")).fetchone()
        assert db.execute(sums.format("programs", "coalesce(sum(units), 0)", "totals")).fetchone() == done
        # The files named by the database exist and are complete.
        corpus = Corpus(folder / "corpus")
        for (digest,) in db.execute("SELECT digest FROM programs"):
            corpus.get(digest)
        assert not corpus.aside
        for kind, signature, state, file in db.execute("SELECT kind, signature, state, file FROM findings"):
            waiting = db.execute(
                "SELECT count(*) FROM pending WHERE kind = ? AND signature = ?", (kind, signature)
            ).fetchone()
            if state in ("filed", "gone"):
                load(folder / file)
            if state == "gone":
                assert waiting != (0,)
            elif state != "filed":
                assert state == "pending"
                assert waiting != (0,)


@dataclass
class Until:
    """A screen that sends Ctrl-C when a condition holds."""

    true: Callable[[Overview], object]
    done: bool = False

    def show(self, overview: Overview, news: list[str], last: list[str]) -> None:
        if not self.done and self.true(overview):
            self.done = True
            os.kill(os.getpid(), signal.SIGINT)

    def close(self) -> None:
        """Do nothing: the screen holds no resources."""


def go_on(folder: Path, units: int, settings: Settings = SETTINGS, accepted: Accepted | None = None) -> Overview:
    """Run a campaign until it has done this many units and replayed its findings.

    The unit that Ctrl-C interrupts may add findings. The replays of these may take their time, too.
    """
    screen = Until(lambda overview: overview.units >= units and not overview.waiting)
    with patch("fuzz.campaign.work.coordinator._REPLAY_TIMEOUT", PATIENCE):
        why, overview = run(folder, settings, accepted or Accepted(), screen)
    assert why == INTERRUPTED
    assert not overview.waiting
    check(folder)
    return overview
