# SPDX-License-Identifier: GPL-2.0-only
"""The core on which the driver stays while it works with trees' processes.

A process keeps to the core of the driver (native/rt_serve.c). But when its answer wakes the driver, that core is still
busy: the scheduler moves the driver to an idle one, and each request and answer from there on interrupts another core.
"""

import os
from collections.abc import Callable
from time import monotonic
from typing import Final

from .shared import core

# Seconds that it stays, and seconds in which the scheduler may move it then, for others may want its core.
STAYS: Final = 0.1
MOVES: Final = 0.005


class DriverCore:
    """Keeps the thread that judges on its core, for a while at a time.

    *kept*: the core from 0; -1: it runs anywhere

    :param clock: seconds that never go back
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.clock = clock
        self.kept = -1
        # Where it may run when it is not kept.
        self.cores: set[int] = set()
        self.moves = True
        # When the other one of both begins.
        self.due = 0.0

    def stay(self) -> int:
        """A program begins; return the core on which the driver is, from 1."""
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
        """Stay on the core of now, where that is allowed."""
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
        """Run anywhere, as what is started now is to."""
        if self.kept < 0:
            return
        here, self.kept = {self.kept}, -1
        # Unless somebody else has chosen cores since.
        if os.sched_getaffinity(0) == here:
            os.sched_setaffinity(0, self.cores)


DRIVER: Final = DriverCore()
