# SPDX-License-Identifier: GPL-2.0-only
"""Imports point down: the code follows the table of packages in docs/architecture.md."""

import graphlib
from pathlib import Path
from typing import Final

import pytest

from .import_graph import ROOT, imports, layer_of, layers, modules

PAGE: Final = ROOT / "docs" / "architecture.md"


def upward(root: Path, order: list[str]) -> list[str]:
    """Return the imports that point up the table, as text."""
    wrong = []
    for each in imports(root):
        user, used = layer_of(each.user, order), layer_of(each.used, order)
        if user and used and user != used and order.index(used) > order.index(user):
            wrong.append(f"{each.user} imports {each.used}, but {used} stands above {user} in {PAGE.name}")
    return wrong


def test_no_import_points_up() -> None:
    assert upward(ROOT, layers(PAGE.read_text())) == []


def test_the_table_has_every_package() -> None:
    order = layers(PAGE.read_text())
    # The registry of a tree, and the module that starts the console script, belong to no layer of fuzz.
    without = [name for name in modules(ROOT) if not layer_of(name, order) and name not in ("fuzz", "fuzz.__main__")]
    assert without == []
    assert [each for each in order if each not in modules(ROOT)] == []
    assert len(order) == len(set(order))


def test_fuzz_uses_the_interface_of_builds() -> None:
    """Check that fuzz/ uses `candidate.tree`, never the parts by which a tree is built."""
    parts = "candidate.tree.building"
    wrong = [
        each for each in imports(ROOT) if each.user.startswith("fuzz.") and f"{each.used}.".startswith(f"{parts}.")
    ]
    assert wrong == []


def test_only_the_registry_imports_commands() -> None:
    """Commands use what lies beside their package, so the reverse would be a cycle of packages."""
    package = "fuzz.command_line.commands"
    users = {each.user for each in imports(ROOT) if each.used.startswith(package)}
    assert {user for user in users if not user.startswith(package)} == {"fuzz.command_line.registry"}


def test_no_two_modules_import_each_other() -> None:
    graph: dict[str, set[str]] = {}
    for each in imports(ROOT):
        if each.runs:
            graph.setdefault(each.user, set()).add(each.used)
    graphlib.TopologicalSorter(graph).prepare()


@pytest.mark.parametrize(
    "line",
    ["from ..judging import verdict", "from fuzz.judging.verdict import Judge", "import fuzz.judging.verdict"],
)
def test_an_import_that_points_up_is_found(tmp_path: Path, line: str) -> None:
    """Run the checks above on a tree with one wrong import."""
    for package in ("fuzz", "fuzz/checkers", "fuzz/judging"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / "fuzz/judging/verdict.py").write_text("class Judge: ...\n")
    order = ["fuzz.checkers", "fuzz.judging"]
    (tmp_path / "fuzz/checkers/tlb.py").write_text("import ast\n")
    assert upward(tmp_path, order) == []
    (tmp_path / "fuzz/checkers/tlb.py").write_text(f"def late():\n    {line}\n")
    assert upward(tmp_path, order) != []
