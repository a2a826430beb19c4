# SPDX-License-Identifier: GPL-2.0-only
"""Python's garbage collector, set for processes that judge programs; memory that a large program leaves behind."""

import ctypes
import gc
from collections.abc import Callable
from typing import Final

from ..processes.memory import resident_kib

# Objects made and not freed between two collections.
CYCLES: Final = 50_000
# KiB that a process may gain before it looks for what it can give back: one arena of Python's allocator.
GAINED: Final = 1 << 10


def collect_rarely() -> None:
    """Let the cycles of many programs come together before Python looks for them: few leave any.

    By default it looks, many times a program, through tables that are all in use.
    """
    gc.freeze()
    gc.set_threshold(CYCLES, 20, 20)


class Reclaimer:
    """Gives memory back to the system behind a program that took much more than those before it.

    Python keeps some thousands of freed objects for reuse, and only a full collection lets go of them. Those of a
    large program lie in memory that held nothing else. Unless they go before other objects join them there, that
    memory stays, and the process grows with each program that is larger than all before it.

    :param resident: tells the resident memory of a process, in KiB: of ``self``, this one
    """

    def __init__(self, resident: Callable[[str], int] = resident_kib) -> None:
        self.resident = resident
        # The least since memory was given back the last time.
        self.least = self.resident("self")
        self.trim = getattr(ctypes.CDLL(None), "malloc_trim", None)

    def look(self) -> None:
        """Give memory back, if the process has gained more than `GAINED`."""
        now = self.resident("self")
        if now > self.least + GAINED:
            gc.collect()
            if self.trim is not None:
                self.trim(0)
            self.least = self.resident("self")
        elif now < self.least:
            self.least = now
