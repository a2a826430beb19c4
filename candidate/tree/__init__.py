# SPDX-License-Identifier: GPL-2.0-only
"""A kernel tree as a version: its own C files, compiled for this machine and run."""

from typing import Final

from .building.errors import TreeError

__all__ = ["PREFIX", "TreeError"]

# Of a version's name; a path follows.
PREFIX: Final = "tree:"
