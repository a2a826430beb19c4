# SPDX-License-Identifier: GPL-2.0-only
"""Scripts: requests to a tree's process, with its answers, by which its twin, of another tree, does the same.

A twin goes through the steps by itself, and compares what comes of each (native/rt_serve.c). So it runs beside
the driver, which waits for it once a program.
"""

from pathlib import Path
from typing import Final

from . import records as r
from .process import Process, give_back, take

# The twin is told of new steps once in so many.
_STEPS: Final = 16


class Script:
    """The steps of one program.

    :param library: of the twin
    :param grace_at: as of `Process.set_grace`
    :raises candidate.tree.building.errors.TreeError: its process does not start
    """

    def __init__(self, library: Path, grace_at: int) -> None:
        self.twin = take(library, True)
        self.twin.set_grace(grace_at)
        self.memory = self.twin.memory
        self.filled = 0
        self.steps = 0
        # The twin has done the same so far.
        self.same = True
        self.ended = False

    def add(self, process: Process, before: bytes) -> bool:
        """Add what *process* was asked for and has answered last.

        :param before: the knobs before it, as `records.STEP_KNOBS`
        :returns: `same`
        """
        asked = process.memory
        self.append(asked[: r.STEP_HEAD] + before + asked[r.DIGEST_AT : r.DIGEST_AT + 8])
        self.steps += 1
        if self.steps % _STEPS == 0:
            self.twin.tell(b"G")
        if self.memory[r.OVER_AT]:
            self.same = False
        return self.same

    def write(self, at: int, data: bytes) -> None:
        """Add that *data* is written into the shared memory."""
        head = r.ARGS.pack(r.OP_WRITE, at, len(data), 0, 0, 0, 0, 0, 0)
        self.append(head + bytes(r.STEP_BYTES - len(head)) + data + bytes(-len(data) % 8))

    def append(self, step: bytes) -> None:
        """Let the twin have one more step."""
        if r.STEPS_AT + self.filled + len(step) > r.SHARED_BYTES:
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
            self.wait(b"E")
        return self.same

    def close(self) -> bytes:
        """End the program, and return the counters of the twin's code."""
        twin = self.twin
        self.end()
        if not self.same and twin.running:
            # It has ended, and said so.
            twin.gone()
        give_back(twin)
        return twin.counters()
