# SPDX-License-Identifier: GPL-2.0-only
"""Campaigns: the files they write, the directories they refuse, the failures they survive."""

import errno
import io
import json
import os
import re
import shutil
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from fuzz.campaign.campaign import open_campaign, run
from fuzz.campaign.store.code import Code, digests_of
from fuzz.campaign.store.database import NAME, CampaignError, connect_to_read
from fuzz.campaign.store.findings import FILED, Replayed
from fuzz.campaign.store.settings import Settings
from fuzz.campaign.view.lines import Lines, NoOutput, answer, duration, progress_line, sparkline, state_of
from fuzz.campaign.view.overview import Overview
from fuzz.campaign.view.screen import RichScreen
from fuzz.campaign.view.summary import summary
from fuzz.campaign.work import filing
from fuzz.campaign.work.plan import Planner
from fuzz.campaign.work.stopping import INTERRUPTED, TIME_OVER
from fuzz.campaign.work.upkeep import Screen
from fuzz.command_line import cli
from fuzz.command_line.commands.campaign import screen
from fuzz.findings.accepted import Accepted, Entry
from fuzz.findings.witness import with_stamp

from ..console import MISSING_CLEAN, ROOT, refused
from ..console import Result as Refused
from ..pages import blocks
from ..processes import PATIENCE, wait_for
from .campaigns import SETTINGS, Running, check, family, kill, units_done


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
    """Run a campaign until it has done this many units and replayed its findings."""
    screen = Until(lambda overview: overview.units >= units and not overview.waiting)
    why, overview = run(folder, settings, accepted or Accepted(), screen)
    assert why == INTERRUPTED
    check(folder)
    return overview


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "campaign"


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Overview]:
    """Make a campaign that did a few units; tests must not change it."""
    folder = tmp_path_factory.mktemp("done") / "campaign"
    return folder, go_on(folder, 3)


@pytest.fixture
def begun(done: tuple[Path, Overview], folder: Path) -> Overview:
    """Copy that campaign to `folder`; return its overview."""
    shutil.copytree(done[0], folder)
    return done[1]


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


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (
            replace(SETTINGS, candidate="v5.14"),
            "--candidate v5.14, but this campaign was begun with --candidate rfc-v1",
        ),
        (
            replace(SETTINGS, reference="v5.12.9"),
            "--reference v5.12.9, but this campaign was begun with --reference original",
        ),
        (replace(SETTINGS, seed=2), "--seed 2, but this campaign was begun with --seed 1"),
    ],
)
def test_another_campaign_is_refused(done: tuple[Path, Overview], other: Settings, words: str) -> None:
    with pytest.raises(CampaignError, match=words):
        run(done[0], other, Accepted(), NoOutput())


@pytest.fixture
def campaign(capsys: pytest.CaptureFixture[str]) -> Callable[[Path], Refused]:
    """Return a function that runs the command on a directory that it should refuse."""

    def call(folder: Path) -> Refused:
        code = cli.main(["campaign", str(folder), "--candidate", "rfc-v1", "--hours", "0.0001", "--json"])
        out, err = capsys.readouterr()
        return code, out, "".join(line for line in err.splitlines(keepends=True) if "compiled build" not in line)

    return call


def test_directories_that_are_no_campaigns_are_refused(tmp_path: Path, campaign: Callable[[Path], Refused]) -> None:
    (tmp_path / "file").touch()
    refused(campaign(tmp_path / "file"), "file:", "; name a directory")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    refused(campaign(tmp_path / "other"), "'thesis.tex'", "; name the directory of a campaign")
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / NAME).write_text("no database\n" * 100)
    refused(campaign(tmp_path / "text"), "not a database", "; use an intact database")
    (tmp_path / "foreign").mkdir()
    with closing(sqlite3.connect(tmp_path / "foreign" / NAME)) as db:
        db.execute("CREATE TABLE x (y)")
    refused(campaign(tmp_path / "foreign"), "not a campaign's database")
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("place", ["/proc/campaign", "/sys/campaign"])
def test_read_only_directories_are_refused(place: str, campaign: Callable[[Path], Refused]) -> None:
    refused(campaign(Path(place)), place, "name a directory that can be created and written")


def test_an_engine_that_is_not_installed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("fuzz.engines.registry.find_spec", lambda name: None)
    code = cli.main(["campaign", str(tmp_path / "x"), "--candidate", "rfc-v1", "--engine", "hypothesis"])
    refused((code, *capsys.readouterr()), "--engine hypothesis: no such package; run `pip install")
    assert not (tmp_path / "x").exists()


def test_a_newer_campaign_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "newer"
    with open_campaign(folder, SETTINGS) as (db, *_):
        db.execute("PRAGMA user_version = 2")
    with pytest.raises(CampaignError, match="unknown version 2; allowed: 1"):
        run(folder, SETTINGS, Accepted(), NoOutput())


