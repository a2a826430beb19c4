# SPDX-License-Identifier: GPL-2.0-only
"""The version that a user probably means by a name that is none."""

import os
import re
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from ..tree import PREFIX, tree_meant_by
from ..tree.building.near_paths import is_linux, near_path

# A release of Linux, such as v6.12 or 6.12.3-rc1.
_RELEASE: Final = re.compile(r"v?[2-9]\.[0-9]+[\w.-]*")
# The prefix of a kernel tree, misspelt: ``tree=../linux``, ``TREE:../linux``, ``tre:../linux``.
_PREFIX: Final = re.compile(r"(?i:t[re]{1,4}e?|trees)[:=]+(?P<path>.+)")
# An expression that git takes for a commit, such as HEAD~1 or my-branch^.
_COMMIT: Final = re.compile(r"HEAD\b.*|[\w./-]+[~^][0-9~^]*")


def name_meant(name: str, names: Iterable[str]) -> str:
    """Return a hint for a name that is neither a registered version nor a path; "" if there is none.

    :param names: of the registered versions and planted bugs
    """
    if tree := tree_meant_by(name):
        return f" (a kernel tree is `{tree}`)"
    if hint := _prefix_meant(name):
        return hint
    for stem in (name, name.replace("-", "_")):
        if Path(f"{stem}.py").is_file():
            return f" (did you mean './{stem}.py'?)"
    if _RELEASE.fullmatch(name):
        return f" (a release is a commit of a kernel tree: `{PREFIX}PATH@v{name.removeprefix('v')}`)"
    if _COMMIT.fullmatch(name):
        return f" (a commit of a kernel tree is `{PREFIX}{'.' if is_linux(Path()) else 'PATH'}@{name}`)"
    if near := get_close_matches(name.lower(), list(names), 1):
        return f" (did you mean {near[0]!r}?)"
    if hint := _tree_near(name):
        return hint
    return _file_near(f"{name}.py")


def path_meant(name: str) -> str:
    """Return a hint for a path that is no regular file; "" if there is none."""
    if tree := tree_meant_by(name):
        return f" (a kernel tree is `{tree}`)"
    if os.path.lexists(name):
        # The name is right, and something else is wrong with the file.
        return ""
    if hint := _prefix_meant(name):
        return hint
    return _file_near(name) or _tree_near(name)


def _prefix_meant(name: str) -> str:
    """Return a hint for a kernel tree whose prefix is misspelt; "" for another name."""
    found = _PREFIX.fullmatch(name)
    return f" (a kernel tree is `{PREFIX}{found['path']}`)" if found else ""


def _file_near(name: str) -> str:
    near = near_path(Path(name), lambda path: path.suffix == ".py" and path.is_file())
    return f" (did you mean {near if near.startswith(('/', '.')) else f'./{near}'!r}?)" if near else ""


def _tree_near(name: str) -> str:
    near = near_path(Path(name), is_linux)
    return f" (did you mean '{PREFIX}{near}'?)" if near else ""
