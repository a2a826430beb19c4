# SPDX-License-Identifier: GPL-2.0-only
"""The files of a tree that the compiler read, from its output with ``-MD``."""

import os
from collections.abc import Iterator
from pathlib import Path

from .plan import BELOW, INCLUDES
from .source import TreeSource


def record_reads(source: TreeSource, work: Path) -> None:
    """Record the files that the compiler read, and the paths at which it looked for them before.

    :param work: folder of the build, which has the ``*.d`` files
    """
    read: set[str] = set()
    for file in work.glob("*.d"):
        read.update(read_by(file))
    for path in read:
        for each in (path, *earlier(path)):
            if each.startswith(BELOW):
                source.has(each.removeprefix(BELOW))


def read_by(file: Path) -> set[str]:
    """Return the files that a compiler run read, relative to the folder of the build.

    :param file: the output of the compiler with ``-MD``
    """
    # "target: file file \\\n file": names of kernel files have no spaces.
    words = file.read_text(errors="replace").replace("\\\n", " ").partition(":")[2].split()
    return {os.path.normpath(word) for word in words}


def earlier(path: str) -> Iterator[str]:
    """Yield the paths at which the compiler looked for a header before it found the header."""
    found = next((folder for folder in INCLUDES if path.startswith(f"{folder}/")), None)
    if found is not None:
        for folder in INCLUDES[: INCLUDES.index(found)]:
            yield f"{folder}/{path.removeprefix(f'{found}/')}"
