# SPDX-License-Identifier: GPL-2.0-only
"""The errors of a tree, or of the tools that compile it."""

from pathlib import Path


class TreeError(Exception):
    """A tree cannot be built: one line that says what is wrong, where, and what to do."""


class TreeChangedError(TreeError):
    """A tree changed while it was compiled: nobody knows what the library was made of."""


def cannot_write(home: Path, error: OSError) -> TreeError:
    """Return the error of a cache folder that cannot be written."""
    why = error.strerror or str(error)
    return TreeError(f"cannot write to the cache folder {home}: {why}; allowed: another one, named by XDG_CACHE_HOME")
