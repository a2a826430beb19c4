# SPDX-License-Identifier: GPL-2.0-only
"""A patch that needs an unmodelled function is not clean: sessions report that there is no verdict."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

import candidate
from candidate.tree import PREFIX
from candidate.tree.building.source import MMU
from candidate.tree.runtime.pool import POOL
from fuzz.judging.versions_with_bug import bug_run

from ..unit.console import in_process
from .trees import changed, planted, real_tree, version

PROGRAMS = "6"
TEXT = "\tmmap_read_lock(current->mm);\n\tvma = vma_lookup"
# Dirty logs reach the first line, and each fault reaches the second.
LOGS = "\tlockdep_assert_held_write(&kvm->mmu_lock);\n\n\tkvm_stage2_wp_range(&kvm->arch.mmu, start, end);\n"
LOGS_REFUSED = f"\tmemunmap(NULL);\n{LOGS}"
SOME_PROGRAMS = "12"


@pytest.fixture
def versions(tmp_path: Path) -> tuple[str, ...]:
    """Return options: a tree whose faults call an unmodelled function, against the unchanged tree."""
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


def lines_of(copy: str, text: str) -> list[str]:
    """Return the places of a one-line text in mmu.c of a copy of a tree."""
    source = (Path(copy.partition(":")[2]) / MMU).read_text().splitlines()
    return [f"{MMU}:{number}" for number, line in enumerate(source, 1) if text in line]


def test_lines_that_only_programs_without_a_verdict_ran(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """These lines were not judged: most programs are clean, but say nothing about the patch."""
    copy = planted("6.12", tmp_path / "tree", MMU, LOGS, LOGS_REFUSED)
    versions = "--candidate", copy, "--reference", version("6.12")
    (line,) = lines_of(copy, "memunmap(NULL);")
    code, out, _ = in_process(capsys, "fuzz", *versions, "--programs", SOME_PROGRAMS)()
    assert "\nnot exercised: only programs without a verdict ran the code in which the two differ\n" in out
    assert "\n0 of 1 differing line ran in programs with a verdict\n" in out
    assert f"\nran only in programs without a verdict: {line}\n" in out
    assert " without a verdict; not modelled: memunmap\n" in out
    assert "did not run" not in out
    assert code == 2
    code, out, _ = in_process(capsys, "gate", *versions, "--programs", SOME_PROGRAMS)()
    assert (code, out.splitlines()[0]) == (2, "# s2fuzz gate not complete")
    assert "not exercised: only programs without a verdict ran" in out
    folder = str(tmp_path / "campaign")
    code, out, _ = in_process(capsys, "campaign", *versions, "--until", f"programs={SOME_PROGRAMS}", folder)()
    assert code == 2
    assert f"ran only in programs without a verdict: {line}" in out
    code, out, _ = in_process(capsys, "status", "--json", folder)()
    exercise = json.loads(out)["exercise"]
    assert (code, exercise["ran"], exercise["missing"], exercise["unjudged"]) == (2, 0, [line], [line])


def test_lines_that_other_programs_ran_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line that a judged program ran counts, also if programs without a verdict ran it."""
    original = (real_tree() / MMU).read_text()
    walked = "\tmmap_read_lock(current->mm);\n\tvma = vma_lookup(current->mm, hva);\n"
    assert original.count(walked) == 1
    text = original.replace(LOGS, LOGS_REFUSED, 1).replace(walked, walked.replace(", hva)", ", (hva))"))
    copy = f"{PREFIX}{changed(real_tree(), tmp_path / 'tree', {MMU: text})}"
    versions = "--candidate", copy, "--reference", version("6.12")
    code, out, _ = in_process(capsys, "fuzz", *versions, "--programs", SOME_PROGRAMS)()
    (line,) = lines_of(copy, "memunmap(NULL);")
    assert "\n1 of 2 differing lines ran in programs with a verdict\n" in out
    assert f"\nran only in programs without a verdict: {line}\n" in out
    assert "not exercised" not in out
    assert code == 0


def test_cover(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = planted("6.12", tmp_path / "tree", MMU, LOGS, LOGS_REFUSED)
    (line,) = lines_of(copy, "memunmap(NULL);")
    file = tmp_path / "x.s2"
    file.write_text("s2fuzz 1\nvm\nslot a size=64K backing=anon log=on\ncpu0 write a+0\nlog a get\n")
    for name, reaches in ((copy, False), (version("6.12"), True)):
        _, out, _ = in_process(capsys, "cover", str(file), "--candidate", name, "--line", line)()
        assert (str(file) in out) == reaches


def test_programs_of_known_bugs_do_not_count() -> None:
    """They run on one tree alone, so they compare nothing."""
    tree = candidate.get(version("6.12"))
    # The start of the tree's process adds counts, so it comes first.
    bug_run.__wrapped__(tree, "D2")
    before = POOL.counts()
    bug_run.__wrapped__(tree, "D2")
    after = POOL.counts()
    after.take_away(before)
    assert not any(any(counters) for counters in after.by_library.values())


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
