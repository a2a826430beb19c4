# SPDX-License-Identifier: GPL-2.0-only
"""The imports of other versions in the source of a version, read without running it."""

import ast
from pathlib import Path
from threading import Lock
from typing import Final

from reference.compiled.choice import HOME

_FOLDER: Final = HOME / "candidate"
# Some versions of Python (3.11.7) keep one depth count of syntax trees for all threads, and raise SystemError
# when two trees are built at the same time.
_ONE_AT_A_TIME: Final = Lock()


def imported(path: Path) -> set[Path]:
    """Return the modules of versions, of this package or in the same folder, that a source imports."""
    try:
        source = path.read_bytes()
        with _ONE_AT_A_TIME:
            tree = ast.parse(source)
    except (OSError, SyntaxError, ValueError):
        return set()
    found: set[Path] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found |= _absolute(alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            parts = node.module.split(".") if node.module else []
            for alias in node.names:
                names = [*parts, alias.name]
                found |= _beside(path, node.level, names) if node.level else _absolute(names)
    return {each for each in found if each.name != "__init__.py" and each != path}


def _absolute(parts: list[str]) -> set[Path]:
    return _below(_FOLDER, parts[1:]) if parts[0] == "candidate" else set()


def _beside(path: Path, level: int, parts: list[str]) -> set[Path]:
    folder = path.parents[level - 1]
    return set() if level > 1 and not folder.is_relative_to(_FOLDER) else _below(folder, parts)


def _below(folder: Path, parts: list[str]) -> set[Path]:
    """Return the module that a dotted name refers to, or that a name is imported from."""
    choices = [
        folder.joinpath(*parts[:count]).with_suffix(".py") for count in (len(parts), len(parts) - 1) if count > 0
    ]
    return {each for each in choices if each.is_file()}
