# SPDX-License-Identifier: GPL-2.0-only
"""The end of a campaign: by a signal, after its time, or at a limit."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from ...processes.signals import heeded, interrupt, note

INTERRUPTED: Final = "interrupted"
TIME_OVER: Final = "time limit reached"
# Seconds between two checks during a wait.
_SLICE: Final = 0.05


class Stopping:
    """The decision to stop, with its reason.

    :param seconds: time from now until the campaign ends; None: never
    """

    def __init__(self, seconds: float | None) -> None:
        self.end = None if seconds is None else time.monotonic() + seconds
        # One of the constants above, or a reason of `fuzz.campaign.work.limits`; "" while the campaign continues.
        self.why = ""
        # Set when the session ends for any reason, also for an error.
        self.ended = False

    def over(self) -> bool:
        """Tell whether the campaign is to end."""
        if not self.why and self.end is not None and time.monotonic() >= self.end:
            self.why = TIME_OVER
        return bool(self.why)

    def reach(self, why: str) -> None:
        """Decide to stop for a reason; "" means no reason."""
        if not self.why:
            self.why = why

    def units_end(self) -> bool:
        """Return whether units in flight are to end; any thread may ask."""
        return self.ended or bool(self.why)

    def wait(self, seconds: float) -> None:
        """Wait, or return earlier if the campaign is to end."""
        end = time.monotonic() + seconds
        while not self.over() and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, _SLICE))

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Let Ctrl-C and the like end it in order, a second signal at once; signals ignored on entry stay ignored."""

        def stop(number: int, frame: FrameType | None) -> None:
            if self.why == INTERRUPTED:
                # It does not count again so soon after the one before, and must then not renew that one's time: a key
                # that is held down repeats faster.
                interrupt(number, frame)
                return
            note(number)
            # The interrupted code may hold any lock, so a handler takes none.
            self.why = INTERRUPTED

        handled = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if heeded(name)]
        before = {number: signal.signal(number, stop) for number in handled}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
