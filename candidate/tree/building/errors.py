# SPDX-License-Identifier: GPL-2.0-only
"""The errors of a tree, or of the tools that compile it."""


class TreeError(Exception):
    """A tree cannot be built: one line that says what is wrong, where, and what to do."""


class TreeChangedError(TreeError):
    """A tree changed while it was compiled: nobody knows what the library was made of."""
