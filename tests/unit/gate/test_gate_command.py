# SPDX-License-Identifier: GPL-2.0-only
"""The gate command: reproducible files, exit codes, and two recipes: a workflow and ``git rebase --exec``."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ..console import ROOT, Result, in_process, put_on_path
from ..pages import blocks, commands
from .schemas import check_junit, check_sarif

# A patch that cleans no host data before a page is exposed; a few programs show it.
PATCH = """\
from candidate import Candidate
from reference.mmu import Mmu
from reference.pgtable import Pgtable


class PgtableMine(Pgtable):
    pass


class MmuMine(Mmu):
    def clean_dcache_guest_page(self, pfn, size):
        {body}


CANDIDATE = Candidate("mine", PgtableMine, MmuMine, "for a test")
"""
GOOD = PATCH.format(body="super().clean_dcache_guest_page(pfn, size)")
BAD = PATCH.format(body="pass")
FEW = ("--programs", "8")
FILES = ("gate.xml", "gate.sarif", "gate.md", "gate.json")
OUTPUTS = tuple(
    word for pair in zip(("--junit", "--sarif", "--markdown", "--save-baseline"), FILES, strict=True) for word in pair
)
PAGE = ROOT / "docs" / "reports.md"
WORKFLOW = ROOT / ".github" / "workflows" / "gate.yml"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a directory with ``s2fuzz`` on PATH."""
    put_on_path(tmp_path, monkeypatch)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> Result:
    return in_process(capsys)("gate", *arguments)


