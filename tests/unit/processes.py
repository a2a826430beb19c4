# SPDX-License-Identifier: GPL-2.0-only
"""Processes under test: with the usual signals, and waited for by what can be seen of them, never for a while."""

import os
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

# Seconds that a loaded machine may take for what usually takes one.
PATIENCE: Final = 60.0
# Between two looks.
_LOOK_EVERY: Final = 0.02
_TICKS: Final = os.sysconf("SC_CLK_TCK")
# A job in the background has its children ignore SIGINT, and under nohup SIGHUP: Python then sets no handler.
_LAUNCHER: Final = """\
import os, signal, sys
for number in signal.SIGINT, signal.SIGHUP, signal.SIGTERM:
    signal.signal(number, signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_SETMASK, ())
os.execv(sys.argv[1], sys.argv[1:])
"""


def interruptible(command: list[str]) -> list[str]:
    """The same command, of which signals make what they make of one in a terminal, however the tests were started."""
    return [sys.executable, "-I", "-S", "-c", _LAUNCHER, *command]


def wait_for(true: Callable[[], object], what: str) -> None:
    """Wait until something is true.

    :param what: is told if it never is
    """
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(_LOOK_EVERY)


def state(pid: int) -> str:
    """The state of a process as /proc has it; Z, a zombie, also where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "Z"


def wait_for_end(pid: int) -> None:
    """Wait until a process is gone, or would be if its parent asked."""
    wait_for(lambda: state(pid) == "Z", f"the end of process {pid}")


def work_of(pids: Iterable[int]) -> float:
    """Seconds of CPU time that processes, and those that they have waited for, have taken."""
    ticks = 0
    for pid in pids:
        with suppress(OSError):
            # utime, stime, cutime, cstime
            ticks += sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]))
    return ticks / _TICKS


def wait_for_work(pids: Callable[[], Iterable[int]], seconds: float) -> None:
    """Wait until processes have worked for so many seconds of CPU time from now on, however long that takes.

    :param pids: which ones; some may come and go
    """
    most = start = work_of(pids())
    deadline = time.monotonic() + PATIENCE
    while most - start < seconds:
        assert time.monotonic() < deadline, f"processes that work, {most - start:.2f} of {seconds:.2f} s so far"
        time.sleep(_LOOK_EVERY)
        now = work_of(pids())
        # What one took that is gone, and that nobody has waited for yet, is not counted.
        start -= max(0.0, most - now)
        most = now
