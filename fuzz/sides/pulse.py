# SPDX-License-Identifier: GPL-2.0-only
"""The current place of this process in the kernel code under test, in memory that outlives the process.

Compiled code that loops without an event handles no signal, and keeps
the interpreter's lock. Only another process can end it, and only this
memory then tells where it was (`fuzz.judging.silence` reads it).

Layout of the memory, 64-bit words: `BEATS`, which changes while kernel code
makes progress; `AT`, index of the operation + 2; `SIDE`, 0 while no kernel code runs;
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
# In bytes.
SIZE: Final = NAMES + MOST_NAMES * NAME


class Position(NamedTuple):
    """The contents of the memory at some moment.

    :param beats: differs from an earlier value if kernel code made progress in between
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
    """The writer's end. Each process has one, `PULSE`; without memory it does nothing."""

    def __init__(self) -> None:
        self.on = False
        self.words: memoryview | None = None
        self.bytes: memoryview | None = None
        self.beats = 0
        self.numbers: dict[str, int] = {"": 0}
        self.entry = ""
        self.walker = ""

    def attach(self, memory: memoryview) -> None:
        """Write to this memory from now on.

        :param memory: `SIZE` bytes, shared with the reader
        """
        self.bytes = memory
        self.words = memory.cast("Q")
        self.numbers = {"": 0}
        self.entry = self.walker = ""
        for word in range(NAMES // 8):
            self.words[word] = 0
        self.on = True

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
        """Note that kernel code has returned."""
        words = self.words
        if words is not None:
            words[SIDE] = 0

    def beat(self) -> None:
        """Note that kernel code makes progress."""
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
        """Return the number of a name, after adding the name to the memory; 0 if no more names fit."""
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
    """Create the memory for one process; return a file descriptor to pass to the process."""
    fd = os.memfd_create("s2fuzz-pulse")
    os.ftruncate(fd, SIZE)
    return fd


def shared(fd: int) -> memoryview:
    """Map the memory of `make`, for either end."""
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
