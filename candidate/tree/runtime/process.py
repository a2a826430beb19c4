# SPDX-License-Identifier: GPL-2.0-only
"""The process in which a tree's code runs (native/rt_serve.c): its start, its programs, its end.

The process runs one program after another in a child, and restores the child's memory after each. A crash
ends only that child.
"""

import errno
import os
import signal
import subprocess
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

from ..building.errors import TreeError
from ..lines.alike import translated
from .code_places import CodePlace
from .driver_core import DriverCore
from .errors import TreeNotStartedError
from .exchange import ANSWERED, HALF, Exchange
from .records import (
    CORE_AT,
    COUNTER_BYTES,
    COUNTER_COUNT,
    COUNTER_COUNT_AT,
    COUNTERS_AT,
    KNOBS,
    KNOBS_AT,
    OP_QUIT,
    RESULT_AT,
    SCRIPT_AT,
    SHARED_BYTES,
    SHARED_TOTALS_AT,
    TOTALS_AT,
)
from .shared import look, put, read_byte
from .tallies import Tallies
from .words import WORD_BYTES

_RESULT: Final = RESULT_AT // WORD_BYTES
_CORE: Final = CORE_AT // WORD_BYTES
_SCRIPT: Final = SCRIPT_AT // WORD_BYTES
# Errors at a limit of the system. They pass, and say nothing about the library.
_LIMITS: Final = (errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM)


