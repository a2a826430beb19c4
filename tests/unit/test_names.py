# SPDX-License-Identifier: GPL-2.0-only
"""Class names: each names one thing."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
TREES: Final = ("reference", "candidate", "fuzz")


def classes(root: Path) -> Iterator[tuple[str, str]]:
    """Yield the name of each class of the three trees, with its file and line."""
    for tree in TREES:
        for path in sorted((root / tree).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef):
                    yield node.name, f"{path.relative_to(root)}:{node.lineno}"


def shared(root: Path) -> dict[str, list[str]]:
    """Return the names of more than one class, with the places of these classes."""
    places: dict[str, list[str]] = {}
    for name, place in classes(root):
        places.setdefault(name, []).append(place)
    return {name: found for name, found in places.items() if len(found) > 1}


def test_no_two_classes_have_one_name() -> None:
    assert shared(ROOT) == {}


@pytest.mark.parametrize(
    "text", ["class Finding: ...\n", "def make() -> object:\n    class Finding: ...\n    return Finding\n"]
)
def test_a_duplicate_class_name_is_found(tmp_path: Path, text: str) -> None:
    """Run the check on a tree with one duplicate name."""
    for tree in TREES:
        (tmp_path / tree).mkdir()
    (tmp_path / "reference/one.py").write_text("class Finding: ...\n")
    assert shared(tmp_path) == {}
    (tmp_path / "fuzz/two.py").write_text(text)
    assert list(shared(tmp_path)) == ["Finding"]
