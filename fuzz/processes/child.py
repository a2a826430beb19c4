# SPDX-License-Identifier: GPL-2.0-only
"""Child processes: how one is started, heard, waited for and ended, and the words for its end.

The child's side is `fuzz.processes.parent`. Standard library only.
"""

import os
import select
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

# Bytes that one look at a pipe takes.
_CHUNK: Final = 1 << 20
# MAKE_PROCESS_CPUCLOCK(pid, CPUCLOCK_SCHED) of include/linux/posix-timers.h
_SCHED: Final = 2


def signal_name(number: int) -> str:
    """``SIGSEGV``; ``signal 70`` where it has no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def end_text(code: int) -> str:
    """Say how a process ended: ``was killed by SIGSEGV``, ``ended with exit code 1``.

    :param code: as `os.waitstatus_to_exitcode` has it
    """
    return f"was killed by {signal_name(-code)}" if code < 0 else f"ended with exit code {code}"


def cpu_seconds(pid: int) -> float | None:
    """The CPU time that a process has taken, in seconds; None: it is gone, or this is no Linux."""
    try:
        return time.clock_gettime((~pid << 3) | _SCHED)
    except OSError:
        return None


class Child(Closing):
    """A module of ours in a process of its own. A context manager.

    It runs as ``python -m MODULE PARENT ANSWERS ARGUMENT...``: the number of this process, a descriptor for lines that
    it says, and what it is given. It is the leader of its session, so that Ctrl-C in a terminal reaches this process
    alone, which decides what becomes of it. It ends with this process, whatever that dies of. Its packages are those
    of this process, wherever it runs.

    *pid*: its number; *answers*: the descriptor of what it says, for `select.select`

    :param what: the process, for people: ``the process of engine random``
    :param module: its name; it is to call `fuzz.processes.parent.parent_of` first
    :param passed: descriptors that it gets, under the same numbers
    :param environment: its environment, where that differs from ours
    :param given: its standard input; by default a pipe, for `send`
    :param stdout: where what it prints goes; by default where ours goes, as *stderr*
    :raises NoProcessError: the system refuses it
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
        # Whole lines that `line` has read and not returned.
        self.waiting: list[bytes] = []
        paths = [str(home_folder()), *filter(None, [os.environ.get("PYTHONPATH")])]
        with starting(what):
            self.answers, pipe = os.pipe()
            try:
                # -P: what lies where it runs is no package of ours.
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
        """Write a line to its standard input; if it is dead, `read` and `death` say so.

        :param line: without a line end
        :param last: close its input then
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
        """The lines that it says within so many seconds: as soon as there is something, and as far as it goes.

        :returns: whole lines, without their ends; None: it has closed its end, and says nothing more
        """
        if not select.select([self.answers], [], [], seconds)[0]:
            return []
        data = os.read(self.answers, _CHUNK)
        if not data:
            return None
        *lines, self.rest = (self.rest + data).split(b"\n")
        return lines

    def left(self) -> list[bytes]:
        """The lines of one that is dead which nobody has read."""
        lines: list[bytes] = []
        while select.select([self.answers], [], [], 0)[0]:
            more = self.read(0)
            if more is None:
                break
            lines += more
        return lines

    def line(self, seconds: float) -> bytes | None:
        """The next line, where each answers something; None: it is dead, or says none within so many seconds."""
        deadline = time.monotonic() + seconds
        while not self.waiting and (left := deadline - time.monotonic()) > 0:
            lines = self.read(left)
            if lines is None:
                return None
            self.waiting += lines
        return self.waiting.pop(0) if self.waiting else None

    def running(self) -> bool:
        """Tell whether it still runs."""
        return self.process.poll() is None

    def wait(self, seconds: float | None = None) -> int | None:
        """Wait for its end.

        :returns: its exit code, below 0 for a signal; None: it did not end within so many seconds
        """
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def death(self) -> str:
        """Say how it ended, once it has closed its end: see `end_text`."""
        return end_text(self.process.wait())

    def kill(self) -> None:
        """End it at once, with all that it started; what it has said can still be read."""
        # Until somebody has waited for it, nothing else gets its number.
        if self.process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()

    def close(self) -> None:
        """End it, whatever it does, and let go of its pipes. A second time, nothing happens."""
        self.kill()
        self.end_input()
        if self.answers >= 0:
            os.close(self.answers)
            self.answers = -1
