# SPDX-License-Identifier: GPL-2.0-only
"""Findings are replayed only on the code that showed them, even if the code changes in between."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from queue import SimpleQueue

import pytest

from fuzz.campaign.store.code import Code
from fuzz.campaign.store.database import connect
from fuzz.campaign.store.findings import FILED, GONE, PENDING, UNREPLAYED, Findings, Origin, Pending, Replayed
from fuzz.campaign.store.settings import settle
from fuzz.campaign.view.lines import answer
from fuzz.campaign.view.queries import read
from fuzz.campaign.view.summary import summary
from fuzz.campaign.work import filing
from fuzz.campaign.work.file_minimizing import MinimizedFile
from fuzz.campaign.work.filing import Filer, gone_path
from fuzz.files import write_together
from fuzz.findings import finding_files
from fuzz.findings.accepted import Accepted
from fuzz.findings.record import FindingRecord
from fuzz.findings.replay import Replayer
from fuzz.findings.store import TRIES
from fuzz.judging.finding import Finding
from fuzz.language.text import load, parse

from ..campaign.campaigns import SETTINGS
from ..processes import wait_for

KIND, SIGNATURE = "regression", "leak: f: x"
OLD, NEW = Code("old", "original", "tool"), Code("new", "original", "tool")
CODES = {1: OLD, 2: NEW}


def text(reads: int) -> str:
    return "s2fuzz 1\nvm\nslot a size=64K backing=anon\n" + "cpu0 read a+0\n" * reads


class Campaign:
    """The findings of a campaign and their filer, on code that a test may change.

    :param buggy: the code that shows the finding with any program
    """

    def __init__(self, folder: Path, db: sqlite3.Connection, buggy: Code) -> None:
        self.folder = folder
        self.db = db
        self.buggy = buggy
        self.code = OLD
        self.asked = 0
        # Called during a replay.
        self.meanwhile: Callable[[], object] = int
        self.findings = Findings(db, Accepted())
        self.told: SimpleQueue[Replayed | MinimizedFile] = SimpleQueue()
        (folder / "findings").mkdir()
        self.filer = Filer(folder / "findings", "original", "rfc-v1", self.told.put)

    def shows(self, replayer: Replayer, program: str, reference: str, candidate: str) -> list[Finding]:
        """Replace the method of `Replayer`."""
        self.asked += 1
        shown = [Finding(KIND, SIGNATURE, "seen again", 0)] if self.code == self.buggy else []
        self.meanwhile()
        return shown

    def found(self, version: int, reads: int) -> Pending | None:
        """Record that a unit found it on this version, with a program of this many operations."""
        record = FindingRecord(Finding(KIND, SIGNATURE, "why", 0), text(reads), 1)
        return self.findings.add(record, 1, Origin(1, "random", 1, version, 0.0))

    def replayed(self, pending: Pending | None) -> str:
        """Replay a program; return the state of its finding."""
        assert pending is not None
        self.filer.ask(pending, CODES[pending.version])
        replayed = self.replay()
        assert not replayed.trouble
        self.findings.file(replayed)
        self.filer.forget(replayed)
        assert not self.filer.waiting
        return replayed.state

    def replay(self) -> Replayed:
        """Return the next outcome of a replay."""
        told = self.told.get(timeout=60)
        assert isinstance(told, Replayed)
        return told

    def states(self) -> dict[int, str]:
        """Return the state of the finding on each version."""
        return dict(self.db.execute("SELECT version, state FROM findings"))

    def files(self) -> list[str]:
        return sorted(path.parent.name for path in self.folder.rglob("*.s2"))


@pytest.fixture
def campaign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Code], Campaign]]:
    with closing(connect(tmp_path)) as db:
        made: list[Campaign] = []

        def make(buggy: Code) -> Campaign:
            one = Campaign(tmp_path, db, buggy)
            made.append(one)
            monkeypatch.setattr(Replayer, "shows", lambda *arguments: one.shows(*arguments))
            monkeypatch.setattr(filing, "digests_of", lambda reference, candidate: one.code)
            return one

        yield make
        for each in made:
            each.filer.close(60)
            assert not each.filer.thread.is_alive()


def test_a_filed_finding_is_replayed_on_new_code(campaign: Callable[[Code], Campaign]) -> None:
    one = campaign(OLD)
    assert one.replayed(one.found(1, 1)) == FILED
    # The program is not smaller, so it is not replayed again on the same code.
    assert one.replayed(one.found(1, 1)) == FILED
    assert one.asked == 1
    one.code = NEW
    assert one.replayed(one.found(2, 1)) == UNREPLAYED
    assert one.states() == {1: FILED, 2: UNREPLAYED}


def test_a_finding_that_never_replayed_is_tried_on_new_code(campaign: Callable[[Code], Campaign]) -> None:
    one = campaign(NEW)
    for _ in range(TRIES + 1):
        assert one.replayed(one.found(1, 1)) == UNREPLAYED
    assert one.asked == TRIES
    one.code = NEW
    assert one.replayed(one.found(2, 1)) == FILED
    assert one.states() == {1: UNREPLAYED, 2: FILED}


@pytest.mark.parametrize("buggy", [OLD, NEW])
def test_a_pending_program_is_not_replayed_on_new_code(buggy: Code, campaign: Callable[[Code], Campaign]) -> None:
    one = campaign(buggy)
    one.found(1, 2)
    one.code = NEW
    # A session on the new code begins in this way.
    (waiting,) = one.findings.waiting(2)
    assert one.replayed(waiting) == GONE
    assert (one.asked, one.states()) == (0, {1: GONE})
    assert one.findings.waiting(2) == []
    # Its program is in the table and in a file.
    assert one.db.execute("SELECT text FROM pending").fetchall() == [(text(2),)]
    path = gone_path(one.folder / "findings", waiting)
    assert load(path) == parse(text(2))
    assert "not replayed: found on code version 1" in path.read_text()
    settle(one.db, str(one.folder), SETTINGS)
    one.db.execute(
        "INSERT INTO sessions (started, seen, ended, version, workers, engines, scheduler, form, host, pid)"
        " VALUES (0, 0, 0, 2, 1, '', '', '', '', 0)"
    )
    overview = read(one.db, one.folder)
    assert (overview.shown, overview.unreplayed, overview.waiting) == ([], [], 0)
    assert "1 finding of code that is gone, not replayed: findings/gone/" in summary(overview)
    (row,) = answer(overview)["gone"]
    assert (row["version"], row["state"], one.folder / row["file"]) == (1, GONE, path)
    # The same finding on the new code is independent of it.
    assert one.replayed(one.found(2, 1)) == (FILED if buggy == NEW else UNREPLAYED)
    assert one.states() == {1: GONE, 2: FILED if buggy == NEW else UNREPLAYED}
    assert path.is_file()


def test_a_replay_during_which_the_code_changes_has_no_verdict(campaign: Callable[[Code], Campaign]) -> None:
    one = campaign(OLD)
    one.meanwhile = lambda: setattr(one, "code", NEW)
    assert one.replayed(one.found(1, 1)) == GONE
    assert one.asked == 1
    assert one.states() == {1: GONE}
    assert one.files() == [GONE]


def test_a_queued_program_is_not_replayed_on_new_code(campaign: Callable[[Code], Campaign]) -> None:
    one = campaign(OLD)
    first, second = one.found(1, 2), one.found(1, 1)
    assert first is not None
    assert second is not None
    begun, go = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        go.wait(60)
        one.code = NEW

    one.meanwhile = wait
    one.filer.ask(first, OLD)
    assert begun.wait(60)
    one.filer.ask(second, OLD)
    # This one was asked for already.
    one.filer.ask(second, OLD)
    go.set()
    assert [one.replay().state for _ in range(2)] == [GONE, GONE]
    assert one.asked == 1
    assert one.filer.queue.empty()


def test_a_program_is_replayed_when_its_code_returns(campaign: Callable[[Code], Campaign]) -> None:
    one = campaign(OLD)
    pending = one.found(1, 1)
    assert one.found(1, 1) is None
    one.code = NEW
    assert one.replayed(pending) == GONE
    one.code = OLD
    assert one.findings.waiting(1) == [pending]
    # A unit that finds it again asks for the existing record.
    again = one.found(1, 2)
    assert again == pending
    assert one.replayed(again) == FILED
    assert one.files() == ["findings"]
    assert one.findings.waiting(1) == []


def test_smaller_programs_of_findings_of_old_code_are_not_replayed(campaign: Callable[[Code], Campaign]) -> None:
    one = campaign(OLD)
    assert one.replayed(one.found(1, 2)) == FILED
    one.found(1, 1)
    assert one.findings.waiting(2) == []
    assert one.states() == {1: FILED}


def test_the_text_is_kept_if_the_language_has_changed(campaign: Callable[[Code], Campaign]) -> None:
    one = campaign(OLD)
    record = FindingRecord(Finding(KIND, SIGNATURE, "why", 0), "s2fuzz 0\nold words\n", 1)
    pending = one.findings.add(record, 1, Origin(1, "random", 1, 1, 0.0))
    assert one.states() == {1: PENDING}
    one.code = NEW
    assert one.replayed(pending) == GONE
    (path,) = (one.folder / "findings" / GONE).iterdir()
    assert path.read_text().endswith("\ns2fuzz 0\nold words\n")


def test_a_thread_abandoned_in_a_replay_writes_nothing(campaign: Callable[[Code], Campaign]) -> None:
    one = campaign(OLD)
    go = threading.Event()
    one.meanwhile = lambda: go.wait(60)
    for signature in (SIGNATURE, "leak: g: x"):
        record = FindingRecord(Finding(KIND, signature, "why", 0), text(1), 1)
        pending = one.findings.add(record, 1, Origin(1, "random", 1, 1, 0.0))
        assert pending is not None
        one.filer.ask(pending, OLD)
    wait_for(lambda: one.asked, "a replay")
    one.filer.close(0)
    assert one.filer.thread.is_alive()
    go.set()
    one.filer.thread.join(60)
    assert not one.filer.thread.is_alive()
    assert (one.asked, one.told.empty(), one.files()) == (1, True, [])


def test_closing_waits_for_a_thread_that_writes(
    campaign: Callable[[Code], Campaign], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = campaign(OLD)
    pending = one.found(1, 1)
    assert pending is not None
    writes, go = threading.Event(), threading.Event()

    def slow(files: list[tuple[Path, str]]) -> list[OSError | None]:
        writes.set()
        # By then the closing thread waits here, or will do so.
        go.wait(60)
        return write_together(files)

    monkeypatch.setattr(finding_files, "write_together", slow)
    one.filer.ask(pending, OLD)
    assert writes.wait(60)
    closing_thread = threading.Thread(target=one.filer.close, args=(0,))
    closing_thread.start()
    wait_for(one.filer.ending.is_set, "the end")
    go.set()
    closing_thread.join(60)
    assert not one.filer.thread.is_alive()
    assert one.replay().state == FILED
    assert one.files() == ["findings"]


def test_an_internal_error_ends_the_thread_and_is_kept(campaign: Callable[[Code], Campaign]) -> None:
    """Check that a thread waiting for replays sees the failure and does not wait in vain."""

    def broken() -> None:
        raise RuntimeError("ours")

    one = campaign(OLD)
    one.meanwhile = broken
    pending = one.found(1, 3)
    assert pending is not None
    one.filer.ask(pending, OLD)
    one.filer.thread.join(60)
    assert isinstance(one.filer.failure, RuntimeError)
    assert one.filer.waiting
