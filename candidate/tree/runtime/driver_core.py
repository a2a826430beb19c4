# SPDX-License-Identifier: GPL-2.0-only
"""The core to which the driver is bound while it works with trees' processes.

A process binds itself to the core of the driver (native/rt_serve.c). But when its answer wakes the driver, that core is
still busy. The scheduler then moves the driver to an idle core, and every later request and answer interrupts another
core.
"""

import os
from collections.abc import Callable
from time import monotonic
from typing import Final

from .shared import core

# Seconds that the driver stays bound, and then seconds in which the scheduler may move it: others may need its core.
STAYS: Final = 0.1
MOVES: Final = 0.005


class DriverCore:
    """Binds the thread that judges to its core, for a limited time.

    *kept*: the core from 0; -1: the thread runs anywhere

    :param clock: a monotonic clock in seconds
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.clock = clock
        self.kept = -1
        # The cores that the thread may use when it is not bound.
        self.cores: set[int] = set()
        self.moves = True
        # When the thread changes between bound and free the next time.
        self.due = 0.0

    def stay(self) -> int:
        """Bind or free the thread at the beginning of a program; return its current core, from 1."""
        now = self.clock()
        if now >= self.due:
            self.moves = not self.moves
            self.due = now + (MOVES if self.moves else STAYS)
        if self.moves:
            self.free()
        elif self.kept < 0:
            self.keep()
        return core()

    def keep(self) -> None:
        """Bind the thread to its current core, if that is allowed."""
        here = core() - 1
        try:
            self.cores = os.sched_getaffinity(0)
            if len(self.cores) < 2:
                return
            os.sched_setaffinity(0, (here,))
        except OSError:
            return
        self.kept = here

    def free(self) -> None:
        """Free the thread, so that processes it starts do not inherit its core."""
        if self.kept < 0:
            return
        here, self.kept = {self.kept}, -1
        # Keep an affinity that was set from outside since then.
        if os.sched_getaffinity(0) == here:
            os.sched_setaffinity(0, self.cores)
