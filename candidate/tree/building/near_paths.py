# SPDX-License-Identifier: GPL-2.0-only
"""Paths like a mistyped one."""

import os
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path


def near_path(path: Path, wanted: Callable[[Path], bool]) -> str:
    """Return the existing path that is most like a missing one, beside its first part that is missing; "" for none.

    :param path: as the user wrote it
    :param wanted: returns whether the user can have meant an existing path
    """
    missing = path
    while not os.path.isdir(missing.parent) and missing.parent != missing:
        missing = missing.parent
    try:
        names = os.listdir(missing.parent)
    except (OSError, ValueError):
        return ""
    rest = path.relative_to(missing)
    by_case = {name.lower(): name for name in sorted(names)}
    for name in get_close_matches(missing.name.lower(), list(by_case), 5):
        found = missing.parent / by_case[name] / rest
        if wanted(found):
            return str(found)
    return ""


def is_linux(folder: Path) -> bool:
    """Return whether a folder is the top folder of a Linux tree."""
    return os.path.exists(folder / "arch" / "arm64" / "kvm")
