# SPDX-License-Identifier: GPL-2.0-only
"""Python's garbage collector, set for processes that judge programs; memory that a large program leaves behind."""

import ctypes
import gc
import os
from collections.abc import Callable
from typing import Final

# Objects made and not freed between two collections.
CYCLES: Final = 50_000
# Bytes that a process may gain before it looks for what it can give back: one arena of Python's allocator.
GAINED: Final = 1 << 20
# The memory of this process in pages, as Linux tells it.
STATM: Final = "/proc/self/statm"
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


def collect_rarely() -> None:
    """Let the cycles of many programs come together before Python looks for them: few leave any.

    By default it looks, many times a program, through tables that are all in use.
    """
    gc.freeze()
    gc.set_threshold(CYCLES, 20, 20)


def resident_bytes() -> int:
    """Return the resident memory of this process, in bytes, some microseconds each time; 0 where nothing tells it."""
    try:
        with open(STATM, "rb", buffering=0) as file:
            return int(file.read().split()[1]) * _PAGE
    except OSError:
        return 0


class Reclaimer:
    """Gives memory back to the system behind a program that took much more than those before it.

    Python keeps some thousands of freed objects for reuse, and only a full collection lets go of them. Those of a
    large program lie in memory that held nothing else. Unless they go before other objects join them there, that
    memory stays, and the process grows with each program that is larger than all before it.

    :param resident: tells the resident memory of this process, in bytes
    """

    def __init__(self, resident: Callable[[], int] = resident_bytes) -> None:
        self.resident = resident
        # The least since memory was given back the last time.
        self.least = self.resident()
        self.trim = getattr(ctypes.CDLL(None), "malloc_trim", None)

    def look(self) -> None:
        """Give memory back, if the process has gained more than `GAINED`."""
        now = self.resident()
        if now > self.least + GAINED:
            gc.collect()
            if self.trim is not None:
                self.trim(0)
            now = self.resident()
            self.least = now
        elif now < self.least:
            self.least = now
