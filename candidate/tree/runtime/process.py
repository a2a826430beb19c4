# SPDX-License-Identifier: GPL-2.0-only
"""The process in which a tree's code runs (native/rt_serve.c): its start, its programs, its end.

One process serves one program after another in a child, whose memory it puts back after each; a crash
ends nothing but that child.
"""

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Final

from ..building.errors import TreeError
from ..lines.alike import translated
from . import tallies
from .driver_core import DRIVER
from .exchange import ANSWERED, HALF, Exchange
from .places import CodePlace
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
    SCRIPT_HEAD,
    SHARED_BYTES,
    SHARED_TOTALS_AT,
    TOTALS_AT,
)
from .shared import hear, look, put
from .words import WORD_BYTES

_RESULT: Final = RESULT_AT // WORD_BYTES
_CORE: Final = CORE_AT // WORD_BYTES


class Process(Exchange):
    """A running library.

    :raises TreeError: it does not start
    """

    def __init__(self, library: Path) -> None:
        fd = os.memfd_create("s2fuzz-tree")
        os.ftruncate(fd, SHARED_BYTES)
        super().__init__(fd)
        self.library = library
        self.owner = os.getpid()
        # It puts memory back, and has not yet said that it is done.
        self.ending = False
        self.began = b""
        # Whom programs count for too.
        self.twin: Path | None = None
        self.twin_bytes = 0
        # By number, as far as they are known.
        self.places: list[CodePlace | None] = []
        self.texts = [""]
        said, self.says = os.pipe()
        self.hears, told = os.pipe()
        DRIVER.free()
        try:
            self.child = subprocess.Popen(
                [str(library), str(fd), str(said), str(told)],
                pass_fds=(fd, said, told),
                stdin=subprocess.DEVNULL,
            )
        except OSError as error:
            raise TreeError(f"{library}: {error.strerror or error}: build it again") from error
        finally:
            for end in (fd, said, told):
                os.close(end)
        if hear(self.hears) != ANSWERED:
            raise TreeError(f"{library}: does not start: build it again")
        self.counter_bytes = COUNTER_COUNT.unpack_from(self.memory, COUNTER_COUNT_AT)[0] * COUNTER_BYTES
        self.kept = False
        # The counters of its start.
        self.began = self.totals()

    def __del__(self) -> None:
        # Nobody asks for the counters any more.
        self.kept = True
        try:
            self.close()
        except Exception:
            # At the end of the interpreter what this needs may be gone; the child then ends by itself, with its pipes.
            return

    def close(self) -> None:
        """End the process, whatever it does."""
        DRIVER.free()
        child = getattr(self, "child", None)
        if child is not None and self.owner == os.getpid() and child.returncode is None:
            if not getattr(self, "kept", True):
                self.settle()
            with suppress(OSError):
                child.send_signal(signal.SIGKILL)
            child.wait()
            self.keep()
        for end in (self.says, self.hears):
            if end >= 0:
                with suppress(OSError):
                    os.close(end)
        self.says = self.hears = -1
        self.running = False

    def keep(self) -> None:
        """Keep the counters when the process has ended."""
        if not getattr(self, "kept", True):
            self.kept = True
            self.take_spared()
            tallies.ENDED.add(str(self.library), self.totals())

    def begin(self, follows: bool = False) -> None:
        """A program begins, with memory as it was at first.

        :param follows: it does what a script says (`candidate.tree.runtime.script`)
        """
        self.settle()
        if follows:
            SCRIPT_HEAD.pack_into(self.memory, SCRIPT_AT, 0, 0)
        put(self.shared, _CORE, 0 if follows else DRIVER.stay())
        self.first = b"PS" if follows else b"P"
        self.running = True
        self.answers = 0
        self.knobs, self.told = (-1, -1, -1), (0, 0, 0, 0)
        KNOBS.pack_into(self.memory, KNOBS_AT, *self.knobs, *self.told)
        self.set_unwanted(0)

    def end(self, twin: "Process | None" = None) -> None:
        """The program is over; the process puts memory back meanwhile.

        :param twin: would have run just the same, and is spared that: the program counts for it too
        """
        DRIVER.free()
        if not self.running:
            return
        if twin is not None and twin.library != self.twin:
            self.take_spared()
            self.twin, self.twin_bytes = twin.library, twin.counter_bytes
        self.speak_to(0, [])
        with suppress(OSError):
            self.send(OP_QUIT, 0 if twin is None else 1, 0, 0, 0, 0, 0, 0, 0)
        self.running = False
        self.ending = True

    def settle(self) -> None:
        """Wait until memory is as it was at first, if the program is over."""
        if self.ending:
            self.ending = False
            self.gone()

    def spare(self) -> None:
        """The program that has begun is not run."""
        if self.first:
            self.first = b""
            self.running = False

    def take_spared(self) -> None:
        """Take over what programs of this process count for a twin."""
        self.settle()
        if self.twin is not None:
            shared = slice(SHARED_TOTALS_AT, SHARED_TOTALS_AT + self.counter_bytes)
            counters = translated(self.memory[shared], self.library, self.twin, self.twin_bytes)
            self.memory[shared] = bytes(self.counter_bytes)
            tallies.SPARED.add(str(self.twin), counters)
            self.twin = None

    def gone(self) -> int:
        """Wait until the program is over; the wait status of its child if that has ended, else 0."""
        said = hear(self.hears)
        while said == ANSWERED:
            said = hear(self.hears)
        self.running = False
        return look(self.shared, _RESULT) & HALF if said >= 0 else -1

    def counters(self) -> bytes:
        """Return the counters of the tree's code (`candidate.tree.lines.code`) of this or the last program.

        They make sense once the program is over; there are none where the library does not count.
        """
        return self.memory[COUNTERS_AT : COUNTERS_AT + self.counter_bytes]

    def totals(self) -> bytes:
        """Return the counters of all programs that are over, and of the start of the process."""
        return self.memory[TOTALS_AT : TOTALS_AT + self.counter_bytes]
