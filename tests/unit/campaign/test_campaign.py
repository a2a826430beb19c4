# SPDX-License-Identifier: GPL-2.0-only
"""Campaigns: the files they write, how they continue, the failures they survive."""

import errno
import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fuzz.campaign.campaign import open_campaign, run
from fuzz.campaign.store.code import Code, digests_of
from fuzz.campaign.store.database import CampaignError, connect_to_read
from fuzz.campaign.store.findings import FILED, Replayed
from fuzz.campaign.view.lines import NoOutput
from fuzz.campaign.view.overview import Overview
from fuzz.campaign.view.summary import summary
from fuzz.campaign.work import filing
from fuzz.campaign.work.plan import Planner
from fuzz.campaign.work.stopping import INTERRUPTED, TIME_OVER
from fuzz.findings.accepted import Accepted, Entry

from ..console import MISSING_CLEAN, ROOT
from ..processes import PATIENCE
from .campaigns import SETTINGS, Until, check, go_on


def test_a_file_being_written_at_the_end_is_recorded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filed, join, abandoned = filing.file, threading.Thread.join, threading.Event()

    def slowly(*arguments: Any) -> Replayed:
        replayed = filed(*arguments)
        assert abandoned.wait(PATIENCE)
        return replayed

    def joined(thread: threading.Thread, timeout: float | None = None) -> None:
        join(thread, timeout)
        if thread.name == "filer":
            # The time for replays is over.
            abandoned.set()

    monkeypatch.setattr(filing, "file", slowly)
    monkeypatch.setattr(threading.Thread, "join", joined)
    screen = Until(lambda overview: overview.waiting > 0 and any((folder / "findings").glob("*.s2")))
    _, overview = run(folder, SETTINGS, Accepted(), screen)
    files = {str(Path("findings", path.name)) for path in (folder / "findings").glob("*.s2")}
    assert files
    assert files == {found.file for found in overview.shown if found.state == FILED}


def test_the_files_of_a_campaign(done: tuple[Path, Overview]) -> None:
    folder, overview = done
    assert (overview.candidate, overview.reference, overview.seed) == ("rfc-v1", "original", 1)
    assert overview.programs > 0
    assert overview.operations > overview.programs
    assert overview.features > 100
    assert overview.corpus > len(list((ROOT / "corpus" / "seeds").glob("*.s2")))
    assert overview.worse
    files = {str(Path("findings", path.name)) for path in (folder / "findings").glob("*.s2")}
    assert files == {found.file for found in overview.shown if found.state == FILED}
    assert {found.kind for found in overview.shown} >= {"regression", "common"}
    assert not list(folder.rglob("*.tmp"))
    assert "ended: interrupted" in (folder / "log").read_text()
    with closing(connect_to_read(folder)) as db:
        (memory,) = db.execute("SELECT max(child_kib) FROM units").fetchone()
        assert 5_000 < memory < 1_000_000


def test_the_same_command_continues_the_campaign(begun: Overview, folder: Path) -> None:
    with open_campaign(folder, SETTINGS) as (db, _, corpus, seed):
        planner = Planner(db, corpus, SETTINGS, seed)
        last = planner.plan()
        left = planner.open()
    second = go_on(folder, begun.units + len(left))
    assert second.sessions == 2
    assert second.programs > begun.programs
    assert second.elapsed > begun.elapsed
    assert f"; resumes {len(left)} units in flight" in (folder / "log").read_text()
    with closing(connect_to_read(folder)) as db:
        assert db.execute("SELECT state FROM units WHERE number = ?", (last,)).fetchone() == ("done",)


def test_a_campaign_ends_when_its_time_is_over(folder: Path) -> None:
    why, overview = run(folder, replace(SETTINGS, seconds=0.5), Accepted(), NoOutput())
    assert why == TIME_OVER
    assert not overview.waiting
    check(folder)


