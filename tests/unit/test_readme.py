# SPDX-License-Identifier: GPL-2.0-only
"""What the README shows is what happens."""

import re
import shutil
from dataclasses import MISSING, fields
from pathlib import Path

import pytest

from candidate import Candidate
from fuzz.command_line import cli
from fuzz.findings.accepted import load_accepted
from fuzz.findings.patterns import matches
from fuzz.generation.generator import Generator
from fuzz.hardware.qemu import PROGRAM
from fuzz.judging.differential import Differential
from fuzz.language.forms import FORMS
from fuzz.language.program import Vm, show_bytes
from fuzz.language.text import parse
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


def test_the_trace(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", "120")
    command = "run --trace --candidate rfc-v1-3 corpus/regressions/dcache-logging-route.s2"
    assert cli.main(command.split()) == 1
    excerpt = README.split("around the first difference:\n\n")[1].split("\n\n")[0]
    lines = [line.strip() for line in capsys.readouterr().out.split("\n")]
    assert position([line.strip() for line in excerpt.split("\n")], lines, 0) >= 0


def test_the_line_that_programs_reach(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    line = (ROOT / "reference/pgtable.py").read_text().splitlines().index(" " * 16 + "return -EAGAIN") + 1
    command = f"s2fuzz cover corpus/seeds --line reference/pgtable.py:{line}"
    assert cli.main(command.split()[1:]) == 0
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


def test_the_check_against_qemu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same lines, whatever the version of QEMU, the clock, and how many programs there are by now."""
    if shutil.which(PROGRAM) is None:
        pytest.skip(f"no {PROGRAM} on PATH (Debian: qemu-system-arm)")
    monkeypatch.chdir(tmp_path)
    command = "s2fuzz hardware check --translations 100000"
    assert cli.main(command.split()[1:]) == 0
    shown, out = (
        re.sub(r"[\d.]+", "#", re.sub(r"version .*?: ", "version #: ", text.strip()))
        for text in (transcript(command), capsys.readouterr().out)
    )
    assert out == shown


def test_the_example_program_is_one() -> None:
    text = README.split("## Programs\n")[1].split("\n`vm` and")[0]
    assert parse("\n".join(line[4:] for line in text.split("\n"))).slots[0].name == "a"


PROGRAMS = README.split("\n## Programs\n")[1].split("\n## ")[0]


@pytest.mark.parametrize("usage", [usage for _, usage in FORMS[2:]])
def test_every_operation_is_explained(usage: str) -> None:
    assert re.search(rf"^    {re.escape(usage)}\n        \S", PROGRAMS, re.MULTILINE), usage


def test_no_other_operation_is_explained() -> None:
    text = PROGRAMS.split("\nOperations")[1]
    explained = re.findall(r"^    (\S.*)$", text, re.MULTILINE)
    assert sorted(explained) == sorted(usage for _, usage in FORMS[2:])


@pytest.mark.parametrize(("make", "usage"), FORMS[:2], ids=["vm", "slot"])
def test_every_setting_is_explained_with_its_default(make: type, usage: str) -> None:
    defaults = {field.name: field.default for field in fields(make)}
    table = PROGRAMS.split("| setting |")[1 if make is Vm else 2]
    rows = dict(re.findall(r"^\| `([a-z]+)=(\w*)` \|", table, re.MULTILINE))
    assert list(rows) == re.findall(r"([a-z]+)=", usage)
    for key, shown in rows.items():
        default = defaults[key]
        if isinstance(default, bool):
            assert shown == ("on" if default else "off")
        elif key == "granule" and isinstance(default, int):
            assert shown == show_bytes(default)
        elif default not in (MISSING, None, ""):
            assert shown == str(default)


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


def test_the_known_findings_are_a_valid_file(tmp_path: Path) -> None:
    match = re.search(r"```toml\n(.*?)```", README, re.DOTALL)
    assert match is not None
    path = tmp_path / "known-findings.toml"
    path.write_text(match.group(1))
    (entry,) = load_accepted(str(path)).entries
    signature = "locking: kvm_mmu_topup_memory_cache: memory cache filled under mmu_lock"
    assert matches(entry.pattern, "regression", signature)
