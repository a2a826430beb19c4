# SPDX-License-Identifier: GPL-2.0-only
"""Time limits for a process that allow for a loaded machine, on which its work takes longer."""

import time
from typing import Final

from .child import cpu_seconds

# A process that has used less than this part of its limit as CPU time is waiting.
_WORKING: Final = 0.01
# The limit of elapsed time, as a multiple of the limit of CPU time.
LONGEST: Final = 10


class Patience:
    """Decides when a piece of work of a process has taken too long.

    A process that works may take this many seconds of CPU time; a process that waits, as much elapsed time.

    :param process: its PID
    :param seconds: the limit
    """

    def __init__(self, process: int, seconds: float) -> None:
        self.process = process
        self.seconds = seconds
        self.begin()

    def begin(self) -> None:
        """Restart the measurement for the next piece of work."""
        self.since = time.monotonic()
        self.spent = cpu_seconds(self.process) or 0.0

    def over(self) -> bool:
        """Return whether the work has taken too long."""
        taken = time.monotonic() - self.since
        if taken < self.seconds:
            return False
        spent = (cpu_seconds(self.process) or 0.0) - self.spent
        return not self.seconds * _WORKING <= spent < self.seconds or taken >= self.seconds * LONGEST
