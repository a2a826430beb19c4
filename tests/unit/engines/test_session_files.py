# SPDX-License-Identifier: GPL-2.0-only
"""The files that a session leaves: each replays, describes its finding, and is replaced by a better one only."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from fuzz.engines.summary import Keeper, Summary
from fuzz.findings.finding_files import ALTERNATIVES
from fuzz.findings.found import file_name, folder_name, reproduce
from fuzz.findings.record import FindingRecord
from fuzz.judging.differential import Differential, Finding
from fuzz.language.program import Program
from fuzz.language.text import load, print_program

from ..console import ROOT, process
from ..replaying import Scripted
from .random_session import EMPTY, ORIGINAL, RFC_V1, files, session


def test_two_runs_leave_the_same_files(tmp_path: Path) -> None:
    """Run the command, whose engine and replays are separate processes."""
    command = ["fuzz", "--candidate", "rfc-v1", "--programs", "25", "--seed", "2", "--out", "findings"]
    made: list[dict[str, str]] = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        done = process(*command, cwd=folder, stdout=subprocess.PIPE)
        assert done.returncode == 1, done.stderr
        made.append(files(folder))
    assert made[0] == made[1]
    assert any(f"/{ALTERNATIVES}/" in name for name in made[0])


def test_files_replay(kept: Summary) -> None:
    assert kept.findings
    for found in kept.findings:
        assert found.path is not None
        program = load(found.path)
        assert program == found.program
        assert f"{found.kind} {found.signature}" in Differential(ORIGINAL, RFC_V1).run(program).titles()


def test_files_describe_their_findings(kept: Summary) -> None:
    found = kept.findings[0]
    assert found.path is not None
    text = found.path.read_text()
    command = ".venv/bin/s2fuzz run --reference original --candidate rfc-v1 --trace"
    for line in (
        f"# kind: {found.kind}",
        f"# signature: {found.signature}",
        f"# reason: {found.reason}",
        f"# at: {found.where()}",
        "# reference: original",
        "# candidate: rfc-v1",
        f"# seed: 1, program {found.number}",
        f"# reproduce: {command} {found.path} # in the checkout of s2fuzz, after `make venv`",
    ):
        assert line in text.splitlines()


def test_the_command_of_a_file_works_in_the_checkout(kept: Summary) -> None:
    for found in kept.findings[:2]:
        assert found.path is not None
        (line,) = [line for line in found.path.read_text().splitlines() if line.startswith("# reproduce: ")]
        command = line.removeprefix("# reproduce: ").replace(".venv/bin/s2fuzz", f"{sys.executable} -m fuzz", 1)
        result = subprocess.run(["sh", "-c", command], cwd=ROOT, text=True, capture_output=True, check=False)
        assert result.stderr == "s2fuzz: rfc-v1 (on rfc-v1-3) overrides user_mem_abort; adds nothing\n"
        assert f"{found.kind:<10}  {found.signature}" in result.stdout


def test_a_file_in_the_checkout_is_named_relative_to_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    command = reproduce("original", "rfc-v1", ROOT / "findings" / "rfc-v1" / "a b.s2")
    assert " --trace 'findings/rfc-v1/a b.s2'  # in the checkout" in command


def rewritten(found: FindingRecord, operations: int) -> Program:
    """Extend the program in the file of a finding by this many operations at its end; return it."""
    assert found.path is not None
    last = found.program.operations[-1:]
    program = replace(found.program, operations=found.program.operations + last * operations)
    found.path.write_text("# by hand\n" + print_program(program))
    return program


def test_a_smaller_program_of_an_earlier_session_stays(tmp_path: Path) -> None:
    first = session(out=tmp_path, programs=40)
    texts = {path: path.read_text() for path in tmp_path.glob("**/*.s2")}
    again = session(seed=1, out=tmp_path, programs=5)
    assert again.findings
    assert {path: path.read_text() for path in tmp_path.glob("**/*.s2")} == texts
    smallest = {(found.kind, found.signature): found.program for found in first.findings}
    for found in again.findings:
        assert found.program == smallest[found.kind, found.signature]
        assert found.path is not None
        assert load(found.path) == found.program
    counts = {(found.kind, found.signature): found.count for found in session(programs=5).findings}
    assert {(found.kind, found.signature): found.count for found in again.findings} == counts


def test_a_larger_program_of_an_earlier_session_is_replaced(tmp_path: Path) -> None:
    for found in session(out=tmp_path).findings:
        rewritten(found, 1)
    shutil.rmtree(tmp_path / ALTERNATIVES)
    for found in session(out=tmp_path).findings:
        assert found.path is not None
        assert load(found.path) == found.program
        assert found.number


def test_an_equally_long_program_replaces_nothing(tmp_path: Path) -> None:
    for found in session(out=tmp_path).findings:
        rewritten(found, 0)
    for found in session(out=tmp_path).findings:
        assert found.path is not None
        assert found.path.read_text().startswith("# by hand\n")
        assert found.number == 0


def test_a_program_that_no_longer_shows_its_finding_is_replaced(tmp_path: Path) -> None:
    """Check this for a program that no longer shows the finding, and for text that is no program."""
    findings = session(out=tmp_path).findings
    for found, text in zip(findings, (print_program(EMPTY), "nonsense\n"), strict=False):
        assert found.path is not None
        found.path.write_text(text)
    shutil.rmtree(tmp_path / ALTERNATIVES)
    for found in session(out=tmp_path).findings[:2]:
        assert found.path is not None
        assert load(found.path) == found.program
        assert found.number


def test_no_other_files_are_left(kept: Summary) -> None:
    assert kept.findings[0].path is not None
    files = {path.name for path in kept.findings[0].path.parent.iterdir()}
    assert files == {found.path.name for found in kept.findings if found.path} | {ALTERNATIVES}


def test_without_a_directory_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    summary = session(programs=3)
    assert summary.findings
    assert all(found.path is None for found in summary.findings)
    assert list(tmp_path.iterdir()) == []


def test_a_lost_directory_is_reported_and_loses_no_finding(tmp_path: Path) -> None:
    out = tmp_path / "gone"
    summary = session(out=out, programs=3)
    assert summary.findings
    assert str(out) in summary.trouble
    assert all(found.path is None for found in summary.findings)


def test_file_names_distinguish_similar_signatures() -> None:
    names = {
        file_name(Finding("common", signature, ""))
        for signature in ("a->b L2", "a: b L2", "a b L2", "x" * 200, "x" * 201)
    }
    assert len(names) == 5
    assert all(len(name) < 120 and "/" not in name and " " not in name for name in names)


def test_a_folder_for_each_candidate() -> None:
    assert folder_name("rfc-v1", "original") == "rfc-v1"
    assert folder_name("rfc-v1", "v5.12.9") == "rfc-v1-against-v5.12.9"
    assert folder_name("../a b", "original") == "a-b"
    assert folder_name("./my_patch.py", "./my_base.py") == "my_patch.py-against-.-my_base.py"


def test_reason_of_several_lines_stays_a_comment(tmp_path: Path) -> None:
    finding = Finding("regression", "a: b: c", "two\nlines", 0)
    keeper = Keeper(Summary("original", "rfc-v1", 1), tmp_path, Scripted({print_program(EMPTY): [finding]}))
    keeper.take(FindingRecord(finding, print_program(EMPTY), 1))
    (path,) = tmp_path.iterdir()
    assert load(path) == EMPTY
