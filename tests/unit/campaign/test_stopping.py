# SPDX-License-Identifier: GPL-2.0-only
"""The decision to stop: by a signal at any moment, or after a time."""

import os
import signal
import sys
import threading
import time
from types import FrameType, SimpleNamespace

import pytest

from fuzz.campaign.work.stopping import INTERRUPTED, TIME_OVER, Stopping
from fuzz.processes import signals


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


def test_a_signal_that_repeats_quickly_becomes_a_second_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person who holds Ctrl-C ends it at once, half a second after the first signal."""
    now = [0.0]
    monkeypatch.setattr(signals, "time", SimpleNamespace(monotonic=lambda: now[0]))
    stopping = Stopping(None)
    with stopping.signals():
        for at in (0.0, 0.2, 0.4):
            now[0] = at
            signal.raise_signal(signal.SIGINT)
        assert stopping.why == INTERRUPTED
        now[0] = 0.6
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_the_end_of_the_time_ends_a_wait() -> None:
    stopping = Stopping(0.1)
    begun = time.monotonic()
    stopping.wait(60.0)
    assert time.monotonic() - begun < 30.0
    assert stopping.why == TIME_OVER
