# SPDX-License-Identifier: GPL-2.0-only
"""The user's cache folder, and the making of entries in a part of it: trees that were built, kernels that were fetched.

An entry is made in a folder beside its place and renamed: it is there as a whole or not at all.
"""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

# An entry that nobody asked for in so many seconds is removed when another one is made.
UNUSED: Final = 30 * 24 * 3600


def cache_folder(*parts: str) -> Path:
    """Return a folder of the cache: ``$XDG_CACHE_HOME/s2fuzz/PARTS``, or the same below ``~/.cache``.

    :raises RuntimeError: the user has no home
    """
    home = os.environ.get("XDG_CACHE_HOME", "")
    # As the specification of XDG has it, a relative path counts as none.
    base = Path(home) if home.startswith("/") else Path.home() / ".cache"
    return base.joinpath("s2fuzz", *parts)


@contextmanager
def making_entry(home: Path, unfinished: str, refused: Callable[[Path, OSError], Exception]) -> Iterator[Path]:
    """A new folder in *home*, which is gone afterwards unless it was renamed; one process at a time makes one.

    Who comes second waits, and should look again for what it needs. What is left of processes that were killed goes.

    :param unfinished: beginning of the names of such folders
    :param refused: makes the error that is raised where *home* cannot be written
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise refused(home, error) from None
    try:
        # Without a lock, where a file system has none, two may do the same work.
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
            for left in home.glob(f"{unfinished}*"):
                shutil.rmtree(left, ignore_errors=True)
        try:
            work = Path(tempfile.mkdtemp(prefix=unfinished, dir=home))
        except OSError as error:
            raise refused(home, error) from None
        try:
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)
    finally:
        os.close(lock)


def remove_unused(home: Path) -> None:
    """Remove entries that nobody asked for in `UNUSED` seconds."""
    before = time.time() - UNUSED
    with suppress(OSError):
        for entry in home.iterdir():
            if entry.stat().st_mtime < before:
                shutil.rmtree(entry, ignore_errors=True)
