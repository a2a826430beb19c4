# SPDX-License-Identifier: GPL-2.0-only
"""Words in the memory that is shared with a tree's process, and the bytes in the pipes between both.

Compiled code calls functions of fuzz/compilation/shared.h instead of those that run many times per program.
"""

import ctypes
import os
from mmap import mmap
from typing import Final

from .words import Words, words_of

_LIBC: Final = ctypes.CDLL(None)
_MASK: Final = (1 << 64) - 1
_SIGN: Final = 1 << 63


def words_in(memory: mmap) -> memoryview:
    """Return a view of the memory as words of 64 bits."""
    return memoryview(memory).cast("Q")


def put(shared: memoryview, at: int, value: int) -> None:
    """Set the word at an index to a signed or unsigned value.

    :raises IndexError: there is no such word
    """
    shared[at] = value & _MASK


def look(shared: memoryview, at: int) -> int:
    """Return the word at an index, as a signed number.

    :raises IndexError: there is no such word
    """
    value: int = shared[at]
    return value - (1 << 64) if value & _SIGN else value


def words_at(shared: memoryview, at: int, count: int) -> Words:
    """Return a copy of *count* words from an index on.

    :raises IndexError: there are not that many
    """
    if at < 0 or at + count > len(shared):
        raise IndexError("no such word")
    return words_of(bytes(shared[at : at + count]))


def write_bytes(fd: int, what: bytes) -> None:
    """Write some bytes to a pipe.

    :raises OSError: the other end is closed
    """
    os.write(fd, what)


def core() -> int:
    """Return the number of the core on which this process currently runs, from 1."""
    return int(_LIBC.sched_getcpu()) + 1


def read_byte(fd: int) -> int:
    """Wait for a byte from a pipe, and return it; -1: the other end is closed.

    :raises OSError: the pipe cannot be read
    """
    found = os.read(fd, 1)
    return found[0] if found else -1
