# SPDX-License-Identifier: GPL-2.0-only
"""Campaigns of one kernel tree against another report how much of the difference ran."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import candidate
from candidate.tree.building.source import NESTED, PGTABLE
from candidate.tree.lines.counts import from_wire
from fuzz.campaign.store.database import NAME
from fuzz.campaign.store.settings import Settings
from fuzz.campaign.view.summary import summary
from fuzz.command_line.cli import main
from fuzz.exit_codes import BAD_INPUT, FINE

from ..unit.campaign.campaigns import go_on
from .trees import planted, version

TREE = "6.12"
WALKER = "\tret = stage2_map_walker_try_leaf(ctx, data);\n\tif (ret != -E2BIG)\n"
LOCKED = "\tlockdep_assert_held_write(&kvm->mmu_lock);\n"


def settings(copy: str) -> Settings:
    return Settings(candidate.get(copy).name, candidate.get(version(TREE)).name, workers=2, unit_seconds=1.0)


def test_counts_of_sessions_are_added_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """After an interrupted session, the next one continues from the stored counts."""
    copy = planted(TREE, tmp_path / "tree", PGTABLE, WALKER, WALKER.replace("ctx, data)", "ctx, (data))"))
    folder, counted, units = tmp_path / "campaign", [0], 0
    while len(counted) < 3:
        units += 3
        # On a busy machine, the time of a unit may be over before it has judged a program.
        assert units < 90, "no unit judges anything"
        overview = go_on(folder, units, settings(copy))
        assert code_ran(folder) >= counted[-1]
        if code_ran(folder) == counted[-1]:
            continue
        assert "1 of 1 differing line ran" in summary(overview)
        assert main(["status", str(folder), "--json"]) == FINE
        exercise = json.loads(capsys.readouterr().out)["exercise"]
        assert (exercise["lines"], exercise["ran"], exercise["missing"]) == (1, 1, [])
        counted.append(code_ran(folder))


def code_ran(folder: Path) -> int:
    """Return the sum of the counters that a campaign has stored."""
    with closing(sqlite3.connect(folder / NAME)) as db:
        counts = from_wire(dict(db.execute("SELECT library, counters FROM code_ran")))
    return sum(sum(memoryview(each).cast("Q")) for each in counts.by_library.values())


def test_not_exercised(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = planted(TREE, tmp_path / "tree", NESTED, LOCKED, f"{LOCKED}\tkvm->arch.mmu.vtcr++;\n")
    overview = go_on(tmp_path / "campaign", 2, settings(copy))
    assert "not exercised: none of the code" in summary(overview)
    assert main(["status", str(tmp_path / "campaign"), "--json"]) == BAD_INPUT
    answer = json.loads(capsys.readouterr().out)
    assert answer["exit_code"] == BAD_INPUT
    assert answer["exercise"]["ran"] == 0
    assert answer["exercise"]["missing"][0].startswith(f"{NESTED}:")
