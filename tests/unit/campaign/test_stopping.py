# SPDX-License-Identifier: GPL-2.0-only
"""The decision to stop: by a signal at any moment, or after a time."""

import os
import signal
import sys
import threading
import time
from types import FrameType

from fuzz.campaign.work.stopping import INTERRUPTED, TIME_OVER, Stopping


def test_the_handler_of_a_signal_takes_no_lock() -> None:
    """A lock that the interrupted code holds would never be released."""
    stopping, called = Stopping(None), list[str]()

    def profile(frame: FrameType, event: str, argument: object) -> None:
        called.append(f"{frame.f_code.co_filename}: {getattr(argument, '__qualname__', frame.f_code.co_name)}")

    with stopping.signals():
        sys.setprofile(profile)
        os.kill(os.getpid(), signal.SIGTERM)
        sys.setprofile(None)
    assert stopping.why == INTERRUPTED
    assert any("stopping.py: stop" in each or each.endswith(".stop") for each in called)
    assert [each for each in called if "lock" in each.lower() or threading.__file__ in each] == []


def test_a_signal_ends_units_and_waits() -> None:
    stopping = Stopping(None)
    assert not stopping.units_end()
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
    begun = time.monotonic()
    with stopping.signals():
        stopping.wait(60.0)
    assert time.monotonic() - begun < 30.0
    assert stopping.units_end()


def test_the_end_of_the_time_ends_a_wait() -> None:
    stopping = Stopping(0.1)
    begun = time.monotonic()
    stopping.wait(60.0)
    assert time.monotonic() - begun < 30.0
    assert stopping.why == TIME_OVER
