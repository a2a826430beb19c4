# SPDX-License-Identifier: GPL-2.0-only
"""The C files that the opened trees are compiled from, by the names without folders that debug information has."""

from collections.abc import Iterable
from typing import Final

from .source import ARM, COMPILED, MMU, NESTED, PGTABLE

_PATHS: Final = {path.rpartition("/")[2]: path for path in COMPILED}
_STAGE2: Final = {MMU, PGTABLE, NESTED}


def remember(added: Iterable[str]) -> None:
    """Record further files of a tree that is opened (`candidate.tree.building.added`)."""
    for path in added:
        if _PATHS.setdefault(path.rpartition("/")[2], path) == path and path.startswith(f"{ARM}/kvm/"):
            _STAGE2.add(path)


def path_of_file(name: str) -> str:
    """Return the path of a C file below its tree; *name* itself if it is not known."""
    return _PATHS.get(name, name)


def is_stage2(name: str) -> bool:
    """Return whether a C file has stage-2 code of arm64, other than TLB maintenance."""
    return path_of_file(name) in _STAGE2
