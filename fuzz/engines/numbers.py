# SPDX-License-Identifier: GPL-2.0-only
"""The numbers of a unit's programs; the processes that do the unit draw each number once."""

import fcntl
import mmap
import os
from typing import Final, NamedTuple

_WORD: Final = 8


class Numbers:
    """The numbers of a unit that one process does, in order.

    :param first: first number of the unit
    """

    def __init__(self, first: int) -> None:
        self.first = first
        self.last = first - 1

    def next(self) -> int:
        """Draw a number."""
        self.last += 1
        return self.last


class LaneNumbers(NamedTuple):
    """One lane's share of the numbers that several lanes draw.

    :param memory: a file descriptor, from `make`
    :param lane: index of the lane, from 0
    """

    memory: int
    lane: int

    @staticmethod
    def of(text: str) -> "LaneNumbers":
        """Parse the result of `text`."""
        memory, lane = map(int, text.split(":"))
        return LaneNumbers(memory, lane)

    def text(self) -> str:
        """Return the share as one argument."""
        return f"{self.memory}:{self.lane}"


def make(lanes: int) -> int:
    """Create shared memory for the numbers of *lanes* lanes; return a file descriptor to pass to their processes."""
    fd = os.memfd_create("s2fuzz-numbers")
    os.ftruncate(fd, lanes * _WORD)
    return fd


class SharedNumbers(Numbers):
    """Numbers that go to whichever lane is free, so that lanes end together even if some programs take long.

    The memory holds only the last number of each lane; the next number is one more than the largest. So a process may
    die at any point, and its replacement knows the last number it had drawn.

    :param share: this lane's share
    :param first: first number of the rest of the unit; the lane has judged all its earlier numbers
    """

    def __init__(self, share: LaneNumbers, first: int) -> None:
        super().__init__(first)
        self.memory = share.memory
        self.words = memoryview(mmap.mmap(share.memory, os.fstat(share.memory).st_size)).cast("Q")
        self.lane = share.lane
        # True if this lane's last number was drawn but not judged.
        self.left = self.words[self.lane] >= first

    def next(self) -> int:
        if self.left:
            self.left = False
            return self.words[self.lane]
        # The kernel releases the lock if this process dies.
        fcntl.lockf(self.memory, fcntl.LOCK_EX)
        try:
            number = max(self.first, max(self.words) + 1)
            self.words[self.lane] = number
        finally:
            fcntl.lockf(self.memory, fcntl.LOCK_UN)
        return number
