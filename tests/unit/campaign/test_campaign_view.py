# SPDX-License-Identifier: GPL-2.0-only
"""Views of a campaign: its status, screens, progress lines and summary."""

import io
import json
import os
import re
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from fuzz.campaign.view.lines import Lines, answer, duration, progress_line, sparkline, state_of
from fuzz.campaign.view.overview import Overview
from fuzz.campaign.view.screen import RichScreen
from fuzz.campaign.view.summary import summary
from fuzz.campaign.work.stopping import TIME_OVER
from fuzz.campaign.work.upkeep import Screen
from fuzz.command_line import cli
from fuzz.command_line.commands.campaign import screen
from fuzz.findings.witness import with_stamp

from ..console import ROOT
from ..pages import blocks
from ..processes import wait_for
from .campaigns import Running, family, kill, units_done


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
    assert state_of(replace(done[1], why="")).startswith("was killed, or its disk was full")


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
