# SPDX-License-Identifier: GPL-2.0-only
"""Directories, settings and engines with which a campaign is refused."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from fuzz.campaign.campaign import open_campaign, run
from fuzz.campaign.store.database import NAME, CampaignError
from fuzz.campaign.store.settings import Settings
from fuzz.campaign.view.lines import NoOutput
from fuzz.campaign.view.overview import Overview
from fuzz.command_line import cli
from fuzz.findings.accepted import Accepted

from ..console import Result as Refused
from ..console import refused
from .campaigns import SETTINGS


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
