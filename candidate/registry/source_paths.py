# SPDX-License-Identifier: GPL-2.0-only
"""The source file of a module, and its name in messages."""

import os
from pathlib import Path
from typing import Final

from reference.compiled.choice import HOME

# Sources of the modules of outside files.
_OUTSIDE: Final[dict[str, Path]] = {}


def note(module: str, source: Path) -> None:
    """Record the source of an outside file's module."""
    _OUTSIDE[module] = source


def source_of(module: str) -> Path:
    """Return the source of a version's module."""
    outside = _OUTSIDE.get(module)
    if outside is not None:
        return outside
    path = HOME.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def shown_path(path: Path) -> str:
    """Return a source's name for messages: relative to the checkout, or else to the current directory, or unchanged."""
    if path.is_relative_to(HOME):
        return path.relative_to(HOME).as_posix()
    try:
        here = Path(os.getcwd())
    except OSError:
        return str(path)
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else str(path)


def shown_module(module: str) -> str:
    """Return the name of a module's source for messages; the module's name if there is no such file."""
    path = source_of(module)
    return shown_path(path) if path.is_file() else module
