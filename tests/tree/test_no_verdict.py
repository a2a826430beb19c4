# SPDX-License-Identifier: GPL-2.0-only
"""A patch that needs what nobody models is not clean: sessions say that there is no verdict."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from candidate.tree.building.source import MMU

from ..unit.console import in_process
from .trees import planted, version

PROGRAMS = "6"
TEXT = "\tmmap_read_lock(current->mm);\n\tvma = vma_lookup"


@pytest.fixture
def versions(tmp_path: Path) -> tuple[str, ...]:
    """A tree in which each fault calls what nobody models, and the tree that it was made of."""
    copy = planted("6.12", tmp_path / "tree", MMU, TEXT, f"\tmemunmap(NULL);\n{TEXT}")
    return "--candidate", copy, "--reference", version("6.12")


def test_fuzz(versions: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = in_process(capsys, "fuzz", *versions, "--programs", PROGRAMS)()
    assert code == 4
    assert "\nno verdict: " in out
    assert " without a verdict; not modelled: memunmap\n" in out
    assert "nothing found" not in out


def test_gate(versions: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "gate.xml"
    code, out, _ = in_process(capsys, "gate", *versions, "--programs", PROGRAMS, "--junit", str(file))()
    assert code == 4
    assert out.startswith("# s2fuzz gate without a verdict\n")
    assert ElementTree.parse(file).getroot().get("errors") == "1"


def test_campaign(versions: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(tmp_path / "campaign")
    code, out, _ = in_process(capsys, "campaign", *versions, "--until", f"programs={PROGRAMS}", folder)()
    assert code == 4
    assert "\nno verdict: " in out
    code, out, _ = in_process(capsys, "status", "--json", folder)()
    assert (code, list(json.loads(out)["refused"])) == (4, ["memunmap"])


def test_commands_on_one_program(
    versions: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.s2").write_text("s2fuzz 1\nvm\nslot a size=4M backing=thp\ncpu0 read a+0\n")
    needed = "no verdict: the program needs something that is not modelled: memunmap; `s2fuzz tree check TREE` says "
    for command in (
        ("run", "x.s2", *versions),
        ("report", "x.s2", *versions),
        ("export", "--events", "x.s2", "--model", versions[1]),
        ("export", "--casemate", "x.s2", "--model", versions[1]),
        ("export", "--qemu", "x.s2", "--model", versions[1], "-o", "tables"),
        ("export", "--selftest", "x.s2", "--model", versions[1]),
        ("compare", *versions, "--workload", "create", "--cpus", "1"),
    ):
        code, out, err = in_process(capsys, *command)()
        assert code == 4, command
        assert needed in err.splitlines()[-1]
        assert out == ("" if command[0] != "run" else f"x.s2: {versions[1]} against {versions[3]}: no verdict\n\n")
