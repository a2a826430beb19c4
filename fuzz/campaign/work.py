# SPDX-License-Identifier: GPL-2.0-only
"""What a worker does with a unit: the same on this machine and on a cluster."""

import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..engines.supervisor import run_unit
from ..engines.unit import FoundRecord, Fresh, Result, State, Unit
from .code import Code, code_of

# Seconds between two looks at a child's memory, and two notices.
_LOOK_EVERY: Final = 0.5


@dataclass(frozen=True, slots=True)
class Notice:
    """How far a worker is with a unit.

    :param kib: resident memory of the engine's process, in KiB, at most so far
    """

    worker: str
    number: int
    programs: int
    operations: int
    seconds: float
    kib: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a unit.

    :param number: of the unit
    :param code: what it ran on; None: that changed meanwhile, and the outcome means nothing
    :param seconds: from its start to its end, that of its process included
    :param child_kib: resident memory of the engine's process, in KiB, at most; 0: not seen
    :param worker_kib: of the process that supervised it, now
    :param accidents: as in `fuzz.engines.unit.Result`
    """

    number: int
    worker: str
    code: Code | None
    state: State
    found: list[FoundRecord]
    fresh: list[Fresh]
    seconds: float
    child_kib: int
    worker_kib: int
    interrupted: bool
    accidents: list[str]


class Stop(KeyboardInterrupt):
    """Raised by whoever takes notices: the unit is to end with what it has."""


def do_unit(number: int, unit: Unit, notice: Callable[[Notice], None] | None = None) -> Outcome:
    """Do a unit in a supervised child process, which ends with this thread.

    :param notice: told now and then; may raise `Stop`
    :raises fuzz.engines.supervisor.EngineError: its process dies before it judges anything
    :raises OSError: no process can be started
    """
    worker = worker_name()
    before = code_of(unit.reference, unit.candidate)
    start = looked = time.monotonic()
    memory = 0

    def watch(result: Result) -> None:
        nonlocal looked, memory
        now = time.monotonic()
        if now - looked >= _LOOK_EVERY or not memory:
            looked = now
            memory = max(memory, children_kib())
        if notice is not None:
            state = result.state
            notice(Notice(worker, number, state.programs, state.operations, state.seconds, memory))

    result = run_unit(unit, watch)
    after = code_of(unit.reference, unit.candidate)
    return Outcome(
        number,
        worker,
        after if after == before else None,
        result.state,
        list(result.found.values()),
        result.fresh,
        time.monotonic() - start,
        memory,
        resident_kib("self"),
        result.interrupted,
        result.accidents,
    )


def worker_name() -> str:
    """Of this thread: its number in the pool, or the worker of the cluster that it belongs to."""
    name = threading.current_thread().name
    if name.startswith("worker"):
        return name
    return f"{socket.gethostname()}-{os.getpid()}"


def resident_kib(process: int | str, peak: bool = False) -> int:
    """Resident memory of a process, in KiB; 0 if it is gone.

    :param peak: the most it ever had
    """
    key = "VmHWM:" if peak else "VmRSS:"
    try:
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith(key):
                return int(line.split()[1])
    except (OSError, ValueError, IndexError):
        pass
    return 0


def children_kib() -> int:
    """The most resident memory, in KiB, of a process that this thread started and that lives."""
    path = Path(f"/proc/self/task/{threading.get_native_id()}/children")
    try:
        pids = path.read_text().split()
    except OSError:
        return 0
    return max((resident_kib(pid, peak=True) for pid in pids), default=0)
