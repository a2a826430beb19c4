# SPDX-License-Identifier: GPL-2.0-only
"""The experiment of the series: its claims hold in the model for any number of vCPUs."""

import json
from contextlib import nullcontext
from pathlib import Path

import pytest

import candidate
from fuzz.command_line.cli import main
from fuzz.comparing.measuring import Experiment, Figures, RebuildPlaces
from fuzz.comparing.plot import PlotError, plot
from fuzz.comparing.table import LIMITS, table

BLOCK = 2 << 20
ROWS = {1: (Figures(4096, 512, 2000, 0), Figures()), 8: (Figures(8192, 512, 2000, 7), Figures(2048))}


@pytest.mark.parametrize("cpus", [1, 2, 5])
def test_the_original_cleans_for_each_vcpu_and_the_series_once(cpus: int) -> None:
    """Check patch 1/4: a vCPU that finds the block mapped cleans nothing."""
    original, patched = (
        Experiment(candidate.get(name), "create", "2M").measure(cpus) for name in ("original", "rfc-v1-1")
    )
    assert (original.bytes_cleaned, patched.bytes_cleaned) == (BLOCK * cpus, BLOCK)


@pytest.mark.parametrize("cpus", [1, 6])
def test_a_rebuild_visits_old_entries_in_the_window_or_after_it(cpus: int) -> None:
    """Check patches 2/4 and 3/4: the block is mapped before its pages are unmapped."""
    original, series = (
        Experiment(candidate.get(name), "rebuild", "2M").measure(cpus) for name in ("original", "rfc-v1")
    )
    assert (original.window_entries, series.window_entries) == (512, 0)
    assert original.window_events > 1000
    # The flush of the VM.
    assert series.window_events < 10
    # Nearly all steps of the original are in the window.
    assert (original.faults > cpus // 2) == (cpus > 1)
    assert series.faults == 0


def test_a_block_of_1g() -> None:
    """Check a table of level 2 and 512 tables of level 3: their entries are visited in the window, or after it."""
    original, series = (candidate.get(name) for name in ("original", "rfc-v1"))
    assert Experiment(original, "create", "1G").measure(3).bytes_cleaned == 3 << 30
    assert Experiment(series, "create", "1G").measure(3).bytes_cleaned == 1 << 30
    assert Experiment(original, "rebuild", "1G").measure(1).window_entries == 512 * 512 + 512
    assert Experiment(series, "rebuild", "1G").measure(1).window_entries == 0


def test_vcpus_arrive_at_steps_of_the_rebuilding_vcpu() -> None:
    steps = RebuildPlaces(candidate.get("rfc-v1"), "2M")
    places = [steps.place(number) for number in range(steps.count)]
    assert len(places) > 500
    assert {place.cpu for place in places} == {0}
    assert len({place.anchor for place in places}) == len(places)
    # Consecutive loads are stored together.
    assert len(steps.found) < 500


def test_the_table_states_what_it_shows() -> None:
    lines = table("rebuild", "2M", ("original", "rfc-v1"), ROWS).splitlines()
    assert lines[0].startswith("rebuild of a 2M block.")
    assert [line.split()[:3] for line in lines[5:9]] == [
        ["1", "original", "4"],
        ["1", "rfc-v1", "0"],
        ["8", "original", "8"],
        ["8", "rfc-v1", "2"],
    ]
    assert "\n".join(lines).endswith(LIMITS.rstrip("\n"))


def test_the_command_answers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--candidate", "rfc-v1", "--workload", "create", "--cpus", "1,3", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [row["cpus"] for row in answer["figures"]] == [1, 3]
    assert [row["reference"]["bytes_cleaned"] for row in answer["figures"]] == [BLOCK, 3 * BLOCK]
    assert [row["candidate"]["bytes_cleaned"] for row in answer["figures"]] == [BLOCK, BLOCK]


def test_a_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for name in ("a.svg", "b.png"):
        plot("rebuild", "2M", ("original", "rfc-v1"), ROWS, tmp_path / name)
    assert "<svg" in (tmp_path / "a.svg").read_text()
    assert (tmp_path / "b.png").read_bytes().startswith(b"\x89PNG")


def test_no_picture_without_matplotlib(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(PlotError, match=r"pip install -e '\.\[plot\]'"):
        plot("rebuild", "2M", ("original", "rfc-v1"), ROWS, tmp_path / "a.svg")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--cpus", "0"), "allowed: a whole number from 1 to 40"),
        (("--cpus", "2,2"), "allowed: each number once"),
        (("--plot", "a.pdf"), "allowed: FILE.svg or FILE.png"),
    ],
)
def test_wrong_arguments_are_refused(arguments: tuple[str, str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) if arguments[0] == "--cpus" else nullcontext() as refused:
        assert main(["compare", "--candidate", "rfc-v1", "--workload", "create", *arguments]) == 2
    assert refused is None or refused.value.code == 2
    assert said in capsys.readouterr().err
