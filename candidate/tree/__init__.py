# SPDX-License-Identifier: GPL-2.0-only
"""A kernel tree as a version: its own C files, compiled for this machine and run."""

from reference.compiled.choice import SANITIZE
from reference.compiled.choice import TREE as PREFIX

from .building.errors import TreeError

__all__ = ["PREFIX", "SANITIZE", "TreeError"]
