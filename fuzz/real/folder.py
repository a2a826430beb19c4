# SPDX-License-Identifier: GPL-2.0-only
"""The user's cache folder: kernels, the initial file system, saved machines. Nothing of it lies in the checkout.

An entry is made in a folder beside its place and renamed: it is there as a whole or not at all.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from candidate.tree.building.cache_folder import cache_folder, making_entry, remove_unused

from .errors import RealError

# Beginning of the names of entries that are not complete.
UNFINISHED: Final = ".making-"


def folder(part: str) -> Path:
    """Return a part of the cache: ``$XDG_CACHE_HOME/s2fuzz/real/PART``, or the same below ``~/.cache``.

    :raises RealError: the user has no home
    """
    try:
        return cache_folder("real", part)
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
    with making_entry(home, UNFINISHED, name, refused) as work:
        yield work
        _publish(work, home / name)
    remove_unused(home)


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


def refused(place: Path, error: OSError) -> RealError:
    """Make the error of a cache that cannot be written."""
    why = error.strerror or str(error)
    return RealError(f"real: cannot write to {place}: {why}; make room there, or name another folder by XDG_CACHE_HOME")
