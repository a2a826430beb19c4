# SPDX-License-Identifier: GPL-2.0-only
"""A finding on a kernel tree does not send its reader to a function that the tree lacks."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import candidate
import fuzz.checkers
from candidate.tree.building.source import KVM_MAIN, MMU, PGTABLE
from fuzz.checkers.later_names import LATER, named
from fuzz.judging.known import known_bugs
from fuzz.language.text import load
from fuzz.reports.sidebyside import record
from fuzz.reports.trace import IN_WORDS

from ..unit.console import ROOT
from .trees import real_tree, version

OLDEST: Final = "5.12.9"
NEWER: Final = ("6.1", "6.12", "7.3")
_NAME: Final = re.compile(r"\b[a-z_][a-z0-9]*(?:_+[a-z0-9]+)+\b")
# Words that tell which kernels have a name.
_GENERATION: Final = re.compile(r"\bin \d+\.\d+")


def words_of(name: str) -> set[str]:
    """Return the words of the files that findings refer to: pgtable.c, mmu.c, kvm_main.c, and their headers."""
    tree = real_tree(name)
    files = [tree / file for file in (PGTABLE, MMU, KVM_MAIN)]
    files += [*(tree / "include" / "linux").glob("kvm*.h"), *(tree / "arch/arm64/include/asm").glob("kvm*.h")]
    return set(re.findall(r"\w+", "".join(file.read_text() for file in files)))


def literals(source: str) -> Iterator[str]:
    """Yield the string literals of a module except docstrings; an f-string is one text."""
    tree = ast.parse(source)
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    lone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) for part in node.values if isinstance(part, ast.Constant))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and not {id(node)} & (parts | lone):
            yield node.value


def texts() -> list[str]:
    """Return the texts of findings: reasons and rules of checkers, and reasons of known bugs."""
    folder = Path(fuzz.checkers.__file__).parent
    found = [text for file in sorted(folder.glob("*.py")) for text in literals(file.read_text())]
    return found + [bug.reason for bug in known_bugs()]


@pytest.mark.parametrize("name", NEWER)
def test_names_that_a_tree_lacks_come_with_their_kernels(name: str) -> None:
    lost = words_of(OLDEST) - words_of(name)
    assert "mmu_notifier_retry" in lost
    wrong = [
        text
        for text in texts()
        for word in _NAME.findall(text)
        if word in lost and word not in LATER and not _GENERATION.search(text)
    ]
    assert wrong == []


@pytest.mark.parametrize("name", NEWER)
def test_later_names_exist(name: str) -> None:
    words = words_of(name)
    for function, later in LATER.items():
        assert function in words_of(OLDEST)
        assert any(word in words for word in _NAME.findall(later)), function
        assert named(function) == f"{function}() ({later})"
    assert named("find_vma") == "find_vma()"


def test_a_trace_of_a_tree_describes_calls_whose_names_changed() -> None:
    program = load(ROOT / "corpus" / "regressions" / "dcache-logging-route.s2")
    versions = candidate.get("original"), candidate.get(version("7.3"))
    rows = [row for section in record(program, *versions) for row in section.rows]
    left, right = ({row.left.text for row in rows if row.left}, {row.right.text for row in rows if row.right})
    assert "kvm_set_pfn_accessed 0x100001" in left
    assert "mark accessed frame 0x100001" in right
    assert not [text for text in right for function in IN_WORDS if text.startswith(function)]
    # The same call is the same on both sides.
    pair = next(row for row in rows if row.left and row.left.text == "kvm_set_pfn_accessed 0x100001")
    assert pair.right is not None
    assert pair.right.text == "mark accessed frame 0x100001"
