# SPDX-License-Identifier: GPL-2.0-only
"""A tree that is edited while it is judged: no result counts for the wrong source, and the user is informed."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

import candidate
from candidate.tree.building.source import PGTABLE
from candidate.tree.opening import has_changed
from fuzz.campaign.store.database import CampaignError
from fuzz.campaign.store.settings import Settings
from fuzz.campaign.work import worker
from fuzz.command_line import cli
from fuzz.engines import lanes
from fuzz.engines.supervisor import run_unit
from fuzz.engines.unit import Result, Unit
from fuzz.execution.mistakes import CandidateMistakeError
from fuzz.exit_codes import NO_VERDICT

from ..unit.campaign.campaigns import go_on
from .trees import planted, version

TREE: Final = "6.12"
# A put: nearly every program shows if it is dropped.
PLACE: Final = "\tmm_ops->put_page(ctx->ptep);\n}\n\nstatic bool stage2_pte_cacheable"
WITHOUT: Final = "}\n\nstatic bool stage2_pte_cacheable"
HALF: Final = "\tmm_ops->put_page(ctx->\n}\n\nstatic bool stage2_pte_cacheable"
SHOWN: Final = "refcount: "

Work = Callable[..., Result]


@pytest.fixture
def copy(tmp_path: Path) -> str:
    """Make an unchanged copy of a tree whose pgtable.c may be edited; return the name of the version."""
    return planted(TREE, tmp_path / "tree", PGTABLE, PLACE, PLACE)


def edit(copy: str, old: str, new: str) -> None:
    """Replace a text of the copy's pgtable.c."""
    file = Path(copy.removeprefix("tree:")) / PGTABLE
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def edited_after_the_first(run_unit: Work, copy: str, old: str, new: str) -> Work:
    """Return a function that runs units, and edits the tree before the first one is over."""
    left = [True]

    def work(unit: Unit, *arguments: object) -> Result:
        result = run_unit(unit, *arguments)
        if left and left.pop():
            edit(copy, old, new)
        return result

    return work


def settings(copy: str) -> Settings:
    return Settings(copy, version(TREE), workers=1, unit_seconds=2.0)


def test_a_campaign_continues_with_the_new_source(copy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "run_unit", edited_after_the_first(run_unit, copy, PLACE, WITHOUT))
    overview = go_on(tmp_path / "campaign", 1, settings(copy))
    log = (tmp_path / "campaign" / "log").read_text()
    assert "unit 1: the code changed meanwhile; it is repeated" in log
    assert f"the code of {copy} has changed: findings from unit 1 on count as version 2" in log
    assert overview.versions == 2
    assert any(each.finding.signature.startswith(SHOWN) for each in overview.shown)
    # It is known which lines of the new source ran.
    assert overview.exercise is not None
    assert not overview.exercise.unknown
    # After the edit is undone, the source is that of version 1 again.
    edit(copy, WITHOUT, PLACE)
    overview = go_on(tmp_path / "campaign", 2, settings(copy))
    log = (tmp_path / "campaign" / "log").read_text()
    assert f"the code of {copy} has changed: later findings count as version 1" in log
    assert not any(each.finding.signature.startswith(SHOWN) for each in overview.shown)


def test_a_source_that_does_not_compile_ends_a_campaign(
    copy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "run_unit", edited_after_the_first(run_unit, copy, PLACE, HALF))
    with pytest.raises(
        CampaignError, match=rf"{PGTABLE}:\d+: .*; the campaign has stopped; the same command resumes it"
    ):
        go_on(tmp_path / "campaign", 2, settings(copy))
    edit(copy, HALF, PLACE)
    assert go_on(tmp_path / "campaign", 1, settings(copy)).versions == 1


@pytest.mark.parametrize("command", ["fuzz", "gate"])
def test_a_finding_of_a_session_is_not_replayed_on_another_source(
    command: str, copy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(copy, PLACE, WITHOUT)

    def work(unit: Unit, count: int, watch: object) -> Result:
        result = run_unit(unit)
        edit(copy, WITHOUT, PLACE)
        return result

    monkeypatch.setattr(lanes, "run_lanes", work)
    written = ["--out", str(tmp_path / "out")] if command == "fuzz" else []
    arguments = ["--candidate", copy, "--reference", version(TREE), "--programs", "10", *written]
    assert cli.main([command, *arguments]) == NO_VERDICT
    err = capsys.readouterr().err
    assert f"{copy} has changed since the session began; its old source was judged; run it again" in err
    assert "did not replay: regression refcount: " in err
    assert f"kernel tree changed: {copy} is not what was judged before" in err
    assert "a mistake of s2fuzz" not in err


def test_a_later_process_does_not_judge_another_source(copy: str) -> None:
    """This happens if the first process of a unit has died."""
    opened = candidate.get(copy)
    unit = Unit("random", copy, copy, 1, programs=1, contents=(opened.content, opened.content))
    assert run_unit(unit).state.programs == 1
    assert not has_changed(copy, opened.content)
    edit(copy, PLACE, WITHOUT)
    assert has_changed(copy, opened.content)
    with pytest.raises(CandidateMistakeError, match="has changed since the session began; run it again"):
        run_unit(unit)
    assert candidate.get(copy) is opened
    assert candidate.renewed(copy).content != opened.content
    assert candidate.get(copy) is candidate.renewed(copy)
