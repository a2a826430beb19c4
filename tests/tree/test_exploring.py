# SPDX-License-Identifier: GPL-2.0-only
"""Every schedule of a par block: how many there are, and what they find in a tree with a mistake."""

import json
from pathlib import Path
from typing import Final

import pytest

import candidate
from candidate.tree.building.source import PGTABLE
from fuzz.command_line.cli import main
from fuzz.exploring.exploring import Explored, Explorer
from fuzz.judging import differential
from fuzz.language.operations import Par
from fuzz.language.text import parse
from fuzz.sides.outcome import Outcome

from .trees import planted, version

TREE: Final = "6.12"
# vCPUs that have nothing in common: whatever one does, the other one does the same.
APART: Final = (
    "s2fuzz 1\nvm vms=2\nslot a size=2M backing=anon log=on\nslot b size=2M backing=anon log=on vm=1\n"
    "cpu0 read a+0\ncpu3 read b+0\npar\ncpu0 write a+0\ncpu3 write b+0\nend\n"
)
MAP: Final = "s2fuzz 1\nvm\nslot a size=4M backing=anon\npar\ncpu0 write a+0\ncpu1 write a+4K\nend\n"
IGNORED: Final = "\treturn cmpxchg(ctx->ptep, ctx->old, new) == ctx->old;\n"


def explored(name: str, text: str, preemptions: int, reference: str = "") -> Explored:
    return Explorer(candidate.get(reference or name), candidate.get(name), parse(text), preemptions).run()


def test_the_number_of_schedules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two orders; of n places each vCPU has: n preemptions of the first, and n of the second after each."""
    notes: list[str] = []

    def note(at: int, reference: Outcome, tested: Outcome) -> list[str]:
        notes.append(tested.detail)
        return []

    monkeypatch.setattr(differential, "notes_of", note)
    found = explored(version(TREE), APART, 2)
    begun, once, twice = found.schedules
    places = once // 2
    assert (begun, once, twice) == (2, 2 * places, 2 * places**2)
    assert places > 8
    assert found.shown == {}
    # Each switch of each schedule took place.
    assert set(notes) == {""}


def test_explored_again_it_is_the_same() -> None:
    name = version(TREE)
    assert explored(name, MAP, 1).schedules == explored(name, MAP, 1).schedules


def test_a_mistake_that_one_actor_cannot_show_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = planted(TREE, tmp_path / "tree", PGTABLE, IGNORED, "\tcmpxchg(ctx->ptep, ctx->old, new);\n\treturn true;\n")
    file = tmp_path / "x.s2"
    file.write_text(MAP)
    arguments = ["explore", str(file), "--reference", version(TREE), "--candidate", name, "--json", "--preemptions"]
    assert main([*arguments, "0"]) == 0
    assert json.loads(capsys.readouterr().out)["findings"] == []
    # One preemption lets another table come into the place of the first.
    assert main([*arguments, "1"]) == 1
    answer = json.loads(capsys.readouterr().out)
    broken = next(each for each in answer["findings"] if "table->other table without break" in each["signature"])
    assert 0 < broken["schedules"] < sum(answer["schedules"])
    block = parse(broken["program"]).operations[0]
    assert isinstance(block, Par)
    assert len(block.switches) == 1


def test_ports_do_not_run_blocks_yet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "x.s2"
    file.write_text(MAP)
    assert main(["explore", str(file), "--candidate", "original"]) == 4
    assert "no verdict" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("s2fuzz 1\nvm\nslot a size=4M backing=anon\n", "x.s2: no par block; allowed: exactly one"),
        (MAP + MAP.partition("anon\n")[2], "x.s2: 2 par blocks; allowed: exactly one"),
        ("s2fuzz 1\nvm\n", "x.s2:2: "),
    ],
)
def test_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, wrong: str) -> None:
    file = tmp_path / "x.s2"
    file.write_text(text)
    assert main(["explore", str(file), "--candidate", "original"]) == 2
    assert wrong in capsys.readouterr().err


@pytest.mark.parametrize(("option", "value"), [("--preemptions", "9"), ("--preemptions", "-1"), ("--seconds", "nan")])
def test_values_out_of_bounds_are_refused(capsys: pytest.CaptureFixture[str], option: str, value: str) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["explore", "x.s2", "--candidate", "original", f"{option}={value}"])
    assert raised.value.code == 2
    assert f"argument {option}: '{value}'; allowed: " in capsys.readouterr().err
