# SPDX-License-Identifier: GPL-2.0-only
"""Scripts: the requests to a tree's process and its answers, which its twin, of another tree, repeats.

A twin does the steps by itself, and compares the result of each (native/rt_serve.c). It therefore runs in parallel
with the driver, which waits for it once per program. As long as the first process has only run functions whose code
is the same in the twin (`candidate.tree.lines.alike`), the twin would do the same, and does not run at all.
"""

from mmap import mmap
from pathlib import Path
from typing import Final

from ..lines.alike import COUNTER_BYTES, differing, translated
from . import records as r
from .pool import POOL
from .process import Process

# The twin is notified once per this many new steps.
_STEPS: Final = 16


class Script:
    """The steps of one program.

    *needed*: the twin has to run

    :param process: the process whose requests and answers are recorded
    :param library: the library of the twin
    :param grace_at: as for `Process.set_grace`
    :raises candidate.tree.TreeError, TreeNotStartedError: the process of the twin does not start
    """

    def __init__(self, process: Process, library: Path, grace_at: int) -> None:
        self.process = process
        self.twin = POOL.take(library, True)
        # Functions whose code differs in the twin: ranges of bytes in the counters of the process.
        self.differing: list[tuple[int, int]] = []
        counters = differing(process.library, library)
        for first, counted in counters or ():
            self.differing.append((first * COUNTER_BYTES, (first + counted) * COUNTER_BYTES))
        # Both processes started in the same state if none of these functions ran during the start.
        self.needed = counters is None or self.ran(process.began, 0)
        # No function differs, so the twin never has to run.
        self.idle = not self.needed and not self.differing
        self.twin.set_grace(grace_at)
        self.memory = self.twin.memory
        self.filled = 0
        self.steps = 0
        # The twin has done the same so far.
        self.same = True
        self.ended = False

    def add(self, before: bytes) -> bool:
        """Add the last request of the process and its answer.

        :param before: the knobs before the request, as `records.STEP_KNOBS`
        :returns: `same`
        """
        if self.idle:
            return True
        asked = self.process.memory
        self.append(asked[: r.STEP_HEAD] + before + asked[r.DIGEST_AT : r.DIGEST_AT + 8])
        self.steps += 1
        if self.steps % _STEPS == 0 and self.is_needed():
            self.twin.send_message(b"G")
        if self.memory[r.OVER_AT]:
            self.same = False
        return self.same

    def is_needed(self) -> bool:
        """Return whether the twin may do something else, and so has to run."""
        if not self.needed:
            self.needed = self.ran(self.process.memory, r.COUNTERS_AT)
        return self.needed

    def ran(self, memory: bytes | mmap, at: int) -> bool:
        """Return whether a function ran whose code differs in the twin.

        :param memory: has the counters of the process from *at* on
        """
        for start, end in self.differing:
            if memory[at + start : at + end].strip(b"\0"):
                return True
        return False

    def write(self, at: int, data: bytes) -> None:
        """Add a step that writes *data* into the shared memory."""
        if self.idle:
            return
        head = r.ARGS.pack(r.OP_WRITE, at, len(data), 0, 0, 0, 0, 0, 0)
        self.append(head + bytes(r.STEP_BYTES - len(head)) + data + bytes(-len(data) % 8))

    def append(self, step: bytes) -> None:
        """Write one more step into the memory of the twin."""
        if r.STEPS_AT + self.filled + len(step) > r.SCRIPT_END:
            # The twin must do the steps that are about to be overwritten, even if it is not needed yet.
            self.needed = True
            self.wait(b"W")
            self.filled = 0
        start = r.STEPS_AT + self.filled
        self.memory[start : start + len(step)] = step
        self.filled += len(step)
        r.SCRIPT_FILLED.pack_into(self.memory, r.SCRIPT_AT, self.filled)

    def wait(self, what: bytes) -> None:
        """Send a message to the twin, and wait until it has done all steps."""
        if self.same:
            self.twin.send_message(what)
            self.same = self.twin.receive() and self.twin.status == r.DONE

    def end(self) -> bool:
        """Wait until the twin has done all steps; return `same`."""
        if not self.ended:
            self.ended = True
            if self.is_needed():
                self.wait(b"E")
        return self.same

    def close(self) -> None:
        """End the program."""
        twin = self.twin
        self.end()
        if not self.needed:
            twin.cancel()
        elif not self.same and twin.running:
            # The twin's child has ended, and its parent reports that.
            twin.wait_for_end()
        POOL.give_back(twin)

    def counters(self, ran: bytes) -> bytes:
        """Return the counters that the twin has, or would have if it had run; the program must be over.

        :param ran: the counters of the process
        """
        if self.needed:
            return self.twin.counters()
        process = self.process
        if self.twin.name == process.name:
            return ran
        return translated(ran, process.library, self.twin.library, self.twin.counter_bytes)
