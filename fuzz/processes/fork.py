# SPDX-License-Identifier: GPL-2.0-only
"""Forked copies of this process that answer requests. Standard library only."""

import gc
import os
import pickle
import select
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from .orphans import die_with_parent
from .starting import starting

_HEAD: Final = 8
_HANDLED: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Fork:
    """A copy of this process that answers one request after the other, and ends with this one.

    It has what this process has imported and made when it is started. After `close` it can be started anew.

    *pid*: its number; below 0: there is none

    :param what: the process, for people
    :param work: makes an answer of a request, both of built-in types, in the copy
    """

    def __init__(self, what: str, work: Callable[[Any], Any]) -> None:
        self.what = what
        self.work = work
        self.requests = self.answers = self.pid = -1

    def start(self) -> None:
        """Make the copy.

        :raises NoProcessError: the system refuses it
        """
        parent = os.getpid()
        # What waits in buffers is ours to write, once.
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
        finally:
            for end in (requests, answers):
                if end >= 0:
                    os.close(end)
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    def _serve(self, parent: int, requests: int, answers: int, mask: Any) -> None:
        """Be the copy; does not return."""
        try:
            # Ctrl-C is the parent's to handle; what ends the parent otherwise may end us as well.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            for number in (signal.SIGTERM, signal.SIGHUP):
                if signal.getsignal(number) != signal.SIG_IGN:
                    signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            die_with_parent(parent)
            os.close(self.requests)
            os.close(self.answers)
            # What both processes have is not looked through: each page that is touched would be copied.
            gc.freeze()
            while (request := _read(requests)) is not None:
                answer = self.work(request[0])
                # What a version under test prints, say.
                _flush()
                _write(answers, answer)
        except BaseException:
            # Work that raises is a mistake of ours; a traceback is all that can be told.
            sys.excepthook(*sys.exc_info())
            with suppress(OSError, ValueError):
                sys.stderr.flush()
            os._exit(1)
        finally:
            os._exit(0)

    def send(self, request: Any) -> None:
        """Have it make an answer; if it is dead, `read` says so."""
        # Small enough for the pipe, or read by whoever waits for it.
        with suppress(BrokenPipeError):
            _write(self.requests, request)

    def ready(self, seconds: float) -> bool:
        """Tell whether it has an answer, or is dead, within so many seconds."""
        return bool(select.select([self.answers], [], [], seconds)[0])

    def read(self) -> tuple[Any] | None:
        """Its answer, alone in a tuple; None: it is dead."""
        return _read(self.answers)

    def death(self) -> int:
        """The exit code of one that is dead, below 0 for a signal."""
        pid, self.pid = self.pid, -1
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def close(self) -> None:
        """End it, whatever it does. A second time, nothing happens."""
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
    """Send a value, whole."""
    data = pickle.dumps(value)
    data = len(data).to_bytes(_HEAD, "little") + data
    while data:
        data = data[os.write(pipe, data) :]


def _read(pipe: int) -> tuple[Any] | None:
    """A value that `_write` sent; None: the other end is closed."""
    head = _exactly(pipe, _HEAD)
    data = _exactly(pipe, int.from_bytes(head, "little")) if head else b""
    return (pickle.loads(data),) if data else None


def _exactly(pipe: int, size: int) -> bytes:
    """So many bytes; none where the other end is closed before."""
    parts: list[bytes] = []
    while size:
        part = os.read(pipe, min(size, 1 << 20))
        if not part:
            return b""
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
