# SPDX-License-Identifier: GPL-2.0-only
"""The program in flight and the current position, in memory that outlives the process that judges the program.

Layout of the memory, little endian: u64 number of the program; u64 length of the program (0: none is in flight);
f64 `time.monotonic()` of the unit's beginning (0: not yet begun); at `_PULSE` the data of `fuzz.sides.pulse`; at
`_PROGRAM` the program in its binary form (`fuzz.language.binary`).
"""

import mmap
import os
import struct
import time
from typing import Final

from ..language.binary import RECORD_SIZE, decode, encode
from ..language.block_repair import RECORDS
from ..language.bounds import MAX_OPERATIONS, MAX_SLOTS
from ..language.program import Program
from ..language.text import print_program
from ..sides import pulse
from ..sides.pulse import PULSE

_HEAD: Final = struct.Struct("<QQ")
_BEGUN: Final = struct.Struct("<d")
_PULSE: Final = 64
_PROGRAM: Final = _PULSE + pulse.SIZE
# Room for the longest possible program; pages that are never written take no memory.
SIZE: Final = _PROGRAM + (1 + MAX_SLOTS + MAX_OPERATIONS * RECORDS) * RECORD_SIZE


def make() -> int:
    """Create memory for one program; return a file descriptor to pass to the process that judges."""
    fd = os.memfd_create("s2fuzz-flight")
    os.ftruncate(fd, SIZE)
    return fd


class SharedFlight:
    """The shared memory, used by the child process (writer) and the parent process (reader).

    :param fd: from `make`
    """

    def __init__(self, fd: int) -> None:
        self.memory = mmap.mmap(fd, SIZE)
        self.pulse = memoryview(self.memory)[_PULSE:_PROGRAM]

    def begin(self) -> None:
        """Mark the beginning of the unit in this process."""
        _BEGUN.pack_into(self.memory, _HEAD.size, time.monotonic())
        PULSE.attach(self.pulse)

    def begun(self) -> float:
        """Return the `time.monotonic` of the unit's beginning, valid in every process; 0.0: it has not begun."""
        return float(_BEGUN.unpack_from(self.memory, _HEAD.size)[0])

    def depart(self, number: int, program: Program) -> None:
        """Store the program in flight until `arrive`."""
        data = encode(program)
        self.arrive()
        self.memory[_PROGRAM : _PROGRAM + len(data)] = data
        _HEAD.pack_into(self.memory, 0, number, len(data))

    def arrive(self) -> None:
        """Mark that no program is being judged; the number of the last one stays."""
        struct.pack_into("<Q", self.memory, 8, 0)

    def number(self) -> int:
        """Return the number of the last program that departed; 0 if none has."""
        return int(_HEAD.unpack_from(self.memory)[0])

    def text(self) -> str:
        """Return the text of the program in flight; "" if none is."""
        _, length = _HEAD.unpack_from(self.memory)
        data = self.memory[_PROGRAM : _PROGRAM + length]
        return print_program(decode(data)) if length else ""

    def close(self) -> None:
        self.pulse.release()
        self.memory.close()
