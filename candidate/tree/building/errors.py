# SPDX-License-Identifier: GPL-2.0-only
"""What is wrong with a tree, or with what compiles it."""


class TreeError(Exception):
    """A tree cannot be built: one line that says what is wrong, where, and what to do."""