def test_a_second_run_of_a_campaign_is_refused(folder: Path) -> None:
    with open_campaign(folder, SETTINGS), pytest.raises(CampaignError, match="is already running"):
        run(folder, SETTINGS, Accepted(), NoOutput())


def test_no_campaign_has_no_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status", str(tmp_path)]) == 2
    assert "no campaign; name a directory" in capsys.readouterr().err


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


def test_status_from_another_process(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    running = Running(folder, "--workers", "1", "--unit-seconds", "0.5")
    try:
        wait_for(lambda: units_done(folder) >= 1, "a unit")
        assert cli.main(["status", str(folder), "--json"]) in (0, 1)
        answer = json.loads(capsys.readouterr().out)
        assert (answer["state"], answer["running"]) == ("running", True)
        assert answer["units"] >= 1
        assert cli.main(["status", str(folder)]) in (0, 1)
        assert "rfc-v1 against original, seed 1; running" in " ".join(capsys.readouterr().out.split())
        assert running.end(signal.SIGTERM) == 143
        running.wait_for_orphans()
    finally:
        kill(family(folder))
    before = sorted(os.listdir(folder))
    cli.main(["status", str(folder), "--json"])
    assert json.loads(capsys.readouterr().out)["state"] == "ended: interrupted"
    assert sorted(os.listdir(folder)) == before
    out = running.out.read_text()
    assert "session 1: rfc-v1 against original" in out
    assert "\x1b" not in out


def test_the_state_of_a_killed_campaign_is_shown(done: tuple[Path, Overview]) -> None:
    assert state_of(replace(done[1], why="")).startswith("was killed")


def terminal(out: io.StringIO) -> Console:
    """Make a terminal that can move its cursor, whatever terminal runs the tests."""
    return Console(file=out, force_terminal=True, width=100, _environ={"TERM": "xterm"})


@pytest.mark.parametrize("term", ["dumb", "unknown"])
def test_a_terminal_without_a_cursor_gets_lines(term: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert isinstance(screen(quiet=False), Lines)
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(screen(quiet=False), RichScreen)


@pytest.mark.parametrize("make", [Lines, lambda out: RichScreen(terminal(out))])
def test_screens_show_messages(make: Callable[[io.StringIO], Screen], done: tuple[Path, Overview]) -> None:
    out = io.StringIO()
    screen = make(out)
    screen.show(done[1], ["something happened"], ["12:00:00 something happened"])
    screen.close()
    assert "something happened" in out.getvalue()


def test_progress_lines(done: tuple[Path, Overview]) -> None:
    overview = replace(done[1], elapsed=3723.0, since_feature=65.0)
    line = progress_line(overview)
    assert line.startswith(f"1:02 h  {overview.programs} programs  ")
    assert "(the last 1:05 min ago)" in line
    assert [duration(seconds) for seconds in (3, 172800 + 7200)] == ["3 s", "2 d 2 h"]
    assert sparkline([(0.0, 0), (5.0, 4), (10.0, 8)], 4) == "▁▄▄█"
    assert sparkline([], 4) == ""


def shape(line: str) -> str:
    """Return a line without the parts that differ between campaigns."""
    line = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "DATE", line)
    line = re.sub(r"\d+:\d\d (min|h)|\d+ s\b", "TIME", line)
    line = re.sub(r"[▁▂▃▄▅▆▇█]+", "CURVE", line)
    line = re.sub(r" *\d[\d.]*", " #", line)
    return re.sub(r"# (program|session|unit|finding|operation)s?\b", r"# \1s", line).strip()


def test_the_result_of_a_real_kernel_is_shown(done: tuple[Path, Overview]) -> None:
    _, overview = done
    found = next(each for each in overview.shown if each.file)
    path = Path(overview.folder, found.file)
    before = path.read_text()
    assert "real kernel" not in summary(overview)
    try:
        path.write_text(with_stamp(before, "confirmed on Linux 6.12"))
        assert "real kernel: confirmed on Linux 6.12\n" in summary(overview)
        reals = {each["signature"]: each["real"] for each in answer(overview)["findings"]}
    finally:
        path.write_text(before)
    assert [name for name, real in reals.items() if real] == [found.finding.signature]


def test_the_documented_summary_matches_the_output(done: tuple[Path, Overview]) -> None:
    """Compare line by line, except numbers, and classes of findings that a longer campaign adds."""
    text = next(block.text for block in blocks(ROOT / "docs" / "campaigns.md") if block.language == "text")
    shown = [shape(line) for line in text.split("\n") if line.strip() not in ("", "...")]
    said = summary(replace(done[1], folder="rfc-v1.campaign", why=TIME_OVER, open_units=2, waiting=0))
    lines = [shape(line) for line in said.split("\n")]
    last = next(at for at, line in enumerate(shown) if line.startswith("# findings: # regression"))
    for line in shown[:last]:
        assert line in lines, line
    assert shown[last].startswith("# findings: # regression, # common")
    assert shown[last + 1].startswith("(regression: only the candidate is wrong; common:")
