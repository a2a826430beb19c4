# SPDX-License-Identifier: GPL-2.0-only
"""The pool of idle processes of trees, with the counters of all their processes and the core of the driver."""

import atexit
import os
from pathlib import Path
from typing import Final

from ..lines.counts import CodeCounts
from .driver_core import DriverCore
from .process import Process
from .tallies import Tallies


class TreePool:
    """The processes of trees that this process has started, and all that they share.

    *tallies*: the counters of programs that no running process holds any more; *driver*: the core of the thread that
    judges
    """

    def __init__(self) -> None:
        self.tallies = Tallies()
        self.driver = DriverCore()
        # Idle processes, by library.
        self._idle: dict[str, list[Process]] = {}
        # Processes that run a program, or ran one until they ended.
        self._taken: list[Process] = []

    def counts(self) -> CodeCounts:
        """Return the counters, by library, of all judged programs that are over and not withdrawn."""
        found = CodeCounts()
        found.merge(self.tallies.ended)
        # If a bug of s2fuzz ended a program, the earlier programs on its process still count.
        for process in self.idle() + self.serving():
            found.add(process.name, process.totals())
            process.take_spared()
        found.merge(self.tallies.spared)
        found.take_away(self.tallies.withdrawn)
        found.take_away(self.tallies.unjudged)
        return found

    def unjudged(self) -> CodeCounts:
        """Return the counters, by library, of all programs that have no verdict."""
        found = CodeCounts()
        found.merge(self.tallies.unjudged)
        return found

    def idle(self) -> list[Process]:
        """Return the idle processes of all libraries, without those from before a fork."""
        me = os.getpid()
        found = [process for there in self._idle.values() for process in there if process.owner == me]
        for process in found:
            process.settle()
        return found

    def serving(self) -> list[Process]:
        """Return the trees' processes that run programs of this process."""
        me = os.getpid()
        self._taken = [process for process in self._taken if process.owner == me and not process.kept]
        return self._taken.copy()

    def take(self, library: Path, follows: bool = False) -> Process:
        """Take an idle process of a library from the pool, or start one, and begin a program on it.

        :param follows: as for `Process.begin`
        :raises TreeError, TreeNotStartedError: as for `Process`
        """
        there = self._idle.setdefault(str(library), [])
        process: Process | None = None
        me = os.getpid()
        while there and process is None:
            process = there.pop()
            # A process that was started before a fork belongs to the parent.
            if process.owner != me or process.has_ended():
                process = None
        if process is None:
            process = Process(library, self.tallies, self.driver)
        process.begin(follows)
        self.serving()
        self._taken.append(process)
        return process

    def give_back(self, process: Process, twin: Process | None = None) -> None:
        """End the program of a process, and return the process to the pool.

        :param twin: as for `Process.end`
        """
        process.end(twin)
        if process in self._taken:
            self._taken.remove(process)
        if process.owner == os.getpid():
            self._idle.setdefault(process.name, []).append(process)

    def forget(self) -> None:
        """End all idle processes."""
        for processes in self._idle.values():
            for process in processes:
                process.close()
        self._idle.clear()

    def end_all(self) -> None:
        """End all processes, also those that run a program."""
        self.forget()
        for process in self._taken:
            process.close()
        self._taken.clear()


# The pool of this process.
POOL: Final = TreePool()
# Runs before the interpreter removes the modules that ending a process needs.
atexit.register(POOL.end_all)
