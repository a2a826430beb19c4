# SPDX-License-Identifier: GPL-2.0-only
"""The errors of a tree, or of the tools that compile it."""

from pathlib import Path


class TreeError(Exception):
    """Raised when a tree cannot be built; its message is one line: what is wrong, where, and what to do."""


class TreeChangedError(TreeError):
    """Raised when a tree changed while it was compiled: the sources of the library are not known."""


def cannot_write(home: Path, error: OSError) -> TreeError:
    """Return the error for a cache folder that cannot be written."""
    why = error.strerror or str(error)
    return TreeError(f"cannot write to the cache folder {home}: {why}; allowed: another one, named by XDG_CACHE_HOME")
