# SPDX-License-Identifier: GPL-2.0-only
"""Words in the memory that is shared with a tree's process, and the bytes that say whose turn it is.

Compiled code calls the functions of fuzz/compilation/shared.h in place of those that run many times for each program.
"""

import ctypes
import os
from mmap import mmap
from typing import Final

_LIBC: Final = ctypes.CDLL(None)
_MASK: Final = (1 << 64) - 1
_SIGN: Final = 1 << 63


def words_in(memory: mmap) -> memoryview:
    """Return some memory by words of 64 bits."""
    return memoryview(memory).cast("Q")


def put(shared: memoryview, at: int, value: int) -> None:
    """Set a word by its number, to a number that is signed or not.

    :raises IndexError: there is none
    """
    shared[at] = value & _MASK


def look(shared: memoryview, at: int) -> int:
    """Return a word by its number, as a signed number.

    :raises IndexError: there is none
    """
    value: int = shared[at]
    return value - (1 << 64) if value & _SIGN else value


def say(fd: int, what: bytes) -> None:
    """Write some bytes to a pipe.

    :raises OSError: nobody reads from it
    """
    os.write(fd, what)


def core() -> int:
    """Return the number of the core on which this process runs now, from 1."""
    return int(_LIBC.sched_getcpu()) + 1


def hear(fd: int) -> int:
    """Wait for a byte from a pipe, and return it; -1: nobody writes to it any more.

    :raises OSError: it is none
    """
    said = os.read(fd, 1)
    return said[0] if said else -1
