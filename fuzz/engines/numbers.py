# SPDX-License-Identifier: GPL-2.0-only
"""The numbers of the programs of a unit, which the processes that do it draw, each number once."""

import fcntl
import mmap
import os
from typing import Final, NamedTuple

_WORD: Final = 8


class Numbers:
    """The numbers of a unit that one process does, one after the other.

    :param first: of the unit
    """

    def __init__(self, first: int) -> None:
        self.first = first
        self.last = first - 1

    def next(self) -> int:
        """Draw a number."""
        self.last += 1
        return self.last


class LaneNumbers(NamedTuple):
    """The part of one lane in numbers that several draw.

    :param memory: a file descriptor, from `make`
    :param lane: its place among them, from 0
    """

    memory: int
    lane: int

    @staticmethod
    def of(text: str) -> "LaneNumbers":
        """The inverse of `text`."""
        memory, lane = map(int, text.split(":"))
        return LaneNumbers(memory, lane)

    def text(self) -> str:
        """The share as one argument."""
        return f"{self.memory}:{self.lane}"


def make(lanes: int) -> int:
    """Memory for so many lanes: a file descriptor to be passed to their processes."""
    fd = os.memfd_create("s2fuzz-numbers")
    os.ftruncate(fd, lanes * _WORD)
    return fd


class SharedNumbers(Numbers):
    """Numbers that go to whoever is free: lanes end together, however much time single programs take.

    The memory has the last number of each lane, and nothing else: the next number follows the largest one. So
    a process may die at any point, and the one that takes its place knows what it had drawn.

    :param share: the part of the lane
    :param first: of what is left of the unit: the lane has judged all that it drew before
    """

    def __init__(self, share: LaneNumbers, first: int) -> None:
        super().__init__(first)
        self.memory = share.memory
        self.words = memoryview(mmap.mmap(share.memory, os.fstat(share.memory).st_size)).cast("Q")
        self.lane = share.lane
        # Drawn, and not judged.
        self.left = self.words[self.lane] >= first

    def next(self) -> int:
        if self.left:
            self.left = False
            return self.words[self.lane]
        # Let go of with the process, if that dies.
        fcntl.lockf(self.memory, fcntl.LOCK_EX)
        try:
            number = max(self.first, max(self.words) + 1)
            self.words[self.lane] = number
        finally:
            fcntl.lockf(self.memory, fcntl.LOCK_UN)
        return number
