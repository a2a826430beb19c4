# SPDX-License-Identifier: GPL-2.0-only
"""Docstrings of all modules, classes and functions: each begins with a verb or a noun."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
TREES: Final = ("reference", "candidate", "fuzz", "tests")
# A docstring that begins with one of these words inverts its sentence.
QUESTIONS: Final = frozenset({"What", "Which", "How", "Where", "Whether", "When", "Who", "Whom", "Whose", "Why"})
FIRST_WORD: Final = re.compile(r"\w+")


def docstrings(source: str) -> Iterator[tuple[int, str, str]]:
    """Yield the docstrings of a module: line, name of the documented object, text."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text is not None:
                yield getattr(node, "lineno", 1), getattr(node, "name", "the module"), text


def questions(source: str) -> list[str]:
    """Return the docstrings of a module that begin like a question, as text."""
    found = []
    for line, name, text in docstrings(source):
        first = FIRST_WORD.match(text)
        if first is not None and first.group() in QUESTIONS:
            found.append(f"{line}: {name}: {text.splitlines()[0]}")
    return found


@pytest.mark.parametrize("tree", TREES)
def test_docstrings_begin_with_a_verb_or_a_noun(tree: str) -> None:
    found = {
        str(path.relative_to(ROOT)): wrong
        for path in sorted((ROOT / tree).rglob("*.py"))
        if (wrong := questions(path.read_text()))
    }
    assert found == {}, "begin with a verb or a noun: 'Tell whether ...', 'Return the ...', 'The ...'"


@pytest.mark.parametrize(
    "source",
    [
        '"""What a checker is."""\n',
        'class A:\n    """Who is told."""\n',
        'class A:\n    def f(self) -> bool:\n        """Whether it holds."""\n        return True\n',
        'async def f() -> None:\n    """How it goes."""\n',
    ],
)
def test_a_question_is_found(source: str) -> None:
    """Run the check on modules with one docstring that must be rewritten."""
    assert len(questions(source)) == 1


def test_a_verb_and_a_noun_are_fine() -> None:
    assert (
        questions('"""Whatever comes."""\ndef f() -> bool:\n    """Tell whether it holds."""\n    return True\n') == []
    )
