# SPDX-License-Identifier: GPL-2.0-only
"""Campaigns that the system, a signal or a kill disturbs lose nothing, and name the reason."""

import errno
import os
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from fuzz.campaign.campaign import open_campaign, run
from fuzz.campaign.store.database import CampaignError
from fuzz.campaign.store.findings import FILED, Pending, Replayed
from fuzz.campaign.view.lines import NoOutput
from fuzz.campaign.view.overview import Overview
from fuzz.campaign.work import filing
from fuzz.campaign.work.coordinator import Coordinator
from fuzz.campaign.work.filing import CheckedReplayer, FilerEndedError
from fuzz.campaign.work.hook import Hook
from fuzz.campaign.work.stopping import INTERRUPTED
from fuzz.corpus import Corpus
from fuzz.findings.accepted import Accepted
from fuzz.findings.found import CRASH
from fuzz.findings.replay import NOT_STARTED, Replayer
from fuzz.findings.store import Store
from fuzz.judging.finding import Finding
from fuzz.language.program import Program

from ..console import ROOT
from ..processes import PATIENCE
from .campaigns import SETTINGS, Until, check, go_on


def test_a_file_system_without_locks_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(fd: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fuzz.campaign.store.log.fcntl.flock", refuse)
    with pytest.raises(CampaignError, match="cannot lock a file: No locks available; use a directory on another"):
        run(folder, SETTINGS, Accepted(), NoOutput())


def test_a_corpus_gets_all_seeds_although_its_creation_was_interrupted(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add, added = Corpus.add, list[str]()

    def interrupted(corpus: Corpus, program: Program | str) -> str:
        if len(added) == 3:
            raise KeyboardInterrupt
        added.append(add(corpus, program))
        return added[-1]

    monkeypatch.setattr(Corpus, "add", interrupted)
    with pytest.raises(KeyboardInterrupt), open_campaign(folder, SETTINGS):
        pass
    monkeypatch.setattr(Corpus, "add", add)
    with open_campaign(folder, SETTINGS) as parts:
        assert len(parts.corpus) == len(list((ROOT / "corpus" / "seeds").glob("*.s2")))
    assert {path.name for path in folder.iterdir()} == {"campaign.sqlite", "corpus", "findings", "log"}


def test_ctrl_c_ends_the_last_replays(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the replays of a campaign whose other work is over take long."""
    wind_down, over = Coordinator.wind_down, threading.Event()

    def begin(coordinator: Coordinator) -> None:
        over.set()
        wind_down(coordinator)

    def slowly(store: Store, folder: Path, pending: Pending) -> Replayed:
        assert isinstance(store.replayer, CheckedReplayer)
        assert store.replayer.ending.wait(PATIENCE)
        raise FilerEndedError

    monkeypatch.setattr(Coordinator, "wind_down", begin)
    monkeypatch.setattr(filing, "file", slowly)
    interrupted = list[float]()

    def interrupt(overview: Overview) -> bool:
        if over.is_set():
            interrupted.append(time.monotonic())
        return over.is_set()

    why, overview = run(folder, replace(SETTINGS, until=(("programs", 1.0),)), Accepted(), Until(interrupt))
    assert overview.waiting
    assert why == INTERRUPTED
    assert time.monotonic() - interrupted[0] < 30.0


def test_findings_that_no_process_replays_wait_for_the_next_session(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(filing, "_RETRY_DELAY", 0.0)
        patched.setattr(Replayer, "shows", lambda *_: [Finding(CRASH, NOT_STARTED, "no memory")])
        screen = Until(lambda overview: "which the next session tries again" in (folder / "log").read_text())
        run(folder, SETTINGS, Accepted(), screen)
    check(folder)
    overview = go_on(folder, 2)
    assert {found.state for found in overview.shown} == {FILED}


def test_the_command_runs_later_for_findings_of_a_killed_session(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = folder.with_name("told")
    with_command = replace(SETTINGS, on_finding=f'echo "$S2FUZZ_KIND $S2FUZZ_SIGNATURE" >>{told}')
    with monkeypatch.context() as patched:
        # As if the session was killed before it ran the command.
        for method in ("tick", "close"):
            patched.setattr(Hook, method, lambda hook: None)
        overview = go_on(folder, 1, with_command)
    filed = sorted(f"{found.kind} {found.finding.signature}" for found in overview.shown)
    assert filed
    # Without the command nothing is lost.
    go_on(folder, 2)
    assert not told.exists()
    screen = Until(lambda _: told.exists() and len(told.read_text().splitlines()) >= len(filed))
    run(folder, with_command, Accepted(), screen)
    lines = told.read_text().splitlines()
    assert len(set(lines)) == len(lines)
    assert set(filed) <= set(lines)
