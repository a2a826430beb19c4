# SPDX-License-Identifier: GPL-2.0-only
"""A kernel tree as a version: its own C files, compiled for this machine and run."""

from pathlib import Path

from reference.compiled.choice import SANITIZE
from reference.compiled.choice import TREE as PREFIX

from .building.errors import TreeError

__all__ = ["PREFIX", "SANITIZE", "TreeError", "root_of"]


def root_of(version: str) -> Path:
    """Return the top folder of the tree that the name of a version stands for."""
    return Path(version.removeprefix(PREFIX).removesuffix(SANITIZE))
