# SPDX-License-Identifier: GPL-2.0-only
"""The work of a worker on a unit, on this machine or on a cluster."""

import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Final

from ...engines.supervisor import run_unit
from ...engines.unit import Result, Unit
from ...processes.memory import children_kib, resident_kib
from ..store.code import digests_of
from ..store.outcomes import Notice, UnitOutcome

# Minimum seconds between two checks of a child's memory.
_LOOK_EVERY: Final = 0.5


class Stop(KeyboardInterrupt):
    """Raised by the receiver of notices: the unit is to end and keep its results so far."""


def do_unit(number: int, unit: Unit, notice: Callable[[Notice], None] | None = None) -> UnitOutcome:
    """Do a unit in a supervised child process, which ends with this thread.

    :param notice: called from time to time; may raise `Stop`
    :raises fuzz.engines.supervisor.EngineError: its process dies before it judges anything
    :raises OSError: no process can be started
    """
    worker = worker_name()
    before = digests_of(unit.reference, unit.candidate)
    start = looked = time.monotonic()
    memory = 0

    def watch(result: Result) -> None:
        nonlocal looked, memory
        now = time.monotonic()
        if now - looked >= _LOOK_EVERY or not memory:
            looked = now
            memory = max(memory, children_kib(peak=True))
        if notice is not None:
            state = result.state
            notice(Notice(worker, number, state.programs, state.operations, state.seconds, memory))

    result = run_unit(unit, watch)
    after = digests_of(unit.reference, unit.candidate)
    return UnitOutcome(
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
        result.counts(),
        result.unjudged(),
    )


def worker_name() -> str:
    """Return the name of this thread: its number in the pool, or the name of its worker in the cluster."""
    name = threading.current_thread().name
    if name.startswith("worker"):
        return name
    return f"{socket.gethostname()}-{os.getpid()}"
