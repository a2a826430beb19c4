# SPDX-License-Identifier: GPL-2.0-only
"""The user's cache folder, and the creation of entries in it, such as built trees and fetched kernels.

An entry is made in a temporary folder and renamed, so it is complete or absent.
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

# An entry that was not used for this many seconds is removed when another one is made.
UNUSED: Final = 30 * 24 * 3600


def cache_folder(*parts: str) -> Path:
    """Return a folder of the cache: ``$XDG_CACHE_HOME/s2fuzz/PARTS``, or the same below ``~/.cache``.

    :raises RuntimeError: the user has no home
    """
    home = os.environ.get("XDG_CACHE_HOME", "")
    # According to the XDG specification, a relative path is ignored.
    base = Path(home) if home.startswith("/") else Path.home() / ".cache"
    return base.joinpath("s2fuzz", *parts)


@contextmanager
def making_entry(
    home: Path, unfinished: str, what: str, refused: Callable[[Path, OSError], Exception]
) -> Iterator[Path]:
    """Create a folder in *home*, and remove it afterwards unless it was renamed.

    Only one process at a time makes the same entry. A second one waits, and should then look for the entry again.
    Folders of processes that were killed are removed.

    :param unfinished: prefix of the names of such folders
    :param what: the rest of the folder's name, which identifies the entry
    :param refused: makes the exception that is raised if *home* cannot be written
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
        work, lock = _locked(home, unfinished, what)
    except OSError as error:
        raise refused(home, error) from None
    try:
        _remove_left(home, unfinished)
        yield work
    finally:
        # If the folder was renamed, a process that waited may have created a new one of this name.
        if _is_at(lock, work):
            shutil.rmtree(work, ignore_errors=True)
        os.close(lock)


def _locked(home: Path, unfinished: str, what: str) -> tuple[Path, int]:
    """Make the folder and take its lock, which is released when the process ends; return the folder and the lock."""
    work = home / f"{unfinished}{what}"
    while True:
        with suppress(FileExistsError):
            work.mkdir(mode=0o700)
        try:
            lock = os.open(work, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError:
            # On a file system without locks, two processes may do the same work.
            os.close(lock)
            with suppress(OSError):
                work.rmdir()
            work = Path(tempfile.mkdtemp(prefix=unfinished, dir=home))
            return work, os.open(work, os.O_RDONLY | os.O_DIRECTORY)
        if _is_at(lock, work):
            if not any(work.iterdir()):
                return work, lock
            # The process that made this folder was killed.
            shutil.rmtree(work)
        os.close(lock)


def _is_at(lock: int, work: Path) -> bool:
    """Return whether an open folder is still the one of this name."""
    with suppress(OSError):
        return os.path.samestat(os.fstat(lock), os.stat(work))
    return False


def _remove_left(home: Path, unfinished: str) -> None:
    """Remove the folders of processes that were killed: their locks are free."""
    for left in home.glob(f"{unfinished}*"):
        with suppress(OSError):
            lock = os.open(left, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(lock)


def remove_unused(home: Path) -> None:
    """Remove entries that were not used for `UNUSED` seconds; skip an entry that another process removes meanwhile."""
    before = time.time() - UNUSED
    try:
        entries = list(home.iterdir())
    except OSError:
        return
    for entry in entries:
        with suppress(OSError):
            if entry.stat().st_mtime < before:
                shutil.rmtree(entry, ignore_errors=True)