class Process(Exchange):
    """A running library.

    *name*: the path as a text; *pid*: of the process; *owner*: the PID of the process that started it; *kept*: its
    counters are in the tallies, or there are none

    :param library: path of the library, which is an executable too
    :param tallies: receives its counters when it ends
    :param driver: the core of the thread that uses it
    :raises TreeError: the library does not start
    :raises TreeNotStartedError: the system cannot start a process now
    """

    def __init__(self, library: Path, tallies: Tallies, driver: DriverCore) -> None:
        # Set first: a process that does not start is closed, too.
        self.library = library
        self.name = str(library)
        self.tallies, self.driver = tallies, driver
        self.owner, self.pid = os.getpid(), -1
        self.child: subprocess.Popen[bytes] | None = None
        self.to_child = self.from_child = -1
        self.running = False
        self.kept = True
        # The child is restoring its memory, and has not reported the end yet.
        self.ending = False
        self.began = b""
        self.counter_bytes = 0
        # The path of the library of the twin that programs count for too, "" for none; and the size of its counters.
        self.twin = ""
        self.twin_bytes = 0
        # Places of chains and their walkers by number, as far as they are known.
        self.places: list[CodePlace | None] = []
        self.walkers: list[str | None] = []
        # Texts of records by number, and the instructions that they name (`candidate.tree.runtime.tlb.number_of`).
        self.texts = [""]
        self.instructions: list[int] = []
        try:
            with ExitStack() as ends:
                memory = os.memfd_create("s2fuzz-tree")
                ends.callback(os.close, memory)
                os.ftruncate(memory, SHARED_BYTES)
                super().__init__(memory)
                self._start(memory, ends)
        except OSError as error:
            self.close()
            why = error.strerror or str(error)
            if error.errno in _LIMITS:
                raise TreeNotStartedError(why) from error
            raise TreeError(f"{library}: {why}: build it again") from error
        if read_byte(self.from_child) != ANSWERED:
            self.close()
            raise TreeError(f"{library}: does not start: build it again")
        self.counter_bytes = COUNTER_COUNT.unpack_from(self.memory, COUNTER_COUNT_AT)[0] * COUNTER_BYTES
        self.kept = False
        # The counters of the start of the process.
        self.began = self.totals()

    def _start(self, memory: int, ends: ExitStack) -> None:
        """Start the library with the shared memory and two pipes.

        :param ends: closes the ends of the pipes that only the library needs
        :raises OSError: the system cannot start it
        """
        child_reads, self.to_child = os.pipe()
        ends.callback(os.close, child_reads)
        self.from_child, child_writes = os.pipe()
        ends.callback(os.close, child_writes)
        self.driver.free()
        self.child = subprocess.Popen(
            [self.name, str(memory), str(child_reads), str(child_writes)],
            pass_fds=(memory, child_reads, child_writes),
            stdin=subprocess.DEVNULL,
        )
        self.pid = self.child.pid

    def __del__(self) -> None:
        # The counters are no longer needed.
        self.kept = True
        self.close()

    def has_ended(self) -> bool:
        """Return whether the process has ended by itself or was closed."""
        if self.child is None:
            return True
        try:
            # This leaves the wait status to `close`.
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True

    def close(self) -> None:
        """Kill the process, whatever it is doing; the next call does nothing."""
        if self.child is None and self.to_child < 0 and self.from_child < 0:
            return
        self.driver.free()
        child, self.child = self.child, None
        if child is not None and self.owner == os.getpid() and child.returncode is None:
            if not self.kept:
                self.settle()
            with suppress(OSError):
                child.send_signal(signal.SIGKILL)
            child.wait()
            self.keep_counters()
        for end in (self.to_child, self.from_child):
            if end >= 0:
                with suppress(OSError):
                    os.close(end)
        self.to_child = self.from_child = -1
        self.running = False

    def keep_counters(self) -> None:
        """Add the counters of the ended process to the tallies, once."""
        if not self.kept:
            self.kept = True
            self.take_spared()
            self.tallies.ended.add(self.name, self.totals())

    def begin(self, follows: bool = False) -> None:
        """Begin a program, with memory in its initial state.

        :param follows: the program follows a script (`candidate.tree.runtime.script`)
        """
        self.settle()
        if follows:
            put(self.shared, _SCRIPT, 0)
            put(self.shared, _SCRIPT + 1, 0)
        put(self.shared, _CORE, 0 if follows else self.driver.stay())
        self.first = b"PS" if follows else b"P"
        self.running = True
        self.answers = 0
        self.knobs, self.sent = (-1, -1, -1), (0, 0, 0, 0)
        KNOBS.pack_into(self.memory, KNOBS_AT, *self.knobs, *self.sent)
        self.set_unwanted(0)

    def end(self, twin: "Process | None" = None) -> None:
        """End the program; the process restores its memory in the background.

        :param twin: a process that would have done exactly the same and did not run: the program counts for it too
        """
        self.driver.free()
        if not self.running:
            return
        if twin is not None and twin.name != self.twin:
            self.take_spared()
            self.twin, self.twin_bytes = twin.name, twin.counter_bytes
        self.choose_actor(0, [])
        with suppress(OSError):
            self.send(OP_QUIT, 0 if twin is None else 1, 0, 0, 0, 0, 0, 0, 0)
        self.running = False
        self.ending = True

    def settle(self) -> None:
        """Wait until a program that was ended has its memory restored."""
        if self.ending:
            self.ending = False
            self.wait_for_end()

    def cancel(self) -> None:
        """Cancel the program that has begun, if nothing was sent yet."""
        if self.first:
            self.first = b""
            self.running = False

    def take_spared(self) -> None:
        """Add the counters that programs of this process count for a twin to the tallies."""
        self.settle()
        if self.twin:
            shared = slice(SHARED_TOTALS_AT, SHARED_TOTALS_AT + self.counter_bytes)
            counters = translated(self.memory[shared], self.library, Path(self.twin), self.twin_bytes)
            self.memory[shared] = bytes(self.counter_bytes)
            self.tallies.spared.add(self.twin, counters)
            self.twin = ""

    def wait_for_end(self) -> int:
        """Wait until the program is over.

        :returns: the wait status of the child if it has ended, else 0; -1: the process itself has ended
        """
        byte = read_byte(self.from_child)
        while byte == ANSWERED:
            byte = read_byte(self.from_child)
        self.running = False
        return look(self.shared, _RESULT) & HALF if byte >= 0 else -1

    def counters(self) -> bytes:
        """Return the counters of the tree's code (`candidate.tree.lines.code`) for this or the last program.

        They are valid while the process waits, and empty if the library does not count.
        """
        return self.memory[COUNTERS_AT : COUNTERS_AT + self.counter_bytes]

    def totals(self) -> bytes:
        """Return the sum of the counters of all programs that are over, and of the start of the process."""
        return self.memory[TOTALS_AT : TOTALS_AT + self.counter_bytes]
