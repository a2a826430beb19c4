# SPDX-License-Identifier: GPL-2.0-only
"""Views of a campaign on 80 columns, new findings, and ends other than a time limit."""

import argparse
import io
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from fuzz.campaign.campaign import run
from fuzz.campaign.store.database import connect_to_read
from fuzz.campaign.view.lines import WIDTH, NoOutput, answer, date
from fuzz.campaign.view.overview import Overview
from fuzz.campaign.view.queries import read
from fuzz.campaign.view.screen import render
from fuzz.campaign.view.summary import summary
from fuzz.command_line.values import since, until
from fuzz.findings.accepted import Accepted

from .campaigns import FILE, NOW, SETTINGS


def words(text: str) -> set[str]:
    return set(text.replace("│", " ").split())


def test_a_summary_fits(overview: Overview) -> None:
    lines = summary(overview).splitlines()
    wide = [line for line in lines if len(line) > WIDTH]
    # Only the name of a file is wider; it is not cut.
    assert wide == [f"  {overview.folder}/{FILE}"]
    assert words(overview.findings[0].finding.reason) <= words("\n".join(lines))


def test_the_screen_fits(overview: Overview) -> None:
    out = io.StringIO()
    Console(file=out, width=WIDTH, force_terminal=False, color_system=None).print(render(overview, ["12:00 something"]))
    text = out.getvalue()
    assert max(map(len, text.splitlines())) <= WIDTH
    assert "…" not in text
    lines = [line.strip("│ ") for line in text.splitlines()]
    for name in (FILE, "findings/x.s2", overview.folder):
        assert name in "".join(lines), name
    # The long name of a worker continues in the next line of its column.
    heads = next(at for at, line in enumerate(lines) if line.startswith("worker"))
    assert "tcp://192.168.100.100:45678" * 2 in "".join(line.split(" ")[0] for line in lines[heads + 1 :])
    assert words(overview.findings[0].finding.signature) <= words(text)
    # The newest finding comes first; the common one is only counted.
    assert text.index("table->block") < text.index("lock still held")
    assert "2 regression   1 common" in text
    assert "kvm_age_hva_handler" not in text


def test_new_findings_are_reported(overview: Overview) -> None:
    text = summary(overview, NOW - 60)
    assert f"new since {date(NOW - 60)}: 1 finding; 2 from before" in text
    assert "not cleaned L2" in text
    assert "lock still held" not in text
    assert "lock still held" in summary(overview)
    assert [each["new"] for each in answer(overview, NOW - 60)["findings"]] == [True, False, False]


def test_values_of_since_and_until() -> None:
    assert abs(since("2h") - (time.time() - 7200)) < 5
    assert date(since("2026-01-31 12:00")) == "2026-01-31 12:00"
    assert until("idle=90s") == ("idle", 90.0)
    assert until("programs=5") == ("programs", 5)
    assert until("regression") == ("regression", 0.0)
    for wrong in ("", "idle", "idle=0s", "idle=2", "programs=x", "regression=1", "idle=1e9d"):
        with pytest.raises(argparse.ArgumentTypeError):
            until(wrong)
    for wrong in ("", "yesterday", "0h", "2026-13-01"):
        with pytest.raises(argparse.ArgumentTypeError):
            since(wrong)


def test_programs_and_findings_end_a_campaign(tmp_path: Path) -> None:
    folder, told = tmp_path / "x.campaign", tmp_path / "told"
    command = f'printf "%s|%s\\n" "$S2FUZZ_KIND" "$S2FUZZ_FILE" >>{told}'
    settings = replace(SETTINGS, seconds=120.0, until=(("regression", 0.0),), on_finding=command)
    before = time.time()
    why, overview = run(folder, settings, Accepted(), NoOutput())
    assert why.startswith("a regression was filed: ")
    lines = told.read_text().splitlines()
    assert any(line.startswith("regression|") for line in lines)
    for line in lines:
        assert Path(line.partition("|")[2]).is_file()
    # The dates are those of this test, whatever the campaign's clock says.
    assert all(each.first_at and before - 1 <= each.first_at <= time.time() for each in overview.shown)
    why, overview = run(folder, replace(SETTINGS, seconds=120.0, until=(("programs", 1.0),)), Accepted(), NoOutput())
    assert why.endswith("programs judged")
    with_db = connect_to_read(folder)
    assert read(with_db, folder).why == why
    with_db.close()


def test_idleness_ends_a_campaign(tmp_path: Path) -> None:
    settings = replace(SETTINGS, seconds=120.0, until=(("idle", 0.001),))
    why, _ = run(tmp_path / "x.campaign", settings, Accepted(), NoOutput())
    assert why == "no new feature for 0.001 s"
