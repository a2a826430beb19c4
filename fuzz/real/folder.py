# SPDX-License-Identifier: GPL-2.0-only
"""The user's cache folder: kernels, the initial file system, saved machines. Nothing of it lies in the checkout.

An entry is made in a folder beside its place and renamed: it is there as a whole or not at all.
"""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from .errors import RealError

# Beginning of the names of entries that are not complete.
UNFINISHED: Final = ".making-"
# Seconds after which an entry that nobody asked for is removed, when another one is made.
UNUSED: Final = 30 * 24 * 3600


def folder(part: str) -> Path:
    """Return a part of the cache: ``$XDG_CACHE_HOME/s2fuzz/real/PART``, or the same below ``~/.cache``.

    :raises RealError: the user has no home
    """
    home = os.environ.get("XDG_CACHE_HOME", "")
    # As the specification of XDG has it, a relative path counts as none.
    if home.startswith("/"):
        return Path(home) / "s2fuzz" / "real" / part
    try:
        return Path.home() / ".cache" / "s2fuzz" / "real" / part
    except RuntimeError:
        raise RealError("real: there is no home folder to keep kernels in; name one by XDG_CACHE_HOME") from None


def entry(part: str, name: str) -> Path | None:
    """Return the entry of this name, which counts as used now; None: there is none."""
    found = folder(part) / name
    if not found.is_dir():
        return None
    with suppress(OSError):
        os.utime(found)
    return found


@contextmanager
def making(part: str, name: str) -> Iterator[Path]:
    """A new folder, which becomes the entry of this name when the block ends without an error.

    Who comes second waits, and should look for the entry again.

    :raises RealError: the cache cannot be written
    """
    home = folder(part)
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise refused(home, error) from None
    try:
        # Without a lock, where a file system has none, two may do the same work.
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
            _remove_old(home)
        try:
            work = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=home))
        except OSError as error:
            raise refused(home, error) from None
        try:
            yield work
            _publish(work, home / name)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    finally:
        os.close(lock)


def _publish(work: Path, place: Path) -> None:
    if not any(work.iterdir()):
        # Somebody else was faster, and nothing had to be made.
        return
    try:
        shutil.rmtree(place, ignore_errors=True)
        work.chmod(0o755)
        work.rename(place)
    except OSError as error:
        raise refused(place.parent, error) from None


def _remove_old(home: Path) -> None:
    """Remove what is not complete, for with the lock held nobody makes anything, and what was not used for long."""
    before = time.time() - UNUSED
    for each in home.iterdir():
        with suppress(OSError):
            if each.name.startswith(UNFINISHED) or each.stat().st_mtime < before:
                shutil.rmtree(each, ignore_errors=True)


def refused(place: Path, error: OSError) -> RealError:
    """Make the error of a cache that cannot be written."""
    why = error.strerror or str(error)
    return RealError(f"real: cannot write to {place}: {why}; make room there, or name another folder by XDG_CACHE_HOME")
