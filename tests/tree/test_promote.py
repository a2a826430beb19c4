# SPDX-License-Identifier: GPL-2.0-only
"""A finding of one tree against another becomes a test of the registered versions, and records where it was seen."""

import subprocess
from pathlib import Path

import pytest

from candidate.tree import PREFIX, SANITIZE
from candidate.tree.building.source import PGTABLE
from fuzz.command_line.cli import main
from fuzz.command_line.commands import promote
from fuzz.exit_codes import FINE
from fuzz.minimizing import promotion

from .trees import planted, small_tree, version

PROGRAM = "s2fuzz 1\nvm cpus=1\nslot a size=4K backing=anon\ncpu0 read a+0\nhost discard a+0 4K\n"
PUT = "\tmm_ops->put_page(ctx->ptep);\n}\n\nstatic bool stage2_pte_cacheable"


def test_a_finding_of_one_tree_against_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = planted("6.12", tmp_path / "tree", PGTABLE, PUT, PUT.split("\n", 1)[1])
    folder = tmp_path / "regressions"
    folder.mkdir()
    monkeypatch.setattr(promotion, "regressions_folder", lambda: folder)
    program = tmp_path / "p.s2"
    program.write_text(PROGRAM)
    versions = ["--candidate", copy, "--reference", version("6.12")]
    assert main(["promote", str(program), *versions, "--name", "put", "--seconds", "1"]) == FINE
    words = " ".join((folder / "put.s2").read_text().replace("#", " ").split())
    assert f"Shows on {copy} against {version('6.12')} (regression): " in words
    assert "expect original: nothing" in words
    assert "reference:" not in words
    assert "to run it on kernel trees: s2fuzz run, with their names" in capsys.readouterr().err


def test_the_commit_of_a_tree(tmp_path: Path) -> None:
    tree = small_tree(tmp_path / "tree")
    name = f"{PREFIX}{tree}"
    assert promote.named("rfc-v1") == "rfc-v1"
    assert promote.named(name) == name
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for arguments in (["init", "-q"], ["add", "."], [*who, "commit", "-q", "-m", "all"]):
        subprocess.run(["git", "-C", str(tree), *arguments], check=True)
    head = subprocess.run(["git", "-C", str(tree), "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    assert promote.named(name) == f"{name} (commit {head.stdout[:12]})"
    (tree / PGTABLE).write_text("changed\n")
    assert promote.named(f"{name}{SANITIZE}") == f"{name}{SANITIZE} (commit {head.stdout[:12]}+)"
