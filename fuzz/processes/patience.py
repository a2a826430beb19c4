# SPDX-License-Identifier: GPL-2.0-only
"""Patience with a process: a loaded machine makes its work longer, and is no reason to end it."""

import time
from typing import Final

from .child import cpu_seconds

# A process that has used less than this part of its time waits for something.
_WORKING: Final = 0.01
# So many times as long on the clock is enough, whatever it does.
LONGEST: Final = 10


class Patience:
    """Says when a piece of work of a process has taken too long.

    A process that works may take so many seconds of CPU time; one that waits, as many on the clock.

    :param process: its number
    :param seconds: of its time
    """

    def __init__(self, process: int, seconds: float) -> None:
        self.process = process
        self.seconds = seconds
        self.begin()

    def begin(self) -> None:
        """The process begins the next piece of work."""
        self.since = time.monotonic()
        self.spent = cpu_seconds(self.process) or 0.0

    def over(self) -> bool:
        """Tell whether the work has taken too long."""
        taken = time.monotonic() - self.since
        if taken < self.seconds:
            return False
        spent = (cpu_seconds(self.process) or 0.0) - self.spent
        return not self.seconds * _WORKING <= spent < self.seconds or taken >= self.seconds * LONGEST
