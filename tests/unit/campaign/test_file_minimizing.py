# SPDX-License-Identifier: GPL-2.0-only
"""Programs of a campaign are filed as found and made smaller later; an interruption always leaves one complete file."""

import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Final

import pytest

from fuzz.campaign.store.code import Code
from fuzz.campaign.store.database import reading
from fuzz.campaign.store.findings import FILED, PENDING, Pending, Replayed
from fuzz.campaign.work import filing
from fuzz.campaign.work.file_minimizing import MinimizedFile, ToMinimize
from fuzz.campaign.work.filing import Filer
from fuzz.findings.found import CRASH, comments_of
from fuzz.findings.record import FindingRecord
from fuzz.findings.replay import LOST, NOT_STARTED, Replayer
from fuzz.findings.witness import with_stamp
from fuzz.judging.finding import Finding
from fuzz.language.text import load

from ..processes import wait_for
from .campaigns import Running, check, family, kill

KEY = ("regression", "leak: f: x")
OLD = Code("old", "original", "tool")
HEAD = "s2fuzz 1\nvm cpus=2 dic=on\nslot a size=64K backing=anon\n"

# Seconds. Programs are made smaller only while no replay waits, which is rare on a loaded machine.
LONG: Final = 240.0


class Filing:
    """A filer, and a candidate that shows a finding in every program with a read of a+0."""

    def __init__(self, folder: Path) -> None:
        self.code = OLD
        self.runs = 0
        # Called before each replay returns.
        self.meanwhile: Callable[[], object] = int
        self.told: SimpleQueue[Replayed | MinimizedFile] = SimpleQueue()
        (folder / "findings").mkdir()
        self.folder = folder
        self.filer = Filer(folder / "findings", "original", "rfc-v1", self.told.put)

    def shows(self, replayer: Replayer, program: str, reference: str, candidate: str) -> list[Finding]:
        """Replace the method of `Replayer`."""
        self.runs += 1
        self.meanwhile()
        return [Finding(*KEY, f"shown by {program.count('read')}", 0)] if "read a+0\n" in program else []

    def without_process(self, signature: str) -> list[Finding]:
        """Return the answer of a `Replayer` without a process."""
        self.runs += 1
        return [Finding(CRASH, signature, "no memory")]

    def filed(self, number: int = 1, reads: int = 6) -> ToMinimize:
        """File a program of this many operations."""
        record = FindingRecord(
            Finding(*KEY, "why", 0), HEAD + "cpu0 read a+4K\n" * (reads - 1) + "cpu1 read a+0\n", 7, 3
        )
        self.filer.ask(Pending(number, 1, record), OLD)
        replayed = self.told.get(timeout=60)
        assert isinstance(replayed, Replayed)
        assert replayed.state == FILED
        return ToMinimize(replayed.pending.record.finding, OLD, 1, replayed.file)

    def text(self, wanted: ToMinimize) -> str:
        return (self.folder / wanted.file).read_text()


@pytest.fixture
def one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Filing]:
    made = Filing(tmp_path)
    monkeypatch.setattr(Replayer, "shows", lambda *arguments: made.shows(*arguments))
    monkeypatch.setattr(filing, "digests_of", lambda reference, candidate: made.code)
    yield made
    made.filer.close(60)
    assert not made.filer.thread.is_alive()


@pytest.mark.parametrize("signature", [NOT_STARTED, LOST])
def test_a_replay_without_a_process_is_tried_again(
    one: Filing, signature: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filing, "_RETRY_DELAY", 0.0)
    monkeypatch.setattr(
        Replayer,
        "shows",
        lambda *arguments: one.shows(*arguments) if one.runs == 2 else one.without_process(signature),
    )
    one.filed()
    assert one.runs == 3


def test_a_replay_that_no_process_does_stays_pending(one: Filing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filing, "_RETRY_DELAY", 0.0)
    monkeypatch.setattr(Replayer, "shows", lambda *arguments: one.without_process(NOT_STARTED))
    one.filer.ask(Pending(1, 1, FindingRecord(Finding(*KEY, "why", 0), HEAD + "cpu0 read a+0\n", 7, 3)), OLD)
    replayed = one.told.get(timeout=60)
    assert isinstance(replayed, Replayed)
    assert (replayed.state, replayed.reason) == (PENDING, f"not judged again: {NOT_STARTED}: no memory")
    assert not any(path.is_file() for path in (one.folder / "findings").rglob("*"))


