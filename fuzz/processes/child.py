# SPDX-License-Identifier: GPL-2.0-only
"""Child processes: starting, reading, waiting and ending, and texts for the way in which one ended.

`fuzz.processes.parent` is the child's side. Standard library only.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO, Final

from ..closing import Closing
from ..distribution import home_folder
from .starting import starting
from .waiting import readable

# Maximum number of bytes of one read from a pipe.
_CHUNK: Final = 1 << 20
# MAKE_PROCESS_CPUCLOCK(pid, CPUCLOCK_SCHED) of include/linux/posix-timers.h
_SCHED: Final = 2


def signal_name(number: int) -> str:
    """Return the name of a signal, such as ``SIGSEGV``, or ``signal 70`` if it has none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def end_text(code: int) -> str:
    """Return how a process ended: ``was killed by SIGSEGV``, ``ended with exit code 1``.

    :param code: as returned by `os.waitstatus_to_exitcode`
    """
    return f"was killed by {signal_name(-code)}" if code < 0 else f"ended with exit code {code}"


def cpu_seconds(pid: int) -> float | None:
    """Return the CPU time of a process in seconds; None: it has ended, or this is not Linux."""
    try:
        return time.clock_gettime((~pid << 3) | _SCHED)
    except OSError:
        return None


class Child(Closing):
    """A module of ours in a child process. A context manager.

    The child runs as ``python -m MODULE PARENT ANSWERS ARGUMENT...``: PARENT is the PID of this process, ANSWERS a
    descriptor for the lines that the child writes. The child leads a session of its own: Ctrl-C in a terminal only
    reaches this process, which decides what happens to the child. The child ends with this process, whatever ended
    that. It uses the packages of this process, wherever it runs.

    *pid*: its PID; *answers*: the descriptor from which its lines are read, for `fuzz.processes.waiting.readable`

    :param what: the process, for people: ``the process of engine random``
    :param module: the module, which must call `fuzz.processes.parent.parent_of` first
    :param passed: descriptors that the child inherits, under the same numbers
    :param environment: environment variables that differ from ours
    :param given: its standard input; by default a pipe, for `send`
    :param stdout: its standard output; by default ours; likewise *stderr*
    :raises NoProcessError: the system cannot start it
    """

    def __init__(
        self,
        what: str,
        module: str,
        *arguments: str,
        passed: Sequence[int] = (),
        environment: Mapping[str, str] | None = None,
        given: int | IO[bytes] | IO[str] = subprocess.PIPE,
        stdout: int | None = None,
        stderr: int | IO[bytes] | None = None,
    ) -> None:
        self.what = what
        self.rest = b""
        # Complete lines that `line` has read and not returned yet.
        self.waiting: list[bytes] = []
        paths = [str(home_folder()), *filter(None, [os.environ.get("PYTHONPATH")])]
        with starting(what):
            self.answers, pipe = os.pipe()
            try:
                # -P: do not import modules from the current directory.
                self.process = subprocess.Popen(
                    [sys.executable, "-P", "-m", module, str(os.getpid()), str(pipe), *arguments],
                    stdin=given,
                    stdout=stdout,
                    stderr=stderr,
                    start_new_session=True,
                    pass_fds=(pipe, *passed),
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), **(environment or {})},
                )
            except BaseException:
                os.close(self.answers)
                raise
            finally:
                os.close(pipe)
        self.pid = self.process.pid

    def send(self, line: bytes, last: bool = False) -> None:
        """Write a line to its standard input; if the child is dead, `read` and `death` report that.

        :param line: without a line end
        :param last: close its input afterwards
        """
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.write(line + b"\n")
            self.process.stdin.flush()
        if last:
            self.end_input()

    def end_input(self) -> None:
        """Close its standard input."""
        if self.process.stdin is not None:
            with suppress(BrokenPipeError):
                self.process.stdin.close()

    def read(self, seconds: float) -> list[bytes] | None:
        """Wait up to *seconds* for output of the child, and return the lines that are complete.

        :returns: complete lines, without their ends; None: the child has closed its end of the pipe
        """
        if not readable([self.answers], seconds):
            return []
        data = os.read(self.answers, _CHUNK)
        if not data:
            return None
        *lines, self.rest = (self.rest + data).split(b"\n")
        return lines

    def left(self) -> list[bytes]:
        """Return the remaining lines of a dead child."""
        lines: list[bytes] = []
        while readable([self.answers], 0):
            more = self.read(0)
            if more is None:
                break
            lines += more
        return lines

    def line(self, seconds: float) -> bytes | None:
        """Return the next line, for request and answer; None: the child is dead, or wrote no line in *seconds*."""
        deadline = time.monotonic() + seconds
        while not self.waiting and (left := deadline - time.monotonic()) > 0:
            lines = self.read(left)
            if lines is None:
                return None
            self.waiting += lines
        return self.waiting.pop(0) if self.waiting else None

    def running(self) -> bool:
        """Return whether the child still runs."""
        return self.process.poll() is None

    def wait(self, seconds: float | None = None) -> int | None:
        """Wait for the end of the child.

        :returns: its exit code, below 0 for a signal; None: it did not end within *seconds*
        """
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def death(self) -> str:
        """Return how the child ended (`end_text`); it must have closed its end of the pipe."""
        return end_text(self.process.wait())

    def kill(self) -> None:
        """Kill the child and its process group; its output can still be read."""
        # The PID cannot be reused before the child is waited for.
        if self.process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()

    def close(self) -> None:
        """Kill the child and close its pipes. A second call does nothing."""
        self.kill()
        self.end_input()
        if self.answers >= 0:
            os.close(self.answers)
            self.answers = -1
