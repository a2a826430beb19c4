# SPDX-License-Identifier: GPL-2.0-only
"""Forked copies of this process that answer requests. Standard library only."""

import gc
import os
import pickle
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from .orphans import die_with_parent
from .starting import starting
from .waiting import readable

_HEAD: Final = 8
_HANDLED: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Fork:
    """A forked copy of this process that answers one request after another, and ends with this process.

    The copy has all modules and objects of this process at the time of `start`. After `close` it can be started again.

    *pid*: its PID; below 0: there is no copy

    :param what: the process, for people
    :param work: called in the copy with a request; returns the answer; both have built-in types
    """

    def __init__(self, what: str, work: Callable[[Any], Any]) -> None:
        self.what = what
        self.work = work
        self.requests = self.answers = self.pid = -1

    def start(self) -> None:
        """Fork the copy.

        :raises NoProcessError: the system cannot start it
        """
        parent = os.getpid()
        # Buffered output must be written once, by this process.
        _flush()
        # A handler must not run in both processes.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
        requests = answers = -1
        try:
            with starting(self.what):
                requests, self.requests = os.pipe()
                self.answers, answers = os.pipe()
                self.pid = os.fork()
            if not self.pid:
                self._serve(parent, requests, answers, blocked)
        except BaseException:
            # There is no copy. The next call opens other pipes.
            self.close()
            raise
        finally:
            for end in (requests, answers):
                if end >= 0:
                    os.close(end)
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    def _serve(self, parent: int, requests: int, answers: int, mask: Any) -> None:
        """Run the copy; does not return."""
        try:
            # The parent handles Ctrl-C; other signals that end the parent may end the copy as well.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            for number in (signal.SIGTERM, signal.SIGHUP):
                if signal.getsignal(number) != signal.SIG_IGN:
                    signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            die_with_parent(parent)
            os.close(self.requests)
            os.close(self.answers)
            # Exclude shared objects from garbage collection, which would cause a copy of each page that it touches.
            gc.freeze()
            while (request := _read(requests)) is not None:
                answer = self.work(request[0])
                # For example output of a version under test.
                _flush()
                _write(answers, answer)
        except BaseException:
            # An exception in `work` is a bug of s2fuzz; print a traceback.
            sys.excepthook(*sys.exc_info())
            with suppress(OSError, ValueError):
                sys.stderr.flush()
            os._exit(1)
        finally:
            os._exit(0)

    def send(self, request: Any) -> None:
        """Send a request; if the copy is dead, `read` reports that."""
        # This does not block: the request fits into the pipe, or the copy is waiting to read it.
        with suppress(BrokenPipeError):
            _write(self.requests, request)

    def ready(self, seconds: float) -> bool:
        """Wait up to *seconds*, and return whether there is an answer, or the copy is dead."""
        return bool(readable([self.answers], seconds))

    def read(self) -> tuple[Any] | None:
        """Return the answer in a tuple of one; None: the copy is dead."""
        return _read(self.answers)

    def death(self) -> int:
        """Return the exit code of a dead copy, below 0 for a signal."""
        pid, self.pid = self.pid, -1
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def close(self) -> None:
        """Kill the copy. A second call does nothing."""
        pid, self.pid = self.pid, -1
        if pid > 0:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        for end in (self.requests, self.answers):
            if end >= 0:
                os.close(end)
        self.requests = self.answers = -1


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()


def _write(pipe: int, value: Any) -> None:
    """Write a complete value to a pipe."""
    data = pickle.dumps(value)
    data = len(data).to_bytes(_HEAD, "little") + data
    while data:
        data = data[os.write(pipe, data) :]


def _read(pipe: int) -> tuple[Any] | None:
    """Read a value that `_write` sent; None: the other end is closed."""
    head = _exactly(pipe, _HEAD)
    data = _exactly(pipe, int.from_bytes(head, "little")) if head else b""
    return (pickle.loads(data),) if data else None


def _exactly(pipe: int, size: int) -> bytes:
    """Read exactly *size* bytes; none if the other end is closed before."""
    parts: list[bytes] = []
    while size:
        part = os.read(pipe, min(size, 1 << 20))
        if not part:
            return b""
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
