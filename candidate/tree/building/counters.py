# SPDX-License-Identifier: GPL-2.0-only
"""The counters that gcc puts into kernel code, and the lines that they stand for.

gcc counts on arcs between blocks of a function, on as few as say the rest; its ``.gcno`` files (gcc/gcov-io.h) have
blocks, arcs and lines, and the map of the linker says where the counters of each function lie.
"""

import json
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from .errors import TreeError

_MAGIC: Final = b"oncg"
_FUNCTION: Final = 0x01000000
_BLOCKS: Final = 0x01410000
_ARCS: Final = 0x01430000
_LINES: Final = 0x01450000
# Of an arc: its count follows from others.
_ON_TREE: Final = 1
# From this version of gcc on lengths are bytes; before it, words.
_BYTES: Final = 12
# Older ones say less.
_OLDEST: Final = 9
_COUNTER: Final = 8
_NO_MAP: Final = "the linker does not say where counters are; allowed: ld of GNU binutils"
_END: Final = re.compile(r"^\s+0x([0-9a-f]+)\s+shim_counters_end = \.", re.MULTILINE)
# lock addq $1, counter(%rip): the prefix, the rest of the opcode, where the counter is from the next instruction.
_LOCKED: Final = re.compile(rb"\xf0\x48\x83\x05(....)\x01", re.DOTALL)
_NOP: Final = 0x90
# Of a segment in the header of a library (Elf64_Phdr): code that is loaded.
_LOADED: Final = 1
_EXECUTABLE: Final = 1
_START: Final = re.compile(r"^\s+0x([0-9a-f]+)\s+shim_counters = \.", re.MULTILINE)
_PLACE: Final = re.compile(
    r"^ \.bss\.__gcov0\.(?P<function>\S+)\s+0x(?P<at>[0-9a-f]+)\s+0x[0-9a-f]+ (?P<object>\S+)$", re.MULTILINE
)


class NotesReader:
    """The numbers and texts of a ``.gcno`` file, one after the other.

    *at*: the place of the next one; *version*: the major one of the gcc that wrote it

    :raises TreeError: it is none, or its gcc is too old
    """

    def __init__(self, data: bytes, name: str) -> None:
        self.data = data
        self.at = 8
        version = data[4:8][::-1].decode("latin-1")
        self.version = (ord(version[0]) - ord("A")) * 10 + ord(version[1]) - ord("0") if len(version) == 4 else 0
        if data[:4] != _MAGIC or self.version < _OLDEST:
            raise TreeError(f"{name} is not as gcc writes it; allowed: gcc {_OLDEST} or later")

    def number(self) -> int:
        """Read a number."""
        (value,) = struct.unpack_from("<I", self.data, self.at)
        self.at += 4
        return int(value)

    def text(self) -> str:
        """Read a text."""
        length = self.size(self.number())
        found = self.data[self.at : self.at + length].split(b"\0")[0]
        self.at += length
        return found.decode(errors="replace")

    def size(self, length: int) -> int:
        """Return a length in bytes."""
        return length if self.version >= _BYTES else 4 * length


def functions(data: bytes, name: str) -> list[dict[str, Any]]:
    """The functions of a ``.gcno`` file: of each ``name``, ``blocks`` (how many), ``arcs`` and ``lines``.

    ``arcs``: source, destination, and 1 for those that are counted, one after the other; ``lines``: of each
    ``block``, file and number.

    :param name: of the file, for messages
    :raises TreeError: it cannot be read
    """
    reader = NotesReader(data, name)
    reader.at += 8 if reader.version >= _BYTES else 4
    reader.text()
    reader.number()
    found: list[dict[str, Any]] = []
    while reader.at + 8 <= len(data):
        tag = reader.number()
        end = reader.size(reader.number())
        end += reader.at
        if tag == _FUNCTION:
            reader.at += 12
            found.append({"name": reader.text(), "blocks": 0, "arcs": [], "lines": []})
        elif tag == _BLOCKS:
            found[-1]["blocks"] = reader.number()
        elif tag == _ARCS:
            source = reader.number()
            while reader.at < end:
                destination, flags = reader.number(), reader.number()
                found[-1]["arcs"] += [source, destination, 0 if flags & _ON_TREE else 1]
        elif tag == _LINES:
            _read_lines(reader, found[-1]["lines"])
        reader.at = end
    return found


def _read_lines(reader: NotesReader, lines: list[tuple[int, str, int]]) -> None:
    """Read the lines of a block."""
    block, file = reader.number(), ""
    while True:
        line = reader.number()
        if line:
            lines.append((block, file, line))
        else:
            file = reader.text()
            if not file:
                return


def unlock(work: Path, library: str) -> None:
    """Take the lock prefix from the instructions that count: one thread runs the code, and a lock takes time.

    :param work: folder of the build
    :param library: name of the library, whose map lies beside it
    :raises TreeError: what the linker wrote cannot be read
    """
    text = (work / f"{library}.map").read_text(errors="replace")
    start, end = _START.search(text), _END.search(text)
    if start is None or end is None:
        raise TreeError(_NO_MAP)
    low, high = int(start[1], 16), int(end[1], 16)
    data = bytearray((work / library).read_bytes())
    for offset, address, length in code(data):
        for found in _LOCKED.finditer(bytes(data[offset : offset + length])):
            (distance,) = struct.unpack("<i", found[1])
            if low <= address + found.end() + distance < high:
                data[offset + found.start()] = _NOP
    (work / library).write_bytes(data)


def code(data: bytes | bytearray) -> Iterator[tuple[int, int, int]]:
    """Yield the parts of a library with code: of each the offset in the file, the address, and the size in bytes."""
    (headers,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<2H", data, 54)
    for number in range(count):
        kind, flags, offset, address, _, length = struct.unpack_from("<2I4Q", data, headers + number * size)
        if kind == _LOADED and flags & _EXECUTABLE:
            yield offset, address, length


def table(work: Path, library: str) -> str:
    """The counters of a library as JSON, for `candidate.tree.lines.code.CodeLines`.

    ``files``: names; ``functions``: of each ``unit`` (its object), ``name``, ``first`` (the number of its first
    counter; -1: it is not in the library), ``blocks``, ``arcs`` and ``lines``, as `functions` has them, with numbers of
    files.

    :param work: folder of the build
    :param library: name of the library, whose map lies beside it
    :raises TreeError: what gcc or the linker wrote cannot be read
    """
    text = (work / f"{library}.map").read_text(errors="replace")
    start = _START.search(text)
    if start is None:
        raise TreeError(_NO_MAP)
    base = int(start[1], 16)
    places = {(m["object"], m["function"]): (int(m["at"], 16) - base) // _COUNTER for m in _PLACE.finditer(text)}
    files: dict[str, int] = {}
    found: list[dict[str, Any]] = []
    for path in sorted(work.glob("*.gcno")):
        for each in functions(path.read_bytes(), path.name):
            each["unit"] = path.stem
            each["first"] = places.get((f"{path.stem}.o", each["name"]), -1)
            each["lines"] = [
                number
                for block, file, line in each["lines"]
                for number in (block, files.setdefault(file, len(files)), line)
            ]
            found.append(each)
    return json.dumps({"files": list(files), "functions": found}, separators=(",", ":"))
