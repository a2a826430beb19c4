# SPDX-License-Identifier: GPL-2.0-only
"""An entry of known-findings.toml: its author and reason are shown with its finding everywhere."""

import json
from pathlib import Path

import pytest

from fuzz.campaign.campaign import open_campaign
from fuzz.campaign.store.code import digests_of
from fuzz.campaign.store.database import reading
from fuzz.campaign.store.records import Records
from fuzz.campaign.store.settings import Settings
from fuzz.campaign.view.queries import read
from fuzz.campaign.view.screen import render
from fuzz.findings.accepted import Accepted, load_accepted

from ..console import MISSING_CLEAN, in_process

SIGNATURE = "dcache: stage2_map_walker: table->block after a translation fault, not cleaned L2"
WORDS = "v2 moves it (A. Reader, https://lore.kernel.org/x)"
KNOWN = '[[finding]]\npattern = "regression *"\nreason = "v2 moves it"\nwho = "A. Reader"\nlink = "https://lore.kernel.org/x"\n'
SETTINGS = Settings("rfc-v1", "original")


@pytest.fixture(autouse=True)
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("known-findings.toml").write_text(KNOWN)
    Path("x.s2").write_text(MISSING_CLEAN)


def folded(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize(
    "command",
    [
        ("run", "x.s2", "--candidate", "rfc-v1"),
        ("report", "x.s2", "--candidate", "rfc-v1"),
        ("report", "--markdown", "x.s2", "--candidate", "rfc-v1"),
        ("fuzz", "--candidate", "rfc-v1", "--programs", "8", "--workers", "1", "--no-minimize"),
        ("gate", "--candidate", "rfc-v1", "--programs", "8", "--workers", "1"),
    ],
    ids=" ".join,
)
def test_a_command_shows_the_entry(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = in_process(capsys)(*command)
    assert code == 0
    assert WORDS in folded(out)


def test_json_has_its_fields(capsys: pytest.CaptureFixture[str]) -> None:
    run = in_process(capsys)
    entry = {
        "pattern": "regression *",
        "reason": "v2 moves it",
        "who": "A. Reader",
        "link": "https://lore.kernel.org/x",
    }
    assert json.loads(run("report", "--json", "x.s2", "--candidate", "rfc-v1")[1])["accepted"] == entry
    answer = json.loads(run("run", "--json", "x.s2", "--candidate", "rfc-v1")[1])
    assert entry in [found["accepted"] for found in answer["results"][0]["findings"]]
    assert answer["known_findings"][0].items() >= entry.items()


@pytest.fixture
def campaign(tmp_path: Path) -> str:
    """Make a campaign with a finding that was accepted only afterwards."""
    with open_campaign(tmp_path / "c", SETTINGS) as (db, _, corpus, _):
        records = Records(db, corpus, SETTINGS, digests_of("original", "rfc-v1"), Accepted())
        records.begin(1)
        add = "INSERT INTO findings VALUES ('regression', ?, 1, 'filed', 1, 1, 'random', 0, 0, 'why', '', 3, '')"
        db.execute(add, (SIGNATURE,))
        db.execute("INSERT INTO totals (version, engine, units, programs) VALUES (1, 'random', 1, 8)")
        records.end("time limit reached")
    return str(tmp_path / "c")


def test_a_campaign_shows_the_entry(campaign: str, capsys: pytest.CaptureFixture[str]) -> None:
    run = in_process(capsys, "status")
    code, out, _ = run(campaign)
    assert code == 0
    assert f"accepted: {WORDS}" in folded(out)
    Path("known-findings.toml").rename("elsewhere.toml")
    assert run(campaign)[0] == 1
    assert run("--known", "elsewhere.toml", campaign)[0] == 0
    # The next session records the entry.
    with open_campaign(Path(campaign), SETTINGS) as (db, _, corpus, _):
        accepted = load_accepted("elsewhere.toml")
        Records(db, corpus, SETTINGS, digests_of("original", "rfc-v1"), accepted).begin(1)
    code, out, _ = run(campaign)
    assert code == 0
    assert f"accepted: {WORDS}" in folded(out)


def test_the_screen_and_the_page_show_the_entry(campaign: str, capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    with open_campaign(Path(campaign), SETTINGS) as (db, _, corpus, _):
        Records(db, corpus, SETTINGS, digests_of("original", "rfc-v1"), load_accepted("known-findings.toml")).begin(1)
    with reading(Path(campaign)) as db:
        overview = read(db, campaign)
    Console(width=80, color_system=None).print(render(overview, []))
    assert f"{SIGNATURE}: {WORDS}" in folded(capsys.readouterr().out.replace("│", " "))
    pytest.importorskip("pygal", reason="pygal is not installed: no page of a campaign is made")
    from fuzz.web.page import page

    text = page(overview)
    assert "1 known" in text
    assert WORDS in text