def test_bad_files_in_the_corpus_are_set_aside(folder: Path) -> None:
    with open_campaign(folder, SETTINGS) as (*_, corpus, _):
        (good,) = (corpus.add(text) for text in (MISSING_CLEAN,))
        digests = corpus.digests()
    shard = folder / "corpus" / "00"
    shard.mkdir(exist_ok=True)
    (shard / ("00" * 32 + ".s2")).write_text("s2fuzz 9\nvm\n")
    (shard / "notes.txt").write_text("mine")
    corpus.path(digests[0]).write_bytes(bytes(100))
    screen = Until(lambda overview: overview.aside == 3 and overview.units)
    why, _ = run(folder, SETTINGS, Accepted(), screen)
    assert why == INTERRUPTED
    log = (folder / "log").read_text()
    assert "unknown version" in log
    assert "notes.txt" in log
    assert log.count("moved to") == 3
    assert good in corpus
    check(folder)


def test_results_of_changed_code_are_counted_separately(
    begun: Overview, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pretend that the sources have moved."""
    for module in ("fuzz.campaign.store.code", "fuzz.findings.digests"):
        monkeypatch.setattr(f"{module}.home_folder", lambda: Path("/nowhere"))
    second = go_on(folder, begun.units + 1)
    assert (begun.versions, second.versions) == (1, 2)
    assert "the code of rfc-v1 and original and s2fuzz has changed" in (folder / "log").read_text()
    assert sum(each.programs for each in second.by_engine) == second.programs - begun.programs


def test_a_unit_is_repeated_if_the_code_changes_meanwhile(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digests = iter("ab")

    def changing(reference: str, candidate: str) -> Code:
        return replace(digests_of(reference, candidate), tool=next(digests, "b"))

    monkeypatch.setattr("fuzz.campaign.work.worker.digests_of", changing)
    # The replaying processes never have the code of this worker.
    overview = go_on(folder, 1)
    log = (folder / "log").read_text()
    assert "unit 1: the code changed meanwhile; it is repeated" in log
    assert "the code of s2fuzz has changed" in log
    assert overview.versions == 2
    assert overview.gone
    assert not overview.shown
    assert f"{len(overview.gone)} findings of code that is gone, not replayed" in summary(overview)


def test_broken_engines_end_the_campaign(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(CampaignError, match=r"engine random: its process ended .*; use an engine that works"):
        run(folder, SETTINGS, Accepted(), NoOutput())


def test_accepted_findings_do_not_count(folder: Path) -> None:
    accepted = Accepted("known.toml", (Entry(1, "*", "all is well", "https://example.org/1"),))
    overview = go_on(folder, 1, accepted=accepted)
    assert overview.shown
    assert not overview.worse
    assert "accepted (see the file of accepted findings)" in summary(overview)
    assert not accepted.stale()


def full_database(monkeypatch: pytest.MonkeyPatch) -> None:
    real = sqlite3.connect

    def small(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = real(*arguments, **options)
        # SQLite's setting for a disk of this many pages.
        connection.execute("PRAGMA max_page_count = 40")
        return connection

    monkeypatch.setattr(sqlite3, "connect", small)


def full_file_system(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("fuzz.files.os.fsync", full)


@pytest.mark.parametrize("full", [full_database, full_file_system])
def test_a_full_disk_ends_the_campaign_with_one_line(full: Callable[[pytest.MonkeyPatch], None], folder: Path) -> None:
    with open_campaign(folder, SETTINGS):
        pass
    with pytest.MonkeyPatch.context() as patch:
        full(patch)
        wanted = "(writable directory with free space|folder that can be written, with room in it)"
        expected = f"use a {wanted}; the campaign has stopped"
        with pytest.raises(CampaignError, match=expected) as stopped:
            run(folder, SETTINGS, Accepted(), NoOutput())
    assert "full" in str(stopped.value) or "No space left on device" in str(stopped.value)
    assert not list(folder.rglob("*.tmp"))
    check(folder)
    go_on(folder, 2)


def test_a_campaign_that_cannot_start_processes_ends(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object, **__: object) -> None:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr("subprocess.Popen", none)
    said = "the process of engine random cannot be started: Resource temporarily unavailable; .*, 10 times in a row"
    with pytest.raises(CampaignError, match=said):
        run(folder, SETTINGS, Accepted(), NoOutput())
    check(folder)
