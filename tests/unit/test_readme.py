# SPDX-License-Identifier: GPL-2.0-only
"""What the README shows is what happens."""

import re
from pathlib import Path

import pytest

from candidate import Candidate
from fuzz import cli
from fuzz.differential import Differential
from fuzz.generator import Generator
from fuzz.text import parse
from reference.mmu import Mmu
from reference.pgtable import Pgtable

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text()


def transcript(command: str) -> str:
    """The indented lines that follow a command of the session."""
    shown: list[str] = []
    for line in README.split("    $ .venv/bin/" + command + "\n")[1].split("\n"):
        if line and not line.startswith("    "):
            break
        shown.append(line[4:])
    return "\n".join(shown).strip()


@pytest.mark.parametrize(
    ("options", "name", "code"),
    [("", "dcache-logging-route", 1), ("--cost ", "put-page-not-missing", 0)],
)
def test_the_session(
    options: str, name: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    command = f"s2fuzz run {options}--candidate rfc-v1-3 corpus/regressions/{name}.s2"
    assert cli.main(command.split()[1:]) == code
    assert capsys.readouterr().out.strip() == transcript(command)


def plain(text: str) -> list[str]:
    """The lines, without what the clock says."""
    text = re.sub(r"in [\d.]+ s$", "in # s", text.strip(), flags=re.MULTILINE)
    return re.sub(r"[\d.]+ (programs|operations)/s", r"# \1/s", text).split("\n")


def position(part: list[str], lines: list[str], start: int) -> int:
    """Where *part* stands in *lines*, from *start* on; -1: nowhere."""
    places = range(start, len(lines) - len(part) + 1)
    return next((i for i in places if lines[i : i + len(part)] == part), -1)


def test_the_fuzzing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Every part of the transcript, between lines of "...", is there, in this order."""
    monkeypatch.chdir(tmp_path)
    command = "s2fuzz fuzz --candidate rfc-v1 --programs 300 --seed 1 --out findings"
    assert cli.main(command.split()[1:]) == 1
    lines = plain(capsys.readouterr().out)
    parts = [part.strip("\n").split("\n") for part in "\n".join(plain(transcript(command))).split("\n...\n")]
    assert len(parts) == 6
    end = 0
    for part in parts:
        at = position(part, lines, end)
        assert at >= 0, part
        end = at + len(part)
    assert position(parts[0], lines, 0) == 0
    assert end == len(lines)


def test_the_example_program_is_one() -> None:
    text = README.split("## Programs\n")[1].split("\n`vm`")[0]
    assert parse("\n".join(line[4:] for line in text.split("\n"))).slots[0].name == "a"


def test_the_example_candidate_works() -> None:
    match = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert match is not None
    names: dict[str, object] = {"__name__": "candidate.my_patch"}
    exec(match.group(1), names)
    pgtable, mmu = names["PgtableMyPatch"], names["MmuMyPatch"]
    assert isinstance(pgtable, type)
    assert issubclass(pgtable, Pgtable)
    assert isinstance(mmu, type)
    assert issubclass(mmu, Mmu)
    patched = Candidate("my-patch", pgtable, mmu, "README")
    original = Candidate("original", Pgtable, Mmu, "")
    generator = Generator(1)
    for _ in range(40):
        assert not Differential(original, patched).run(generator.next()).failed
