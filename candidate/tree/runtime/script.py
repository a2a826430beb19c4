# SPDX-License-Identifier: GPL-2.0-only
"""Scripts: requests to a tree's process, with its answers, by which its twin, of another tree, does the same.

A twin goes through the steps by itself, and compares what comes of each (native/rt_serve.c). So it runs beside
the driver, which waits for it once a program. As long as the first one has run no function that the twin does not have
alike (`candidate.tree.lines.alike`), the twin would do the same, and is not started at all.
"""

from mmap import mmap
from pathlib import Path
from typing import Final

from ..lines.alike import COUNTER_BYTES, differing, translated
from . import records as r
from .pool import give_back, take
from .process import Process

# The twin is told of new steps once in so many.
_STEPS: Final = 16


class Script:
    """The steps of one program.

    *needed*: the twin runs

    :param process: that is asked, and answers
    :param library: of the twin
    :param grace_at: as of `Process.set_grace`
    :raises candidate.tree.building.errors.TreeError: its process does not start
    """

    def __init__(self, process: Process, library: Path, grace_at: int) -> None:
        self.process = process
        self.twin = take(library, True)
        # Where functions of the process count that the twin does not have alike: bytes among the counters.
        self.differing: list[tuple[int, int]] = []
        counters = differing(process.library, library)
        for first, counted in counters or ():
            self.differing.append((first * COUNTER_BYTES, (first + counted) * COUNTER_BYTES))
        # Both have begun alike where they have run none of these by then.
        self.needed = counters is None or self.ran(process.began, 0)
        # The twin never runs.
        self.idle = not self.needed and not self.differing
        self.twin.set_grace(grace_at)
        self.memory = self.twin.memory
        self.filled = 0
        self.steps = 0
        # The twin has done the same so far.
        self.same = True
        self.ended = False

    def add(self, before: bytes) -> bool:
        """Add what the process was asked for and has answered last.

        :param before: the knobs before it, as `records.STEP_KNOBS`
        :returns: `same`
        """
        if self.idle:
            return True
        asked = self.process.memory
        self.append(asked[: r.STEP_HEAD] + before + asked[r.DIGEST_AT : r.DIGEST_AT + 8])
        self.steps += 1
        if self.steps % _STEPS == 0 and self.is_needed():
            self.twin.tell(b"G")
        if self.memory[r.OVER_AT]:
            self.same = False
        return self.same

    def is_needed(self) -> bool:
        """Tell whether the twin may do something else."""
        if not self.needed:
            self.needed = self.ran(self.process.memory, r.COUNTERS_AT)
        return self.needed

    def ran(self, memory: bytes | mmap, at: int) -> bool:
        """Tell whether functions ran that the twin does not have alike.

        :param memory: with the counters of the process from *at* on
        """
        for start, end in self.differing:
            if memory[at + start : at + end].strip(b"\0"):
                return True
        return False

    def write(self, at: int, data: bytes) -> None:
        """Add that *data* is written into the shared memory."""
        if self.idle:
            return
        head = r.ARGS.pack(r.OP_WRITE, at, len(data), 0, 0, 0, 0, 0, 0)
        self.append(head + bytes(r.STEP_BYTES - len(head)) + data + bytes(-len(data) % 8))

    def append(self, step: bytes) -> None:
        """Let the twin have one more step."""
        if r.STEPS_AT + self.filled + len(step) > r.SCRIPT_END:
            # What is overwritten would be missing later.
            self.needed = True
            self.wait(b"W")
            self.filled = 0
        start = r.STEPS_AT + self.filled
        self.memory[start : start + len(step)] = step
        self.filled += len(step)
        r.SCRIPT_FILLED.pack_into(self.memory, r.SCRIPT_AT, self.filled)

    def wait(self, what: bytes) -> None:
        """Say something to the twin, and wait until it has done all steps."""
        if self.same:
            self.twin.tell(what)
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
            twin.spare()
        elif not self.same and twin.running:
            # It has ended, and said so.
            twin.gone()
        give_back(twin)

    def counters(self) -> bytes:
        """Return the counters of the twin's code, which it has or would have; the program is over."""
        if self.needed:
            return self.twin.counters()
        process = self.process
        return translated(process.counters(), process.library, self.twin.library, self.twin.counter_bytes)
