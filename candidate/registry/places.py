# SPDX-License-Identifier: GPL-2.0-only
"""The source file of a module, and the name that people know it by."""

import os
from pathlib import Path
from typing import Final

from reference.compiled.choice import HOME

# Sources of modules that are files from outside.
_OUTSIDE: Final[dict[str, Path]] = {}


def note(module: str, source: Path) -> None:
    """Remember the source of a module from outside."""
    _OUTSIDE[module] = source


def source_of(module: str) -> Path:
    """The source of a module of a version."""
    outside = _OUTSIDE.get(module)
    if outside is not None:
        return outside
    path = HOME.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def shown_path(path: Path) -> str:
    """A source's name for people: below the checkout, or else below the current directory, or as it is."""
    if path.is_relative_to(HOME):
        return path.relative_to(HOME).as_posix()
    try:
        here = Path(os.getcwd())
    except OSError:
        return str(path)
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else str(path)


def shown_module(module: str) -> str:
    """The same for the source of a module; the module's name if there is no such file."""
    path = source_of(module)
    return shown_path(path) if path.is_file() else module
