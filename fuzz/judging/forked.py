# SPDX-License-Identifier: GPL-2.0-only
"""Judging in a forked process, which this one watches and ends when it does not come back."""

import mmap
import os
import pickle
import select
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Final

from ..execution.mistakes import CandidateMistake
from ..processes.orphans import die_with_parent
from ..processes.starting import NoProcessError, starting
from ..sides.pulse import PULSE, SIZE, Position
from . import silence

# Seconds on the clock on the wall that one piece of work may take, whatever it does.
PATIENCE: Final = 180.0
_HEAD: Final = 8


class Lost(Exception):
    """The process gave no answer; the message says why: ``was killed by SIGSEGV``.

    :param position: where kernel code did not come back; None: that is not the reason
    :param status: how it ended, as `os.waitstatus_to_exitcode` has it; None: we ended it
    """

    def __init__(self, message: str, position: Position | None = None, status: int | None = None) -> None:
        super().__init__(message)
        self.position = position
        self.status = status


class Forked:
    """A copy of this process that does one piece of work after another.

    It has what this process had imported and made when the first piece was asked for. After
    `Lost` the next piece gets another copy. A context manager; the copy also ends with us.

    :param work: makes an answer of a request, both of built-in types, in the other process
    :param seconds: of its CPU time that kernel code may run without getting on
    :param patience: seconds that one piece may take, whatever it does
    """

    def __init__(
        self, work: Callable[[Any], Any], seconds: float = silence.SECONDS, patience: float = PATIENCE
    ) -> None:
        self.work = work
        self.seconds = seconds
        self.patience = patience
        self.process = 0
        self.requests = self.answers = -1
        self.memory = memoryview(mmap.mmap(-1, SIZE))

    def __enter__(self) -> "Forked":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def ask(self, request: Any) -> Any:
        """Have a piece of work done.

        :raises Lost: there is no answer
        :raises CandidateMistake: the work raised it
        :raises NoProcessError: the process cannot be started
        """
        try:
            if not self.process:
                self._fork()
            # Small enough for the pipe, or read by whoever waits for it.
            with suppress(BrokenPipeError):
                _write(self.requests, request)
            answer, mistake = self._answer()
        except BaseException:
            # Lost, or what is under way belongs to nobody any more.
            self.close()
            raise
        if mistake:
            raise CandidateMistake(mistake)
        return answer

    def close(self) -> None:
        """End the process, whatever it does."""
        process, self.process = self.process, 0
        if process:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
        for end in (self.requests, self.answers):
            if end >= 0:
                os.close(end)
        self.requests = self.answers = -1

    def _fork(self) -> None:
        """Start the process.

        :raises NoProcessError: that cannot be done
        """
        parent = os.getpid()
        # What waits in buffers is ours to write, once.
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        # A handler must not run in both processes.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
        try:
            with starting("the process that judges"):
                requests, self.requests = os.pipe()
                self.answers, answers = os.pipe()
                self.process = os.fork()
        except NoProcessError:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            raise
        if self.process:
            os.close(requests)
            os.close(answers)
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            return
        try:
            # Ctrl-C is the parent's to handle; what ends the parent otherwise may end us as well.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            for number in (signal.SIGTERM, signal.SIGHUP):
                if signal.getsignal(number) != signal.SIG_IGN:
                    signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            die_with_parent(parent)
            os.close(self.requests)
            os.close(self.answers)
            PULSE.attach(self.memory)
            while (request := _read(requests)) is not None:
                try:
                    answer = self.work(request[0]), ""
                except CandidateMistake as error:
                    answer = None, str(error)
                # What a version under test prints, say.
                for stream in (sys.stdout, sys.stderr):
                    stream.flush()
                _write(answers, answer)
        except BaseException:
            # Work that raises is a mistake of ours; a traceback is all that can be told.
            sys.excepthook(*sys.exc_info())
            with suppress(OSError, ValueError):
                sys.stderr.flush()
            os._exit(1)
        finally:
            os._exit(0)

    def _answer(self) -> tuple[Any, str]:
        """What the process says: the answer, and the mistake of a candidate that there is instead.

        :raises Lost: nothing
        """
        watch = silence.Silence(self.process, self.memory, self.seconds)
        end = time.monotonic() + self.patience
        while True:
            left = end - time.monotonic()
            if left <= 0:
                raise Lost(f"did not get on for {self.patience:g} s")
            if select.select([self.answers], [], [], min(left, silence.LOOK_EVERY))[0]:
                answer = _read(self.answers)
                if answer is None:
                    raise self._death()
                said: tuple[Any, str] = answer[0]
                return said
            stuck = watch.look()
            if stuck is not None:
                raise Lost(f"ran for {self.seconds:g} s of CPU time without an event", stuck)

    def _death(self) -> Lost:
        """What a process that has closed its end died of."""
        process, self.process = self.process, 0
        _, status = os.waitpid(process, 0)
        code = os.waitstatus_to_exitcode(status)
        if code < 0:
            return Lost(f"was killed by {signal_name(-code)}", status=code)
        return Lost(f"ended with exit code {code}", status=code)


def signal_name(number: int) -> str:
    """``SIGSEGV``; ``signal 70`` where it has no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


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
