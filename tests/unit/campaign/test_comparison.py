# SPDX-License-Identifier: GPL-2.0-only
"""Two campaigns side by side: findings that only one has, possible chance, and the exit code."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from fuzz.campaign.campaign import open_campaign
from fuzz.campaign.store.code import digests_of
from fuzz.campaign.store.records import Records
from fuzz.campaign.view.comparison import Examined, TwoCampaigns, answer, compare, text
from fuzz.campaign.view.lines import WIDTH
from fuzz.campaign.view.overview import CampaignFinding, EngineRow, Overview
from fuzz.findings.accepted import Accepted, Entry

from ..console import ROOT, in_process
from ..pages import blocks
from .campaigns import FILE, SETTINGS, SIGNATURE, finding
from .test_views import words

LOCK = "locking: kvm_handle_guest_abort: lock still held"
WARN = "contract: kvm_age_hva_handler: WARN"
Findings = dict[tuple[str, str], int]


def examined(overview: Overview, found: list[CampaignFinding], programs: int, features: set[int]) -> Examined:
    """Return a campaign like the one of the fixture."""
    engine = EngineRow("random", 1, programs, programs * 10, 5.0, len(features), 1.0)
    made = replace(overview, findings=found, by_engine=[engine], programs=programs)
    return Examined(made, frozenset(features))


@pytest.fixture
def two(overview: Overview) -> TwoCampaigns:
    """Return two campaigns, of 100 and of 200 programs."""
    often, rare = (replace(finding("regression", SIGNATURE, FILE), count=count) for count in (60, 2))
    shared = replace(finding("common", WARN, "findings/y.s2"), count=1)
    first = examined(overview, [replace(finding("common", LOCK, "findings/z.s2"), count=3), shared], 100, {1, 2, 3})
    second = examined(
        overview, [often, replace(rare, finding=finding("regression", LOCK, "").finding), shared], 200, {3, 4}
    )
    return TwoCampaigns(first, second)


def test_findings_of_only_one_campaign(two: TwoCampaigns) -> None:
    assert [each.finding.key for each in two.only_second()] == [("regression", SIGNATURE), ("regression", LOCK)]
    assert [each.finding.key for each in two.only_first()] == [("common", LOCK)]
    assert [each.finding.key for each in two.both()] == [("common", WARN)]
    assert two.worse
    assert not TwoCampaigns(two.second, two.first).worse
    assert answer(two)["features"] == {"only_first": 2, "only_second": 1, "both": 1}
    known = [replace(each, accepted="known: A. Reader") for each in two.second.overview.findings]
    accepted = TwoCampaigns(two.first, replace(two.second, overview=replace(two.second.overview, findings=known)))
    assert not accepted.worse
    assert "3 findings of B accepted" in text(accepted)


def test_the_text(two: TwoCampaigns) -> None:
    lines = text(two).splitlines()
    assert [line for line in lines if len(line) > WIDTH] == [f"  {two.second.overview.folder}/{FILE}"] * 2
    whole = text(two)
    assert words(two.second.overview.findings[0].finding.reason) <= words(whole)
    # Regressions come first; the class of the finding in the other campaign is shown.
    assert whole.index("only B has 2 findings: 2 regression") < whole.index("only A has 1 finding: 1 common")
    assert whole.count("A has it as common") == whole.count("B has it as regression") == 1
    rows = {line[:18].strip(): line[18:].split() for line in lines if len(line) == 58}
    assert rows["programs"] == ["100", "200"]
    assert rows["features"] == ["3", "2"]
    assert rows["only here"] == ["2", "1"]
    assert "cured" not in rows


def test_the_page_shows_the_comparison(two: TwoCampaigns) -> None:
    _, block = [block for block in blocks(ROOT / "docs" / "campaigns.md") if block.language == "text"]
    lines = text(two).splitlines()
    for line in block.text.splitlines():
        assert line == "..." or line in lines, line


def test_a_rare_finding_may_be_missed_by_chance(two: TwoCampaigns) -> None:
    """Check that a finding of 60 in 200 programs is not missed in 100 by chance, while one of 2 in 200 may be."""
    assert "by chance" not in text(two)
    rare = replace(finding("regression", "refcount: x: count L3", "findings/x.s2"), count=2)
    more = replace(two.second, overview=replace(two.second.overview, findings=[*two.second.overview.findings, rare]))
    assert text(TwoCampaigns(two.first, more)).count("A judged 100 programs and may have missed it by chance") == 1


def made(folder: Path, found: Findings) -> Path:
    """Make a campaign with these findings and no work."""
    with open_campaign(folder, SETTINGS) as (db, _, corpus, _):
        records = Records(
            db, corpus, SETTINGS, digests_of("original", "rfc-v1"), Accepted("", (Entry(1, "common *", "x"),))
        )
        records.begin(1)
        for (kind, signature), count in found.items():
            db.execute(
                "INSERT INTO findings VALUES (?, ?, 1, 'filed', ?, 1, 'random', 0, 0, 'why', 'findings/x.s2', 3, '')",
                (kind, signature, count),
            )
        db.execute("INSERT INTO features (feature, program, elapsed, hits) VALUES (?, 1, 0, 1)", (len(found),))
        records.findings.accept()
        records.end("time limit reached")
    return folder


@pytest.fixture
def folders(tmp_path: Path) -> tuple[str, str]:
    first = made(tmp_path / "a", {("common", WARN): 3, ("cured", SIGNATURE): 1})
    second = made(tmp_path / "b", {("common", WARN): 3, ("regression", LOCK): 1, ("crash", "ValueError in x"): 1})
    return str(first), str(second)


def test_the_command(folders: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    run = in_process(capsys, "campaign", "compare")
    first, second = folders
    # An internal error outweighs a regression.
    code, out, err = run(first, second)
    assert (code, err) == (3, "")
    assert f"regression  {LOCK}" in out
    assert f"cured       {SIGNATURE[:60]}" in out
    assert run(second, first)[0] == run(first, first)[0] == 0
    code, out, _ = run("--json", first, second)
    answer = json.loads(out)
    assert answer["exit_code"] == code == 3
    assert [each["kind"] for each in answer["findings"]["only_second"]] == ["regression", "crash"]
    assert answer["second"]["state"] == "ended: time limit reached"
    assert compare(Path(first), Path(first)).both() == compare(Path(first), Path(first)).second.overview.shown[1:]


def test_a_regression_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = made(tmp_path / "a", {}), made(tmp_path / "b", {("regression", LOCK): 1})
    code, out, _ = in_process(capsys, "campaign", "compare")(str(first), str(second))
    assert code == 1
    assert "only A has: nothing" in out
