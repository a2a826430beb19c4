# SPDX-License-Identifier: GPL-2.0-only
"""The user's cache folder: kernels, the initial file system, saved machines. The checkout holds none of these.

An entry is created in a temporary folder beside its place and renamed, so it is either complete or absent.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from reference.cache_folder import cache_folder, making_entry, remove_unused

from .errors import RealError

# Prefix of the names of incomplete entries.
UNFINISHED: Final = ".making-"


def folder(part: str) -> Path:
    """Return a part of the cache: ``$XDG_CACHE_HOME/s2fuzz/real/PART``, or the same below ``~/.cache``.

    :raises RealError: the user has no home
    """
    try:
        return cache_folder("real", part)
    except RuntimeError:
        raise RealError("real: there is no home folder to keep kernels in; set XDG_CACHE_HOME") from None


def entry(part: str, name: str) -> Path | None:
    """Return the entry of this name and mark it as used now; None if there is none."""
    found = folder(part) / name
    if not found.is_dir():
        return None
    with suppress(OSError):
        os.utime(found)
    return found


def entry_made(part: str, name: str, make: Callable[[Path], None]) -> Path:
    """Return the entry of this name, and mark it as used now; create it first if there is none.

    :param make: fills a new folder, which becomes the entry; its errors are passed on
    :raises RealError: the cache cannot be written
    """
    found = entry(part, name)
    if found is None:
        with making(part, name) as work:
            if entry(part, name) is None:
                make(work)
        found = entry(part, name)
        assert found is not None
    return found


@contextmanager
def making(part: str, name: str) -> Iterator[Path]:
    """Yield a new folder, which becomes the entry of this name when the block ends without an error.

    A second process waits here, and must then check for the entry again.

    :raises RealError: the cache cannot be written
    """
    home = folder(part)
    with making_entry(home, UNFINISHED, name, refused) as work:
        yield work
        _publish(work, home / name)
    remove_unused(home)


def _publish(work: Path, place: Path) -> None:
    if not any(work.iterdir()):
        # Another process was faster, and this one created nothing.
        return
    try:
        shutil.rmtree(place, ignore_errors=True)
        work.chmod(0o755)
        work.rename(place)
    except OSError as error:
        raise refused(place.parent, error) from None


def refused(place: Path, error: OSError) -> RealError:
    """Return the error for a cache that cannot be written."""
    why = error.strerror or str(error)
    return RealError(f"real: cannot write to {place}: {why}; make room there, or set XDG_CACHE_HOME to another folder")
