# SPDX-License-Identifier: GPL-2.0-only
"""The trees' processes on which nothing runs, and what all of them have counted."""

import atexit
import os
from pathlib import Path
from typing import Final

from ..lines.counts import CodeCounts
from . import tallies
from .process import Process

_idle: Final[dict[str, list[Process]]] = {}
# Those that serve a program, or did until they ended.
_taken: Final[list[Process]] = []


def counts() -> CodeCounts:
    """The counters of all programs that are over and not withdrawn, of this process, by library."""
    found = CodeCounts()
    found.merge(tallies.ENDED)
    # Where an error of ours has ended a program, those before it on its process count all the same.
    for process in idle() + serving():
        found.add(str(process.library), process.totals())
        process.take_spared()
    found.merge(tallies.SPARED)
    found.take_away(tallies.WITHDRAWN)
    return found


def idle() -> list[Process]:
    """Return the processes of all libraries on which nothing runs, without those from before a fork."""
    found = [process for there in _idle.values() for process in there if process.owner == os.getpid()]
    for process in found:
        process.settle()
    return found


def serving() -> list[Process]:
    """Return the processes on which programs of this one run."""
    _taken[:] = [process for process in _taken if process.owner == os.getpid() and not process.kept]
    return _taken.copy()


def take(library: Path, follows: bool = False) -> Process:
    """A process of this library on which nothing runs, ready for a program.

    :param follows: as of `Process.begin`
    :raises TreeError: none can be started
    """
    there = _idle.setdefault(str(library), [])
    process: Process | None = None
    while there and process is None:
        process = there.pop()
        # One that was started before a fork belongs to the other process.
        if process.owner != os.getpid() or process.child.poll() is not None:
            process = None
    if process is None:
        process = Process(library)
    process.begin(follows)
    serving()
    _taken.append(process)
    return process


def give_back(process: Process, twin: Process | None = None) -> None:
    """The program is over; its process may serve another.

    :param twin: as of `Process.end`
    """
    process.end(twin)
    if process in _taken:
        _taken.remove(process)
    if process.owner == os.getpid():
        _idle.setdefault(str(process.library), []).append(process)


def forget() -> None:
    """End all processes on which nothing runs."""
    for processes in _idle.values():
        for process in processes:
            process.close()
    _idle.clear()


# While all that it takes is there.
atexit.register(forget)