def test_a_filed_program_becomes_smaller(one: Filing) -> None:
    wanted = one.filed()
    before = one.text(wanted)
    (one.folder / wanted.file).write_text(with_stamp(before, "confirmed by Linux"))
    one.filer.minimize_later(wanted)
    minimized = one.told.get(timeout=60)
    assert isinstance(minimized, MinimizedFile)
    assert (minimized.operations, minimized.how, minimized.trouble) == (1, "6 operations to 1", "")
    assert minimized.finding.reason == "shown by 1"
    program = load(one.folder / wanted.file)
    assert (len(program.operations), program.vm.cpus) == (1, 1)
    comments, old = comments_of(one.text(wanted)), comments_of(before)
    assert comments.pop("minimized") == "6 operations to 1"
    assert comments.pop("real") == "confirmed by Linux"
    assert comments.pop("reason") == "shown by 1" != old.pop("reason")
    assert comments.pop("at") != old.pop("at")
    assert comments == old
    # The program is not made smaller again, even after a restart.
    runs = one.runs
    one.filer.minimize_later(wanted)
    again = one.told.get(timeout=60)
    assert isinstance(again, MinimizedFile)
    assert (again.operations, again.how, one.runs) == (1, "", runs)
    # A larger program does not replace it.
    one.filed(2, 5)
    assert len(load(one.folder / wanted.file).operations) == 1


def test_replays_go_first_and_keep_the_progress_of_minimising(one: Filing) -> None:
    wanted = one.filed()
    enough, go = threading.Event(), threading.Event()

    def wait() -> None:
        if one.runs == 5:
            enough.set()
            go.wait(60)

    one.meanwhile = wait
    one.filer.minimize_later(wanted)
    assert enough.wait(60)
    pending = Pending(9, 1, FindingRecord(Finding(*KEY, "why", 0), HEAD + "cpu0 read a+0\n" * 9, 8, 3))
    one.filer.ask(pending, OLD)
    go.set()
    first, second = (one.told.get(timeout=60) for _ in range(2))
    assert isinstance(first, Replayed)
    assert isinstance(second, MinimizedFile)
    assert first.operations < 6
    assert second.how == "6 operations to 1"
    assert comments_of(one.text(wanted))["minimized"] == second.how


@pytest.mark.parametrize("end", ["close", "code"])
def test_an_end_during_minimising_leaves_the_file(one: Filing, end: str) -> None:
    wanted = one.filed()
    before = one.text(wanted)

    def stop() -> None:
        if one.runs == 4:
            if end == "close":
                one.filer.ending.set()
            else:
                one.code = Code("new", "original", "tool")

    one.meanwhile = stop
    one.filer.minimize_later(wanted)
    wait_for(lambda: one.runs >= 4, "the run that ends it")
    one.filer.close(60)
    assert one.told.empty()
    assert one.text(wanted) == before
    assert [path.name for path in (one.folder / "findings").rglob("*") if path.is_file()] == [Path(wanted.file).name]


def test_edited_and_removed_files_are_left_alone(one: Filing) -> None:
    wanted = one.filed()
    path = one.folder / wanted.file
    for change in (lambda: path.write_text("nonsense"), path.unlink):
        change()
        one.filer.minimize_later(wanted)
        wait_for(one.filer.queue.empty, "the thread")
    runs = one.runs
    one.filer.close(60)
    assert one.told.empty()
    assert one.filer.failure is None
    assert one.runs == runs
    assert not path.exists()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "shrinking"
    yield folder
    kill(family(folder))


def minimized(folder: Path) -> set[str]:
    """Return the files of fully minimised findings; a half-written file would have no signature."""
    said = {path.name: comments_of(path.read_text()) for path in (folder / "findings").glob("*.s2")}
    assert all("signature" in each for each in said.values())
    return {name for name, each in said.items() if each.get("minimized", "so far").count("so far") == 0}


def test_a_campaign_that_is_killed_while_minimising(folder: Path) -> None:
    """Check that each finding then has a complete program, and that the next session makes the programs small."""
    command = ("--workers", "1", "--unit-seconds", "1", "--until", "programs=1000000")
    campaign = Running(folder, *command)
    wait_for(lambda: minimized(folder), "a finding that is minimised", LONG)
    files = set(folder.glob("findings/*.s2"))
    kill(campaign.engines() + campaign.replayers())
    campaign.end(signal.SIGKILL)
    campaign.wait_for_orphans()
    check(folder)
    assert files <= set(folder.glob("findings/*.s2"))
    done = minimized(folder)
    campaign = Running(folder, *command)
    wait_for(lambda: minimized(folder) > done, "one more", LONG)
    assert campaign.end(signal.SIGINT) == 130, campaign.out.read_text()
    check(folder)
    with reading(folder) as db:
        rows = db.execute("SELECT file, operations FROM findings WHERE state = ?", (FILED,)).fetchall()
    small = {file: operations for file, operations in rows if Path(file).name in done}
    assert small
    for file, operations in small.items():
        assert len(load(folder / file).operations) == operations
    assert "minimised: regression" in (folder / "log").read_text()
