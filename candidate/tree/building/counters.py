# SPDX-License-Identifier: GPL-2.0-only
"""The counters that gcc adds to kernel code, and the lines that they stand for.

gcc counts arcs between blocks of a function, only as many as determine the others. Its ``.gcno`` files
(gcc/gcov-io.h) have blocks, arcs and lines. The map of the linker has the place of each function's counters.
"""

import json
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from .compiler import output
from .errors import TreeError

_MAGIC: Final = b"oncg"
_FUNCTION: Final = 0x01000000
_BLOCKS: Final = 0x01410000
_ARCS: Final = 0x01430000
_LINES: Final = 0x01450000
# Flag of an arc: its count follows from others (GCOV_ARC_ON_TREE).
_ON_TREE: Final = 1
# From this version of gcc on, lengths are in bytes; before, in words.
_BYTES: Final = 12
# Older versions of gcc write less information.
_OLDEST: Final = 9
_COUNTER: Final = 8
_NO_MAP: Final = "the linker does not report where counters are; allowed: ld of GNU binutils"
_END: Final = re.compile(r"^\s+0x([0-9a-f]+)\s+shim_counters_end = \.", re.MULTILINE)
# lock addq $1, counter(%rip): prefix, rest of the opcode, distance of the counter from the next instruction.
_LOCKED: Final = re.compile(rb"\xf0\x48\x83\x05(....)\x01", re.DOTALL)
_NOP: Final = 0x90
# Type and flag of a segment with loaded code (Elf64_Phdr: PT_LOAD, PF_X).
_LOADED: Final = 1
_EXECUTABLE: Final = 1
_START: Final = re.compile(r"^\s+0x([0-9a-f]+)\s+shim_counters = \.", re.MULTILINE)
_PLACE: Final = re.compile(
    r"^ \.bss\.__gcov0\.(?P<function>\S+)\s+0x(?P<at>[0-9a-f]+)\s+0x[0-9a-f]+ (?P<object>\S+)$", re.MULTILINE
)
# A line of ``objdump --line-numbers``: the instructions that follow belong to a line of a file.
_SOURCE: Final = re.compile(r"^(?:\./)*(?P<file>[^\s:]+):(?P<line>\d+)(?: \(discriminator \d+\))?$", re.MULTILINE)


class NotesReader:
    """Reads the numbers and strings of a ``.gcno`` file in sequence.

    *at*: offset of the next item; *version*: major version of the gcc that wrote the file

    :raises TreeError: the data is no such file, or the gcc is too old
    """

    def __init__(self, data: bytes, name: str) -> None:
        self.data = data
        self.at = 8
        version = data[4:8][::-1].decode("latin-1")
        self.version = (ord(version[0]) - ord("A")) * 10 + ord(version[1]) - ord("0") if len(version) == 4 else 0
        if data[:4] != _MAGIC or self.version < _OLDEST:
            raise TreeError(f"{name} is not in the format of gcc; allowed: gcc {_OLDEST} or later")

    def number(self) -> int:
        """Read a number."""
        (value,) = struct.unpack_from("<I", self.data, self.at)
        self.at += 4
        return int(value)

    def text(self) -> str:
        """Read a string."""
        length = self.size(self.number())
        found = self.data[self.at : self.at + length].split(b"\0")[0]
        self.at += length
        return found.decode(errors="replace")

    def size(self, length: int) -> int:
        """Convert a length of the file to bytes."""
        return length if self.version >= _BYTES else 4 * length


def functions(data: bytes, name: str) -> list[dict[str, Any]]:
    """Return the functions of a ``.gcno`` file: for each its ``name``, ``blocks`` (number), ``arcs`` and ``lines``.

    ``arcs``: a flat list of source, destination, and 1 if the arc has a counter, else 0; ``lines``: a list of block,
    file, line number.

    :param name: name of the file, for messages
    :raises TreeError: the file cannot be read
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
    """Remove the lock prefix from the instructions that count: only one thread runs the code, and a lock takes time.

    :param work: folder of the build
    :param library: name of the library; its map is in the same folder
    :raises TreeError: the map of the linker cannot be read
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
    """Yield the segments of a library with code: offset in the file, address, size in bytes."""
    (headers,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<2H", data, 54)
    for number in range(count):
        kind, flags, offset, address, _, length = struct.unpack_from("<2I4Q", data, headers + number * size)
        if kind == _LOADED and flags & _EXECUTABLE:
            yield offset, address, length


def table(work: Path, library: str) -> str:
    """Return the counters of a library as JSON, for `candidate.tree.lines.code.CodeLines`.

    ``files``: names; ``functions``: for each its ``unit`` (object), ``name``, ``first`` (index of its first counter;
    -1: it is not in the library), and ``blocks``, ``arcs`` and ``lines`` as `functions` returns them, with a flat list
    of lines and indices of files; ``instructions``: file -> further lines, which have instructions but no block.

    :param work: folder of the build
    :param library: name of the library; its map is in the same folder
    :raises TreeError: a file that gcc or the linker wrote cannot be read
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
    names = list(files)
    blocks = {
        (names[file], line)
        for each in found
        for file, line in zip(each["lines"][1::3], each["lines"][2::3], strict=True)
    }
    more: dict[str, list[int]] = {}
    for file, line in sorted(_instructions(work, library) - blocks):
        more.setdefault(file, []).append(line)
    return json.dumps({"files": names, "functions": found, "instructions": more}, separators=(",", ":"))


def _instructions(work: Path, library: str) -> set[tuple[str, int]]:
    """Return the lines that have instructions in a library, by its debug information: file, number.

    :raises TreeError: objdump fails
    """
    text = output(["objdump", "--disassemble", "--line-numbers", "--no-show-raw-insn", library], work)
    return {(found["file"], int(found["line"])) for found in _SOURCE.finditer(text)}
