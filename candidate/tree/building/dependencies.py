# SPDX-License-Identifier: GPL-2.0-only
"""The files of a tree that the compiler read, from its output with ``-MD``."""

import os
from pathlib import Path
from typing import Final

from .plan import INCLUDES, TREE
from .source import TreeSource

_BELOW: Final = f"{TREE}/"


def note(source: TreeSource, work: Path) -> None:
    """Record the files that the compiler read, and those that would have been found before them.

    :param work: folder of the build, where the ``*.d`` files are
    """
    read: set[str] = set()
    for file in work.glob("*.d"):
        # "target: file file \\\n file": names of kernel files have no spaces.
        words = file.read_text(errors="replace").replace("\\\n", " ").partition(":")[2].split()
        read.update(os.path.normpath(word) for word in words)
    for path in read:
        if path.startswith(_BELOW):
            source.has(path.removeprefix(_BELOW))
        _note_earlier(source, path)


def _note_earlier(source: TreeSource, path: str) -> None:
    """Record where in the tree the compiler looked for a header before it found it."""
    found = next((folder for folder in INCLUDES if path.startswith(f"{folder}/")), None)
    if found is None:
        return
    name = path.removeprefix(f"{found}/")
    for folder in INCLUDES[: INCLUDES.index(found)]:
        if folder.startswith(_BELOW):
            source.has(f"{folder.removeprefix(_BELOW)}/{name}")
