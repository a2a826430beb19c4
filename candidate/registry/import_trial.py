# SPDX-License-Identifier: GPL-2.0-only
"""A trial of an import in a forked process: the import may end its process, and nothing else would report that.

Standard library only.
"""

import ctypes
import os
import signal
import struct
import sys
import threading
from collections.abc import Callable
from mmap import mmap
from types import FrameType
from typing import Any, Final, NamedTuple

# u32: whether the import returned or raised an exception; u32: line; u32: length of the name of the file that follows.
_HEAD: Final = struct.Struct("<III")
_SIZE: Final = 8192
# prctl(2)
_PR_SET_PDEATHSIG: Final = 1


class ImportEnd(NamedTuple):
    """The end of a process during an import.

    :param how: ``with exit code 5``, ``by SIGSEGV``
    :param file: the file of the last line that ran; "" if no line of such a file ran
    :param line: that line
    """

    how: str
    file: str
    line: int


def try_import(work: Callable[[], object], watched: Callable[[str], bool]) -> ImportEnd | None:
    """Do an import in a forked process, without input and output.

    :param work: imports; its exceptions are for the caller, who imports next
    :param watched: returns whether a source file is one whose lines the answer may name
    :returns: how and where the process ended before the import did; None: the import returned or raised an exception,
      or other threads run, which a forked process would wait for
    """
    if threading.active_count() > 1:
        return None
    memory, parent = mmap(-1, _SIZE), os.getpid()
    # Ctrl-C ends this process, which ends the other one.
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    try:
        pid = os.fork()
        if not pid:
            _run(work, watched, memory, parent)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    try:
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    returned, line, length = _HEAD.unpack_from(memory)
    if returned:
        return None
    file = os.fsdecode(memory[_HEAD.size : _HEAD.size + length])
    return ImportEnd(f"by {_signal_name(-code)}" if code < 0 else f"with exit code {code}", file, line)


def _run(work: Callable[[], object], watched: Callable[[str], bool], memory: mmap, parent: int) -> None:
    """Do the import in the forked process; does not return."""
    leave = os._exit
    try:
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == parent:
            null = os.open(os.devnull, os.O_RDWR)
            for standard in range(3):
                os.dup2(null, standard)
            sys.settrace(_tracer(watched, memory))
            work()
    except KeyboardInterrupt:
        # No signal of the user: it is blocked here. The caller would take it for Ctrl-C.
        leave(signal.SIGINT + 128)
    except BaseException:
        pass
    finally:
        sys.settrace(None)
    struct.pack_into("<I", memory, 0, 1)
    leave(0)


def _tracer(watched: Callable[[str], bool], memory: mmap) -> Callable[[FrameType, str, Any], Any]:
    """Return a trace function that records each line of the watched files in *memory* before the line runs."""

    def line_runs(frame: FrameType, event: str, argument: object) -> Any:
        if event == "line":
            name = os.fsencode(frame.f_code.co_filename)[: _SIZE - _HEAD.size]
            _HEAD.pack_into(memory, 0, 0, frame.f_lineno, len(name))
            memory[_HEAD.size : _HEAD.size + len(name)] = name
        return line_runs

    def called(frame: FrameType, event: str, argument: object) -> Any:
        return line_runs if watched(frame.f_code.co_filename) else None

    return called


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
