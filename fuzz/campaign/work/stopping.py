# SPDX-License-Identifier: GPL-2.0-only
"""How a campaign is told to stop: by a signal, or because its time is over."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from ...processes.signals import heeded, note

INTERRUPTED: Final = "interrupted"
TIME_OVER: Final = "its time is over"


class Stopping:
    """Whether, and why.

    :param seconds: from now on, after which it is over; None: never
    """

    def __init__(self, seconds: float | None) -> None:
        self.end = None if seconds is None else time.monotonic() + seconds
        # One of the above; "" while it goes on.
        self.why = ""
        # For threads that do something meanwhile.
        self.event = threading.Event()

    def over(self) -> bool:
        """Whether it is to end."""
        if not self.why and self.end is not None and time.monotonic() >= self.end:
            self.why = TIME_OVER
        return bool(self.why)

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Ctrl-C and the like end it in order; a second one at once. What was ignored on entry stays so."""

        def stop(number: int, frame: FrameType | None) -> None:
            note(number)
            if self.why == INTERRUPTED:
                raise KeyboardInterrupt
            self.why = INTERRUPTED
            self.event.set()

        handled = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if heeded(name)]
        before = {number: signal.signal(number, stop) for number in handled}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
