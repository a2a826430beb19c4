# SPDX-License-Identifier: GPL-2.0-only
"""Digests of the functions and data of a library, taken from its objects before they are linked.

They tell which functions are the same in two trees: the same machine code, which refers to the same names. Each
function has a section of its own. The relocations have the names that it refers to.
"""

import hashlib
import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from .errors import TreeError

_SECTION: Final = struct.Struct("<2I4Q2I2Q")
_SYMBOL: Final = struct.Struct("<I2BH2Q")
_RELOCATION: Final = struct.Struct("<2Qq")
_SYMBOLS: Final = 2
_RELOCATIONS: Final = 4
_EMPTY: Final = 8
# Flags of sections: loaded (SHF_ALLOC), code (SHF_EXECINSTR), mergeable strings (SHF_STRINGS).
_LOADED: Final = 2
_CODE: Final = 4
_TEXTS: Final = 0x20
# Kind of a symbol that stands for a section (STT_SECTION); binding of a local symbol (STB_LOCAL).
_OF_SECTION: Final = 3
_LOCAL: Final = 0
# Relocations relative to the end of their field of 4 bytes: R_X86_64_PC32, R_X86_64_PLT32.
_DISTANCES: Final = (2, 4)
# Names of sections that describe the code and do not affect what it does: counters, frames for debuggers.
_DESCRIBES: Final = ("__gcov", ".LPBX", ".eh_frame", ".note", "_array", "__patchable")
_FUNCTION: Final = ".text."
_TABLE: Final = ".rodata."


class ObjectFile:
    """The sections of an object file (ELF, 64 bits).

    *globals*: names of the global symbols that it defines

    :raises TreeError: the data is no such file
    """

    def __init__(self, data: bytes, name: str) -> None:
        if data[:6] != b"\x7fELF\x02\x01":
            raise TreeError(f"{name} is not an object file for this machine")
        self.data = data
        (start,) = struct.unpack_from("<Q", data, 40)
        size, count, names = struct.unpack_from("<3H", data, 58)
        self.headers = [_SECTION.unpack_from(data, start + size * number) for number in range(count)]
        self.names = [self.text(names, header[0]) for header in self.headers]
        self.symbols: list[tuple[str, int, int, int]] = []
        self.globals: set[str] = set()
        self.relocations: dict[int, list[tuple[int, int, int]]] = {}
        for header in self.headers:
            kind, offset, length, link, info = header[1], header[4], header[5], header[6], header[7]
            if kind == _SYMBOLS:
                for at in range(offset, offset + length, _SYMBOL.size):
                    text, how, _, section, value, _ = _SYMBOL.unpack_from(data, at)
                    self.symbols.append((self.text(link, text), how & 15, section, value))
                    if how >> 4 != _LOCAL and section:
                        self.globals.add(self.symbols[-1][0])
            elif kind == _RELOCATIONS:
                self.relocations[info] = [
                    _RELOCATION.unpack_from(data, at) for at in range(offset, offset + length, _RELOCATION.size)
                ]

    def text(self, section: int, at: int) -> str:
        """Return the string at an offset of a section."""
        start = self.headers[section][4] + at
        return self.data[start : self.data.index(b"\0", start)].decode(errors="replace")

    def loaded(self) -> list[int]:
        """Return the sections that are loaded into memory and affect what a program does."""
        return [
            number
            for number, header in enumerate(self.headers)
            if header[2] & _LOADED
            and not header[2] & _TEXTS
            and not any(word in self.names[number] for word in _DESCRIBES)
        ]

    def is_code(self, section: int) -> bool:
        """Return whether a section holds code."""
        flags: int = self.headers[section][2]
        return flags & _CODE != 0

    def digest(self, section: int) -> str:
        """Return a digest of the contents and the relocations of a section."""
        header = self.headers[section]
        offset, length = header[4], header[5]
        total = hashlib.sha256(str(length).encode())
        if header[1] != _EMPTY:
            total.update(self.data[offset : offset + length])
        for at, what, addend in sorted(self.relocations.get(section, [])):
            total.update(f"{at} {what & 0xFFFFFFFF} {self.target(what, addend)}\n".encode())
        return total.hexdigest()[:24]

    def target(self, what: int, addend: int) -> str:
        """Return what a relocation refers to: a name and an addend, or a string."""
        name, kind, section, value = self.symbols[what >> 32]
        if 0 < section < len(self.headers) and self.headers[section][2] & _TEXTS:
            return repr(self.text(section, value + addend + (4 if what & 0xFFFFFFFF in _DISTANCES else 0)))
        if kind == _OF_SECTION:
            name = self.names[section]
        return f"{name} {addend}"


def table(work: Path, tree: Sequence[str], ours: Sequence[str]) -> str:
    """Return the digests of a library as JSON, for `candidate.tree.lines.alike`.

    ``functions``: unit and function (``mmu:user_mem_abort``; a split-off part has its own name) -> digest; ``rest``:
    the same for all other sections; ``taken``: functions of ours that the tree defines itself

    :param work: folder of the build
    :param tree: objects whose functions have counters
    :param ours: the other objects
    :raises TreeError: an object cannot be read
    """
    functions: dict[str, str] = {}
    rest: dict[str, str] = {}
    defined: set[str] = set()
    models: set[str] = set()
    for name in (*tree, *ours):
        file = ObjectFile((work / name).read_bytes(), name)
        unit = name.removesuffix(".o")
        tables = {file.names[each].removeprefix(_TABLE): each for each in file.loaded() if not file.is_code(each)}
        (defined if name in tree else models).update(file.globals)
        used: set[int] = set()
        for section in file.loaded():
            function = file.names[section].removeprefix(_FUNCTION)
            if name in tree and file.is_code(section) and function != file.names[section]:
                digest = file.digest(section)
                # The jump table of a switch is in a section of its own.
                if function in tables:
                    used.add(tables[function])
                    digest += file.digest(tables[function])
                functions[f"{unit}:{function}"] = digest
        for section in file.loaded():
            if section not in used and not (name in tree and file.names[section].startswith(_FUNCTION)):
                rest[f"{unit}:{file.names[section]}"] = file.digest(section)
    found = {"functions": functions, "rest": rest, "taken": sorted(defined & models)}
    return json.dumps(found, separators=(",", ":"))
