# SPDX-License-Identifier: GPL-2.0-only
"""docs/how-to/patch.md, followed to the letter."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from .console import ROOT, process

PAGE = (ROOT / "docs" / "how-to" / "patch.md").read_text()
EXAMPLE = PAGE.split("```python\n")[1].split("```")[0]
# The table rows of step 3: words of the message -> the change of the example that provokes it.
MISTAKES = {
    "no such file": None,
    "NameError": ("class PgtableMyPatch(Pgtable)", "class PgtableMyPatch(Pgtabel)"),
    "SyntaxError": ("class MmuMyPatch(Mmu):", "class MmuMyPatch(Mmu)"),
    "ImportError": ("import Mmu", "import Mum"),
    "no declaration": ("CANDIDATE =", "DECLARATION ="),
    "a second declaration": ("\n\nCANDIDATE =", "\n\nCANDIDATE = None\nCANDIDATE ="),
    "CANDIDATE has the type ": ("CANDIDATE = Candidate", "CANDIDATE = dict(a=1) or Candidate"),
    "overrides nothing, did you mean ": ("clean_dcache_guest_page", "clean_dcache_guest_pag"),
    "cannot take the calls of inherited code": ("(self, pfn: int, size: int)", "(self, pfn: int)"),
    "it overrides nothing of ": ("clean_dcache_guest_page", "my_own_function"),
}


def commands(step: int) -> list[list[str]]:
    """Return the commands of a step."""
    text = PAGE.split(f"\n## {step}. ")[1].split("\n## ")[0]
    return [shlex.split(line) for line in re.findall(r"^    \$ s2fuzz (.*)$", text, re.MULTILINE)]


def run(arguments: list[str], folder: Path, path: Path = ROOT) -> "subprocess.CompletedProcess[str]":
    """Run a command as a shell in *folder* would."""
    spread: list[str] = []
    for each in arguments:
        spread += sorted(str(file.relative_to(folder)) for file in folder.glob(each)) if "*" in each else [each]
    return process(*spread, path=path, cwd=folder, stdout=subprocess.PIPE)


def test_a_file_is_judged_and_its_finding_shrunk(tmp_path: Path) -> None:
    (tmp_path / "my_patch.py").write_text(EXAMPLE)
    (fuzz,) = commands(3)
    done = run([*fuzz, "--programs", "60"], tmp_path)
    assert done.returncode == 1
    shown = re.findall(r"^    (s2fuzz: .*)$", PAGE, re.MULTILINE)
    lines = done.stderr.splitlines()
    assert lines[0] == shown[0]
    assert lines[1].split(" runs ")[0] == shown[1].split(" runs ")[0]
    for arguments in commands(4):
        done = run(arguments, tmp_path)
        assert done.returncode in (0, 1), done.stderr
    assert ">>> the first difference of the two sides" in done.stdout
    assert "# candidate: ./my_patch.py\n" in (tmp_path / "small.s2").read_text()


@pytest.mark.parametrize("words", MISTAKES)
def test_each_mistake_has_the_documented_message(words: str, tmp_path: Path) -> None:
    table = PAGE.split("| what the line says |")[1].split("\n\n")[0]
    assert f"`{words.strip()}" in table or words in table
    change = MISTAKES[words]
    if change is not None:
        assert change[0] in EXAMPLE
        (tmp_path / "my_patch.py").write_text(EXAMPLE.replace(*change))
    done = run(commands(3)[0], tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert words in done.stderr


def test_a_file_is_registered_by_moving_it(tmp_path: Path) -> None:
    """Use a checkout with few regression tests."""
    for package in ("reference", "candidate", "fuzz"):
        shutil.copytree(ROOT / package, tmp_path / package)
    folder = tmp_path / "corpus" / "regressions"
    folder.mkdir(parents=True)
    for name in ("dcache-logging-route", "a1-age-partial"):
        shutil.copy(ROOT / "corpus" / "regressions" / f"{name}.s2", folder)
    (tmp_path / "candidate" / "my_patch.py").write_text(EXAMPLE)
    assert "  my-patch " in run(["list"], tmp_path, tmp_path).stdout
    expect, judge = commands(6)
    done = run(expect, tmp_path, tmp_path)
    assert done.stdout.endswith("my-patch: 2 regression tests, 2 changed\n"), done.stderr
    assert "\n# expect my-patch: regression dcache: " in (folder / "dcache-logging-route.s2").read_text()
    assert run(judge, tmp_path, tmp_path).returncode in (0, 1)
    assert run(["fuzz", "--candidate", "my-patch", "--programs", "8"], tmp_path, tmp_path).returncode == 1
    (keep,) = commands(7)
    done = run(keep, tmp_path, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "\n# expect my-patch: regression dcache: " in (folder / f"{keep[-1]}.s2").read_text()
