# SPDX-License-Identifier: GPL-2.0-only
"""Settings of Python's garbage collector for processes that judge programs, and return of freed memory."""

import ctypes
import gc
from collections.abc import Callable
from typing import Final

from ..processes.memory import resident_kib

# Objects allocated and not freed between two collections.
CYCLES: Final = 50_000
# KiB that a process may gain before it tries to return memory: one arena of Python's allocator.
GAINED: Final = 1 << 10


def collect_rarely() -> None:
    """Let reference cycles of many programs accumulate before Python collects: few programs leave any.

    By default Python scans tables that are all in use, many times per program.
    """
    gc.freeze()
    gc.set_threshold(CYCLES, 20, 20)


class Reclaimer:
    """Returns memory to the system after a program that used much more than earlier ones.

    Python keeps some thousands of freed objects for reuse, and only a full collection releases them. The objects of a
    large program lie in memory that holds nothing else. Unless they are released before other objects join them there,
    that memory stays, and the process grows with each program that is larger than all before it.

    :param resident: returns the resident memory of a process, in KiB; ``self`` is this process
    """

    def __init__(self, resident: Callable[[str], int] = resident_kib) -> None:
        self.resident = resident
        # The minimum since memory was last returned.
        self.least = self.resident("self")
        self.trim = getattr(ctypes.CDLL(None), "malloc_trim", None)

    def look(self) -> None:
        """Return memory if the process has gained more than `GAINED`."""
        now = self.resident("self")
        if now > self.least + GAINED:
            gc.collect()
            if self.trim is not None:
                self.trim(0)
            self.least = self.resident("self")
        elif now < self.least:
            self.least = now
