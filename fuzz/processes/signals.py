# SPDX-License-Identifier: GPL-2.0-only
"""Signals that end a command in order, as Ctrl-C does. Standard library only."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

# Ctrl-C has Python's own handler.
_LIKE_CTRL_C: Final = ("SIGTERM", "SIGHUP")
# What came last; Ctrl-C needs no note.
_noted: list[int] = []


def note(number: int) -> None:
    """A signal came that ends the command."""
    _noted.append(number)


def exit_code() -> int:
    """128 and the number of the signal that came last; that of Ctrl-C where none was noted."""
    return 128 + (_noted[-1] if _noted else signal.SIGINT)


def interrupt(number: int, frame: FrameType | None) -> None:
    """A handler: note the signal, and end what is under way as Ctrl-C does.

    :raises KeyboardInterrupt: always
    """
    note(number)
    raise KeyboardInterrupt


def heeded(name: str) -> bool:
    """Whether a signal is not ignored: under nohup, or in the background of a shell without job control, some are."""
    return signal.getsignal(getattr(signal, name)) != signal.SIG_IGN


@contextmanager
def like_ctrl_c() -> Iterator[None]:
    """SIGTERM and SIGHUP interrupt as Ctrl-C does, unless they were ignored on entry; only in the main thread."""
    _noted.clear()
    before = {}
    for name in filter(heeded, _LIKE_CTRL_C):
        number = getattr(signal, name)
        before[number] = signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
