# SPDX-License-Identifier: GPL-2.0-only
"""Signals that end a command in an orderly way: Ctrl-C, SIGTERM and SIGHUP. Standard library only."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

_ENDING: Final = ("SIGINT", "SIGTERM", "SIGHUP")
# Prefix of the file names of Python's import system.
_IMPORTING: Final = "<frozen importlib."
# Seconds until a signal that arrived at an unsafe point is tried again, and until it is handled even there.
_AGAIN: Final = 0.01
_PATIENCE: Final = 2.0
# Seconds in which a repeated signal counts as the same one: `timeout` sends it to a process and to its group, and a
# user who quickly presses Ctrl-C twice does not want to lose the report.
_SAME: Final = 0.5
# The signals that arrived, with their monotonic times.
_noted: list[tuple[int, float]] = []
# When the handling of a signal was first put off; empty: none waits. Later signals do not renew it.
_postponed: list[float] = []


def note(number: int) -> None:
    """Record a signal that ends the command."""
    _noted.append((number, time.monotonic()))


def exit_code() -> int:
    """Return 128 plus the number of the last signal; that of SIGINT if none was recorded."""
    return 128 + (_noted[-1][0] if _noted else signal.SIGINT)


def loses_exceptions(frame: FrameType | None) -> bool:
    """Return whether an exception that a signal handler raises may be lost or changed.

    Class creation turns it into a RuntimeError (``__set_name__``, before Python 3.12), finalizers swallow it, and an
    import leaves modules half initialised. Class creation happens in imports.

    :param frame: the interrupted frame
    """
    while frame is not None:
        code = frame.f_code
        if code.co_filename.startswith(_IMPORTING) or code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


def interrupt(number: int, frame: FrameType | None) -> None:
    """Handle a signal: record it and interrupt the current work, unless the same signal has just arrived.

    :raises KeyboardInterrupt: at once, or after the current import or finalizer if that does not take long
    """
    last = _noted[-1] if _noted else None
    if last is not None and last[0] == number and time.monotonic() - last[1] < _SAME:
        return
    note(number)
    again(number, frame)


def again(number: int, frame: FrameType | None) -> None:
    """Interrupt the current work, or set an alarm to try again if the exception may be lost.

    :raises KeyboardInterrupt: unless it may be lost and can still wait
    """
    now = time.monotonic()
    if not loses_exceptions(frame) or (_postponed and now - _postponed[0] > _PATIENCE):
        _postponed.clear()
        raise KeyboardInterrupt
    if not _postponed:
        _postponed.append(now)
    signal.signal(signal.SIGALRM, again)
    signal.setitimer(signal.ITIMER_REAL, _AGAIN)


def heeded(name: str) -> bool:
    """Return whether a signal is not ignored: nohup, or a shell without job control, has some ignored."""
    return signal.getsignal(getattr(signal, name)) != signal.SIG_IGN


@contextmanager
def in_order() -> Iterator[None]:
    """Let signals interrupt the current work, unless they were ignored on entry; only in the main thread."""
    _noted.clear()
    _postponed.clear()
    before = {signal.SIGALRM: signal.getsignal(signal.SIGALRM)}
    for name in filter(heeded, _ENDING):
        number = getattr(signal, name)
        before[number] = signal.signal(number, interrupt)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