def test_the_same_files_each_time(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Compare one worker with two; another candidate has other files."""
    (folder / "mine.py").write_text(BAD)
    seen: list[dict[str, bytes]] = []
    for workers in ("1", "2"):
        code, out, _ = run(capsys, "--candidate", "./mine.py", *FEW, "--workers", workers, *OUTPUTS)
        assert code == 1
        seen.append({name: (folder / name).read_bytes() for name in FILES} | {"out": out.encode()})
    assert seen[0] == seen[1]
    assert seen[0]["out"] == seen[0]["gate.md"]
    check_junit(seen[0]["gate.xml"].decode())
    results = check_sarif(seen[0]["gate.sarif"].decode())["results"]
    place = results[0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] in ("mine.py", "reference/mmu.py", "reference/pgtable.py")
    # Compared with that state nothing is new.
    code, out, _ = run(capsys, "--candidate", "./mine.py", *FEW, "--baseline", "gate.json")
    assert code == 0
    assert out.startswith("# s2fuzz gate passed\n")
    assert "Known before" in out


def test_a_correct_change_passes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "mine.py").write_text(GOOD)
    (folder / "known-findings.toml").write_text('[[finding]]\npattern = "leak: *"\nreason = "mended"\n')
    code, out, _ = run(capsys, "--candidate", "./mine.py", *FEW)
    assert (code, out.partition("\n")[0]) == (0, "# s2fuzz gate passed")
    assert "entry 1: leak: \\*" in out
    code, out, _ = run(capsys, "--candidate", "./mine.py", *FEW, "--strict-known")
    assert (code, out.partition("\n")[0]) == (1, "# s2fuzz gate failed: 1 stale entry of accepted findings")


def test_files_are_refused_before_anything_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for options, words in (
        (("--junit", "bin/no/x.xml"), "--junit bin/no/x.xml: No such file or directory; name a file"),
        (("--junit", "x", "--sarif", "x"), "--sarif x: the file of --junit; give each a name of its own"),
        (("--baseline", "none.json"), "--baseline none.json: No such file or directory; name a file that `s2fuzz gate"),
    ):
        code, out, err = run(capsys, "--candidate", "rfc-v1", *options)
        assert (code, out) == (2, "")
        assert err.startswith(f"s2fuzz: {words}"), err
        assert err.count("\n") == 1
    assert list(folder.iterdir()) == []


def git(*arguments: str) -> subprocess.CompletedProcess[str]:
    who = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    return subprocess.run(["git", *who, *arguments], text=True, capture_output=True, check=False)


def commit(name: str, text: str) -> None:
    Path("my_patch.py").write_text(f"{text}# {name}\n")
    assert git("add", "my_patch.py").returncode == 0
    assert git("commit", "-m", name).returncode == 0


@pytest.mark.skipif(shutil.which("git") is None, reason="no git")
def test_the_recipe_for_a_rebase_stops_at_the_commit_that_breaks_it(folder: Path) -> None:
    (recipe,) = [line for line in commands(PAGE) if "git rebase" in line and "my_patch" in line]
    assert git("init", "--initial-branch=main").returncode == 0
    for name, text in (("base", GOOD), ("one", GOOD), ("two", BAD), ("three", BAD)):
        commit(name, text)
    words = shlex.split(recipe)
    assert words[:3] == ["git", "rebase", "--exec"]
    command = words[3].replace("--programs 300", "--programs 8")
    assert command != words[3]
    done = git("rebase", "--exec", command, "main~3")
    assert done.returncode != 0
    assert git("log", "-1", "--format=%s").stdout == "two\n"
    assert "# s2fuzz gate passed" in done.stdout
    assert "# s2fuzz gate failed" in done.stdout


def steps() -> dict[str, dict[str, Any]]:
    """Return the steps of the workflow that run a script, by name."""
    yaml = pytest.importorskip("yaml")
    workflow = yaml.safe_load(WORKFLOW.read_text())
    # The word ``on`` is a truth value in YAML 1.1.
    assert set(workflow[True]["workflow_call"]["inputs"]) >= {"candidate", "reference", "programs", "known", "baseline"}
    (job,) = workflow["jobs"].values()
    return {step["name"]: step for step in job["steps"] if "run" in step}


def inputs(**given: str) -> dict[str, str]:
    """Return the inputs of the workflow, with their defaults."""
    yaml = pytest.importorskip("yaml")
    declared = yaml.safe_load(WORKFLOW.read_text())[True]["workflow_call"]["inputs"]
    texts = {name: each.get("default", "") for name, each in declared.items()}
    return {name: str(value).lower() if value is False else str(value) for name, value in texts.items()} | given


def play(step: dict[str, Any], values: dict[str, str], folder: Path) -> int:
    """Run a step as the service does."""
    environment = {name: str(value) for name, value in step.get("env", {}).items()}
    for name, value in values.items():
        environment = {key: text.replace(f"${{{{ inputs.{name} }}}}", value) for key, text in environment.items()}
    assert not any("${{" in text for text in (*environment.values(), step["run"]))
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
    environment = {**os.environ, **environment, "GITHUB_STEP_SUMMARY": str(folder / "summary.md")}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False).returncode


def test_the_workflow(folder: Path) -> None:
    """Run its steps except the installation: a bad change fails, and its summary is shown."""
    told = steps()
    assert list(told) == ["install", "gate", "summary"]
    (folder / "mine.py").write_text(BAD)
    (folder / "k.toml").write_text('[[finding]]\npattern = "*"\nreason = "it is meant"\n')
    values = inputs(candidate="./mine.py", programs="8")
    assert play(told["gate"], values, folder) == 1
    assert play(told["summary"], values, folder) == 0
    assert (folder / "summary.md").read_text() == (folder / "gate.md").read_text()
    check_junit((folder / "gate.xml").read_text())
    check_sarif((folder / "gate.sarif").read_text())
    assert play(told["gate"], {**values, "known": "k.toml", "strict": "true"}, folder) == 0


def test_the_page_calls_the_workflow() -> None:
    """Check that it only uses declared inputs."""
    yaml = pytest.importorskip("yaml")
    (text,) = [block.text for block in blocks(PAGE) if block.language == "yaml"]
    for job in yaml.safe_load(text)["jobs"].values():
        assert job["uses"].partition("@")[0].endswith("/.github/workflows/gate.yml")
        assert set(job["with"]) <= set(inputs())


def test_a_full_disk_keeps_the_summary_and_the_other_files(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outputs = ("--junit", "/dev/full", "--sarif", "gate.sarif")
    code, out, err = run(capsys, "--candidate", "rfc-v1", *FEW, *outputs)
    assert code == 2
    assert "# s2fuzz gate failed: 3 findings" in out
    assert err.endswith("s2fuzz: --junit /dev/full: No space left on device; try: free space on the disk\n")
    check_sarif((folder / "gate.sarif").read_text())
