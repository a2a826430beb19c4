# SPDX-License-Identifier: GPL-2.0-only
"""The place in the kernel code under test that this process is at, in memory that outlives the process.

Code that loops without an event takes no signal once it is compiled, and keeps
the interpreter's lock: only another process can end it, and only this
memory then says where it was (`fuzz.judging.silence` reads it).

Layout of the memory, 64-bit words: `BEATS`, which changes while kernel code
gets on; `AT`, index of the operation + 2; `SIDE`, 0 while no kernel code runs;
`ENTRY` and `WALKER`, numbers of names, 0 for none. From `NAMES` on, the names
in `NAME` bytes each, number 1 first.
"""

import mmap
import os
from typing import Final, NamedTuple

REFERENCE: Final = 1
CANDIDATE: Final = 2

BEATS: Final = 0
AT: Final = 1
SIDE: Final = 2
ENTRY: Final = 3
WALKER: Final = 4
NAMES: Final = 64
NAME: Final = 64
MOST_NAMES: Final = 127
# Bytes.
SIZE: Final = NAMES + MOST_NAMES * NAME


class Position(NamedTuple):
    """The contents of the memory at some moment.

    :param beats: differs from that of an earlier moment where kernel code got on in between
    :param at: index of the operation, as in `fuzz.judging.finding.Finding`
    :param side: `REFERENCE`, `CANDIDATE`; 0: no kernel code runs
    :param entry: the entry point that was called last
    :param walker: the walker callback that walked tables last in this operation; "" for none
    """

    beats: int
    at: int
    side: int
    entry: str
    walker: str


class Pulse:
    """The writer's end. There is one for a process, `PULSE`; without memory it does nothing."""

    def __init__(self) -> None:
        self.on = False
        self.words: memoryview | None = None
        self.bytes: memoryview | None = None
        self.beats = 0
        self.numbers: dict[str, int] = {"": 0}
        self.entry = ""
        self.walker = ""

    def attach(self, memory: memoryview) -> None:
        """Write into this memory from now on.

        :param memory: `SIZE` bytes, shared with the reader
        """
        self.bytes = memory
        self.words = memory.cast("Q")
        self.numbers = {"": 0}
        self.entry = self.walker = ""
        for word in range(NAMES // 8):
            self.words[word] = 0
        self.on = True

    def detach(self) -> None:
        """Write no more, and let go of the memory."""
        self.on = False
        self.words = self.bytes = None

    def begin(self, side: int, at: int) -> None:
        """Note that kernel code of a side is about to run for operation *at*."""
        words = self.words
        if words is not None:
            self.beats += 1
            self.walker = ""
            words[WALKER] = 0
            words[AT] = at + 2
            words[BEATS] = self.beats
            words[SIDE] = side

    def end(self) -> None:
        """Note that it has returned."""
        words = self.words
        if words is not None:
            words[SIDE] = 0

    def beat(self) -> None:
        """Note that it gets on."""
        words = self.words
        if words is not None:
            self.beats += 1
            words[BEATS] = self.beats

    def place(self, entry: str, walker: str) -> None:
        """Note an entry point and a walker callback."""
        words = self.words
        if words is None:
            return
        if entry != self.entry:
            self.entry = entry
            words[ENTRY] = self.number(entry)
        if walker != self.walker:
            self.walker = walker
            words[WALKER] = self.number(walker)

    def number(self, name: str) -> int:
        """The number of a name, which is in the memory from then on; 0 where no more fit."""
        known = self.numbers.get(name)
        if known is not None:
            return known
        number = len(self.numbers)
        if number > MOST_NAMES or self.bytes is None:
            return 0
        self.numbers[name] = number
        data = name.encode()[: NAME - 1]
        start = NAMES + (number - 1) * NAME
        self.bytes[start : start + NAME] = data + bytes(NAME - len(data))
        return number


PULSE: Final = Pulse()


def make() -> int:
    """Memory for one process: a file descriptor to be passed to it."""
    fd = os.memfd_create("s2fuzz-pulse")
    os.ftruncate(fd, SIZE)
    return fd


def shared(fd: int) -> memoryview:
    """The memory of `make`, for either end."""
    return memoryview(mmap.mmap(fd, SIZE))


def position(memory: memoryview) -> Position:
    """Read the memory of a `Pulse`.

    :param memory: `SIZE` bytes
    """
    words = memory.cast("Q")
    names = []
    for number in (words[ENTRY], words[WALKER]):
        start = NAMES + (number - 1) * NAME
        names.append(bytes(memory[start : start + NAME]).rstrip(b"\0").decode(errors="replace") if number else "")
    return Position(words[BEATS], words[AT] - 2, words[SIDE], names[0], names[1])
