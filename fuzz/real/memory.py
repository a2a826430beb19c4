# SPDX-License-Identifier: GPL-2.0-only
"""The memory of the emulated machine: unnamed files that QEMU maps and this process reads.

There are two, since the machine has two memory nodes: pages migrate between them.
"""

import errno
import mmap
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from ..closing import Closing
from .errors import RealError

GIB: Final = 1 << 30
# Size of each node in bytes. The first one has room for a hugetlb page of 1G.
NODES: Final = (3 * GIB, GIB)
BASE: Final = 0x4000_0000
# Bytes that are copied, or skipped if all are zero, at a time.
_PIECE: Final = 1 << 16
_ZERO: Final = bytes(_PIECE)


class RealMemory(Closing):
    """The memory of one machine.

    *files*: the descriptor of each node
    """

    def __init__(self) -> None:
        self.open = ExitStack()
        self.files: list[int] = []
        self.maps: list[mmap.mmap] = []
        try:
            for size in NODES:
                file = os.memfd_create("s2fuzz-real")
                self.open.callback(os.close, file)
                os.ftruncate(file, size)
                self.files.append(file)
        except OSError as error:
            self.close()
            raise RealError(f"real: no memory for the emulated machine: {error.strerror}; free some") from None

    def save(self, folder: Path) -> int:
        """Write the nonzero parts to files in a folder; return the number of bytes.

        :raises OSError: they cannot be written
        """
        total = 0
        for number, (file, size) in enumerate(zip(self.files, NODES, strict=True)):
            with open(folder / f"memory{number}", "wb") as saved, mmap.mmap(file, size, prot=mmap.PROT_READ) as memory:
                for start, end in _data(file, size):
                    for at in range(start & -_PIECE, end, _PIECE):
                        piece = memory[at : at + _PIECE]
                        if piece != _ZERO:
                            saved.seek(at)
                            total += saved.write(piece)
                saved.truncate(size)
        return total

    def load(self, folder: Path) -> None:
        """Read what `save` wrote into memory that is still empty.

        :raises OSError: it cannot be read
        """
        for number, (file, size) in enumerate(zip(self.files, NODES, strict=True)):
            with open(folder / f"memory{number}", "rb") as saved:
                if os.fstat(saved.fileno()).st_size != size:
                    raise OSError(0, f"memory{number} has another size")
                for start, end in _data(saved.fileno(), size):
                    os.lseek(file, start, os.SEEK_SET)
                    at = start
                    while at < end:
                        sent = os.sendfile(file, saved.fileno(), at, end - at)
                        if not sent:
                            raise OSError(0, f"memory{number} ends early")
                        at += sent

    def words(self, address: int, count: int) -> memoryview:
        """Return *count* 64-bit words at a physical address; all lie in one node.

        :raises RealError: there is no memory
        """
        if not BASE <= address < BASE + sum(NODES):
            raise RealError(f"real: a table of the kernel lies at {address:#x}, where the machine has no memory")
        if not self.maps:
            for file, size in zip(self.files, NODES, strict=True):
                self.maps.append(self.open.enter_context(mmap.mmap(file, size, prot=mmap.PROT_READ)))
        offset = address - BASE
        number = 0
        while offset >= NODES[number]:
            offset -= NODES[number]
            number += 1
        return memoryview(self.maps[number][offset : offset + 8 * count]).cast("Q")

    def close(self) -> None:
        self.open.close()


def _data(file: int, size: int) -> list[tuple[int, int]]:
    """Return [start, end) of the parts of a file that have been written.

    :raises OSError: the file cannot be read
    """
    found: list[tuple[int, int]] = []
    at = 0
    while at < size:
        try:
            start = os.lseek(file, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            # Only a hole is left.
            break
        at = os.lseek(file, start, os.SEEK_HOLE)
        found.append((start, at))
    return found
