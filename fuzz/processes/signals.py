# SPDX-License-Identifier: GPL-2.0-only
"""Signals that end a command in order: Ctrl-C, SIGTERM and SIGHUP. Standard library only."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

_ENDING: Final = ("SIGINT", "SIGTERM", "SIGHUP")
# Python's own modules that import others.
_IMPORTING: Final = "<frozen importlib."
# Seconds until a signal that came at a bad moment comes again, and until that is as good as any other one.
_AGAIN: Final = 0.01
_PATIENCE: Final = 2.0
# Seconds in which a signal that comes again is the same one: `timeout` sends it to a process and to its group, and who
# presses Ctrl-C twice in a hurry does not mean to lose the report.
_SAME: Final = 0.5
# The signal that came last, and the monotonic time at which it came.
_noted: list[tuple[int, float]] = []


def note(number: int) -> None:
    """A signal came that ends the command."""
    _noted.append((number, time.monotonic()))


def exit_code() -> int:
    """128 and the number of the signal that came last; that of Ctrl-C where none was noted."""
    return 128 + (_noted[-1][0] if _noted else signal.SIGINT)


def loses_exceptions(frame: FrameType | None) -> bool:
    """Tell whether an exception that a signal handler raises may not come through as it is.

    What makes classes turns it into a RuntimeError (``__set_name__``, before Python 3.12), what ends objects swallows
    it, and modules are left half imported. The first happens in imports.

    :param frame: the one that was interrupted
    """
    while frame is not None:
        code = frame.f_code
        if code.co_filename.startswith(_IMPORTING) or code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


def interrupt(number: int, frame: FrameType | None) -> None:
    """Handle a signal: note it, and end the work under way, unless that has just been asked for.

    :raises KeyboardInterrupt: at once, or behind the import or the finalizer that is under way, if that does not last
    """
    last = _noted[-1] if _noted else None
    if last is not None and last[0] == number and time.monotonic() - last[1] < _SAME:
        return
    note(number)
    again(number, frame)


def again(number: int, frame: FrameType | None) -> None:
    """Handle the alarm that `interrupt` sets as it handles a signal that was noted.

    :raises KeyboardInterrupt: unless it may be lost, and can wait
    """
    if not loses_exceptions(frame) or time.monotonic() - _noted[-1][1] > _PATIENCE:
        raise KeyboardInterrupt
    signal.signal(signal.SIGALRM, again)
    signal.setitimer(signal.ITIMER_REAL, _AGAIN)


def heeded(name: str) -> bool:
    """Tell whether a signal is not ignored: under nohup, or behind a shell without job control, some are."""
    return signal.getsignal(getattr(signal, name)) != signal.SIG_IGN


@contextmanager
def in_order() -> Iterator[None]:
    """Have signals interrupt the work under way, unless they were ignored on entry; only in the main thread."""
    _noted.clear()
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
