# SPDX-License-Identifier: GPL-2.0-only
"""The end of a session's time, known to all of its processes: from then on, kernel code hangs sooner.

The environment carries it, because processes of four kinds watch kernel code: engines, the replay server, judges that
either of them forks, and processes of kernel trees (native/rt_signals.c).
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

# Seconds of `time.monotonic()`, which all processes of a machine share, rounded up.
VARIABLE: Final = "S2FUZZ_HURRY_AT"
# Seconds of CPU time without an event after which kernel code then counts as not returning; C code of a tree has the
# same number. Right code takes milliseconds.
HURRIED: Final = 2.0


def hurried() -> bool:
    """Return whether the session's time is over."""
    at = os.environ.get(VARIABLE)
    return at is not None and time.monotonic() >= float(at)


def limit(seconds: float) -> float:
    """Return the seconds of CPU time without an event after which kernel code counts as not returning now.

    :param seconds: those that hold while there is time
    """
    return min(seconds, HURRIED) if hurried() else seconds


@contextmanager
def hurry_after(seconds: float | None) -> Iterator[None]:
    """Let the processes of this one hurry after some time; those that have started already do not.

    :param seconds: from now; None: never
    """
    if seconds is None:
        yield
        return
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = str(int(time.monotonic() + seconds) + 1)
    try:
        yield
    finally:
        del os.environ[VARIABLE]
        if before is not None:
            os.environ[VARIABLE] = before
