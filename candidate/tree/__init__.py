# SPDX-License-Identifier: GPL-2.0-only
"""A kernel tree as a version: its own C files, compiled for this machine and run."""

import os
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from reference.compiled.choice import SANITIZE
from reference.compiled.choice import TREE as PREFIX

from .building.commits import AT, checked_out, parts_of, resolved, short
from .building.errors import TreeError
from .building.source import MAKEFILES, MMU, TreeSource
from .building.units import path_of_file

__all__ = [
    "MAKEFILES",
    "MMU",
    "PREFIX",
    "SANITIZE",
    "TreeError",
    "path_of",
    "path_of_file",
    "root_of",
    "source_of",
    "tree_meant_by",
    "with_absolute_path",
    "with_pinned_commit",
]

_ALLOWED: Final = f"allowed: {PREFIX}PATH or {PREFIX}PATH{AT}COMMIT, with the top folder of a Linux tree"


def root_of(version: str) -> Path:
    """Return the top folder of the tree that the name of a version stands for.

    If the name has a commit, that commit is checked out first, unless it is checked out already.

    :param version: ``tree:PATH``, ``tree:PATH@COMMIT``, or either of them followed by `SANITIZE`
    :raises TreeError: there is no such commit, or it cannot be checked out
    """
    return _checked_out(version)[0]


def source_of(version: str) -> TreeSource:
    """Return the tree that the name of a version stands for; checks out a commit as `root_of` does.

    :raises TreeError: as for `root_of`, or the folder is no tree that can be built
    """
    root, commit = _checked_out(version)
    return TreeSource(root, path_of(version) if commit else "", commit)


def tree_meant_by(name: str) -> str:
    """Return the version that a name without `PREFIX` probably means: a kernel tree if it is a folder, else ""."""
    with suppress(OSError, ValueError):
        if name and parts_of(path_of(name))[0].is_dir():
            return f"{PREFIX}{name}"
    return ""


def _parts(version: str) -> tuple[Path, str]:
    """Return the folder and the commit in the name of a version; the commit is "" if the name has none.

    :raises TreeError: the folder or the commit is empty, or the end of the name is misspelt
    """
    name = path_of(version)
    if not name:
        raise TreeError(f"{PREFIX}: the path of the tree is empty; {_ALLOWED}")
    folder, commit = parts_of(name)
    if not os.path.exists(folder) and not commit and (name.startswith(AT) or name.endswith(AT)):
        raise TreeError(f"{name}: the {'folder' if name.startswith(AT) else 'commit'} is empty; {_ALLOWED}")
    end = name.rpartition(":")[2]
    if end != name and not os.path.exists(name) and get_close_matches(end.lower(), [SANITIZE[1:]]):
        raise TreeError(f"{name}: there is no suffix :{end} (did you mean {SANITIZE!r}?); {_ALLOWED}")
    return folder, commit


def _checked_out(version: str) -> tuple[Path, str]:
    """Return the top folder of a tree, and the full name of the commit in its name, or "".

    :raises TreeError: as for `root_of`
    """
    folder, commit = _parts(version)
    if not commit:
        return folder, ""
    full = resolved(folder, commit)
    return checked_out(folder, full), full


def with_pinned_commit(version: str) -> str:
    """Return a stable name of the same version: a branch, a tag or ``HEAD~1`` is replaced by its commit.

    :raises TreeError: there is no such commit, or the name is malformed
    """
    if not version.startswith(PREFIX):
        return version
    folder, commit = _parts(version)
    return version_name(str(folder), short(folder, commit), version) if commit else version


def with_absolute_path(version: str) -> str:
    """Return the name of the same version with an absolute path."""
    folder, commit = parts_of(path_of(version))
    return version_name(os.path.abspath(folder), commit, version)


def version_name(folder: str, commit: str, like: str) -> str:
    """Return the name of a version in a folder; it has `SANITIZE` if the name *like* has it."""
    return f"{PREFIX}{folder}{AT if commit else ''}{commit}{SANITIZE if like.endswith(SANITIZE) else ''}"


def path_of(version: str) -> str:
    """Return the part of a version's name that locates the tree: PATH or PATH@COMMIT."""
    return version.removeprefix(PREFIX).removesuffix(SANITIZE)
