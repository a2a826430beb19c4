# SPDX-License-Identifier: GPL-2.0-only
"""The command ``s2fuzz tree check``."""

import json
import subprocess
from pathlib import Path

import pytest

from candidate.tree.building.reach import FEATURES, unreachable
from candidate.tree.building.source import KVM_MAIN, MMU, NESTED, TreeSource
from candidate.tree.facts import commit, version
from fuzz.command_line import cli

from .trees import real_tree, real_trees, small_tree


def test_describes_a_tree(common_cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = real_tree()
    assert cli.main(["tree", "check", str(tree)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith(f"{tree}: Linux 6.12.")
    for words in (
        f"    {MMU}, ",
        "optional features:\n    ",
        "yes, 4K pages, gcc ",
        ", 0 unknown",
        "protected VMs (pKVM): ",
    ):
        assert words in out
    for kind in ("unknown", "refused"):
        assert f"\n{kind} (a program that calls one has no verdict):\n" in out
    assert "\nhas" not in out
    # This function is reachable and must not be listed as unreachable. Known bugs, which come last, may name it.
    assert "user_mem_abort" not in out.partition("\nknown bugs:")[0]
    assert "create_hyp_mappings" in out


@pytest.mark.parametrize("name", real_trees() or ["none"])
def test_answers_in_json(name: str, common_cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = real_tree(name)
    assert cli.main(["tree", "check", str(tree), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["tree"] == str(tree)
    assert answer["granule"] == "4K"
    assert Path(answer["library"]).is_file()
    assert set(answer["files"]) >= {MMU, KVM_MAIN}
    assert (NESTED in answer["files"]) == (tree / NESTED).is_file()
    assert answer["symbols"]["unknown"] == []
    assert "alloc_pages_exact" in str(answer["symbols"]["modelled"])
    assert {each["name"] for each in answer["features"]} >= {"nVHE"}
    assert "kvm_handle_guest_abort" not in answer["functions"][MMU]
    assert "create_hyp_mappings" in answer["functions"][MMU]


def test_a_feature_is_found_by_its_declarations(tmp_path: Path) -> None:
    tree = small_tree(tmp_path)
    assert unreachable(TreeSource(tree), []) == []
    (tree / MMU).write_text("static bool x(struct kvm *kvm)\n{\n\treturn is_protected_kvm_enabled();\n}\n")
    assert [feature.name for feature in unreachable(TreeSource(tree), [])] == ["protected VMs (pKVM)"]


def test_a_feature_of_one_function_is_unreachable_while_nothing_calls_it(tmp_path: Path) -> None:
    tree = small_tree(tmp_path)
    (tree / MMU).write_text("void stage2_unmap_vm(struct kvm *kvm)\n{\n}\n")
    assert [feature.name for feature in unreachable(TreeSource(tree), ["stage2_unmap_vm"])] == ["reset of vCPUs"]
    assert unreachable(TreeSource(tree), ["kvm_toggle_cache"]) == []


@pytest.mark.skipif(not real_trees(), reason="needs kernel trees: S2FUZZ_TREES")
def test_each_feature_is_found_in_some_tree() -> None:
    everything = [feature.function for feature in FEATURES]
    found = {feature for name in real_trees() for feature in unreachable(TreeSource(real_tree(name)), everything)}
    if {"5.12.9", "6.1", "6.12", "7.3"} <= set(real_trees()):
        assert found == set(FEATURES)


def test_the_version_is_read_from_the_makefile(tmp_path: Path) -> None:
    source = TreeSource(small_tree(tmp_path))
    assert version(source) == ""
    (tmp_path / "Makefile").write_text("VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL =\nEXTRAVERSION = -rc3\nNAME = x\n")
    assert version(source) == "6.12-rc3"


def test_the_commit_is_that_of_the_tree_itself(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        who = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
        return subprocess.run(
            ["git", *who, "-C", str(tmp_path), *arguments], capture_output=True, text=True, check=True
        ).stdout

    git("init", "--quiet")
    tree = small_tree(tmp_path / "inside")
    git("add", ".")
    git("commit", "--quiet", "-m", "trees")
    # The surrounding repository is another project.
    assert commit(TreeSource(tree)) == ""
    (tmp_path / ".git").rename(tree / ".git")
    tmp_path = tree
    git("add", ".")
    git("commit", "--quiet", "-m", "tree")
    head = git("rev-parse", "HEAD").strip()
    assert commit(TreeSource(tree)) == head
    (tree / MMU).write_text("int x;\n")
    assert commit(TreeSource(tree)) == f"{head}+"
