# SPDX-License-Identifier: GPL-2.0-only
"""The work of the driver while it would wait for a tree's process."""

from collections.abc import Callable
from typing import Final


class Meanwhile:
    """Says what else there is to do.

    *turn*: called before the driver waits for an answer, and returns when it is wanted; None: it just waits
    """

    def __init__(self) -> None:
        self.turn: Callable[[], None] | None = None


MEANWHILE: Final = Meanwhile()
