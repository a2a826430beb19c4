# SPDX-License-Identifier: GPL-2.0-only
"""The pool of idle processes of trees, and the counters of all their processes."""

import atexit
import os
from pathlib import Path
from typing import Final

from ..lines.counts import CodeCounts
from . import tallies
from .process import Process

_idle: Final[dict[str, list[Process]]] = {}
# Processes that run a program, or ran one until they ended.
_taken: Final[list[Process]] = []


def counts() -> CodeCounts:
    """Return the counters, by library, of all judged programs of this process that are over and not withdrawn."""
    found = CodeCounts()
    found.merge(tallies.ENDED)
    # If a bug of s2fuzz ended a program, the earlier programs on its process still count.
    for process in idle() + serving():
        found.add(str(process.library), process.totals())
        process.take_spared()
    found.merge(tallies.SPARED)
    found.take_away(tallies.WITHDRAWN)
    found.take_away(tallies.UNJUDGED)
    return found


def unjudged() -> CodeCounts:
    """Return the counters, by library, of all programs of this process that have no verdict."""
    found = CodeCounts()
    found.merge(tallies.UNJUDGED)
    return found


def idle() -> list[Process]:
    """Return the idle processes of all libraries, without those from before a fork."""
    found = [process for there in _idle.values() for process in there if process.owner == os.getpid()]
    for process in found:
        process.settle()
    return found


def serving() -> list[Process]:
    """Return the trees' processes that run programs of this process."""
    _taken[:] = [process for process in _taken if process.owner == os.getpid() and not process.kept]
    return _taken.copy()


def take(library: Path, follows: bool = False) -> Process:
    """Take an idle process of a library from the pool, or start one, and begin a program on it.

    :param follows: as for `Process.begin`
    :raises TreeError: no process can be started
    """
    there = _idle.setdefault(str(library), [])
    process: Process | None = None
    while there and process is None:
        process = there.pop()
        # A process that was started before a fork belongs to the parent.
        if process.owner != os.getpid() or process.child.poll() is not None:
            process = None
    if process is None:
        process = Process(library)
    process.begin(follows)
    serving()
    _taken.append(process)
    return process


def give_back(process: Process, twin: Process | None = None) -> None:
    """End the program of a process, and return the process to the pool.

    :param twin: as for `Process.end`
    """
    process.end(twin)
    if process in _taken:
        _taken.remove(process)
    if process.owner == os.getpid():
        _idle.setdefault(str(process.library), []).append(process)


def forget() -> None:
    """End all idle processes."""
    for processes in _idle.values():
        for process in processes:
            process.close()
    _idle.clear()


# Runs before the interpreter removes the modules that ending a process needs.
atexit.register(forget)
