# SPDX-License-Identifier: GPL-2.0-only
"""The lines of a library's kernel code, and which of them ran, from its counters.

gcc only counts on as many arcs of a function's graph as determine the others: each block is entered as often as it is
left. ``candidate/tree/building/counters.py`` has written the graph.
"""

import json
from functools import cache
from itertools import compress
from pathlib import Path
from typing import Any, Final
from zlib import crc32

from ..building.cache import LINES
from ..building.plan import GENERATED

# Prefixes of the names of files that do not belong to the tree.
_OURS: Final = ("native/", f"{GENERATED}/", "stubs", "<")

Lines = dict[str, set[int]]


class CodeFunction:
    """A function with counters.

    :param unit: the object that has it
    :param blocks: number of its blocks; block 0 is the entry, block 1 the exit
    :param arcs: source, destination, whether the arc has a counter
    :param lines: block, file, line; for files of the tree only
    *first*: number of its first counter, -1 if the library does not have it; *counted*: number of its counters
    """

    def __init__(
        self,
        unit: str,
        name: str,
        first: int,
        blocks: int,
        arcs: list[tuple[int, int, bool]],
        lines: list[tuple[int, str, int]],
    ) -> None:
        self.unit = unit
        self.name = name
        self.first = first
        self.blocks = blocks
        self.arcs = arcs
        self.lines = lines
        self.counted = sum(counted for _, _, counted in arcs)

    def executed(self, counters: list[int]) -> list[int]:
        """Return how often each block ran.

        :param counters: the counters of the function, possibly added up over many calls
        """
        return self._solved(counters)[0]

    def arcs_executed(self, counters: list[int]) -> list[int]:
        """Return how often the code followed each arc; parameter as `executed`."""
        return self._solved(counters)[1]

    def _solved(self, counters: list[int]) -> tuple[list[int], list[int]]:
        """Return the counts of all blocks and of all arcs."""
        count: list[int | None] = []
        entering: list[list[int]] = [[] for _ in range(self.blocks)]
        leaving: list[list[int]] = [[] for _ in range(self.blocks)]
        at = 0
        for number, (source, destination, counted) in enumerate(self.arcs):
            count.append(counters[at] if counted else None)
            at += counted
            leaving[source].append(number)
            entering[destination].append(number)
        total: list[int | None] = [None] * self.blocks
        left = list(range(self.blocks))
        while left:
            block = left.pop()
            for arcs in (leaving[block], entering[block]):
                if total[block] is None and arcs and all(count[arc] is not None for arc in arcs):
                    total[block] = sum(count[arc] or 0 for arc in arcs)
            known = total[block]
            if known is None:
                continue
            for arcs in (leaving[block], entering[block]):
                unknown = [arc for arc in arcs if count[arc] is None]
                if len(unknown) == 1:
                    rest = known - sum(count[arc] or 0 for arc in arcs)
                    # After a crash, a block may have been entered more often than left.
                    count[unknown[0]] = max(rest, 0)
                    left += self.arcs[unknown[0]][:2]
        return [each or 0 for each in total], [each or 0 for each in count]


class CodeLines:
    """The lines of the tree's files that have code in a library.

    *lines*: file -> numbers; *instructions*: file -> numbers of further lines that have instructions, but no block and
    so no count; *functions*: all functions with counters; *names*: for each counter, its function and its index there

    :raises OSError, ValueError: the library does not count, or its table of lines is damaged
    """

    def __init__(self, library: Path) -> None:
        table: dict[str, Any] = json.loads((library.parent / LINES).read_bytes())
        files: list[str] = table["files"]
        ours = {number for number, name in enumerate(files) if name.startswith(_OURS)}
        self.lines: Lines = {}
        self.instructions: Lines = {
            name: set(numbers) for name, numbers in table["instructions"].items() if not name.startswith(_OURS)
        }
        self.functions: list[CodeFunction] = []
        self.names: list[tuple[str, int]] = []
        self.hashes: list[int] = []
        for each in table["functions"]:
            arcs, flat = each["arcs"], each["lines"]
            lines = [
                (block, files[file], line)
                for block, file, line in zip(flat[::3], flat[1::3], flat[2::3], strict=True)
                if file not in ours
            ]
            graph = [(a, b, bool(c)) for a, b, c in zip(arcs[::3], arcs[1::3], arcs[2::3], strict=True)]
            function = CodeFunction(each["unit"], each["name"], each["first"], each["blocks"], graph, lines)
            self.functions.append(function)
            for _, file, line in lines:
                self.lines.setdefault(file, set()).add(line)
            if function.first >= 0:
                end = function.first + function.counted
                self.names += [("", 0)] * (end - len(self.names))
                self.names[function.first : end] = [(function.name, number) for number in range(function.counted)]

    def features(self, counters: bytes) -> list[int]:
        """Return a hash for each counter that is not 0; it is the same in all libraries with the same function."""
        values = memoryview(counters).cast("Q").tolist()
        hashes = self.hashes
        if not hashes:
            hashes += [crc32(f"way: {name}: {number}".encode()) for name, number in self.names]
        return list(compress(hashes, values))

    def called(self, counters: bytes) -> set[str]:
        """Return the names of the functions that ran; parameter as `ran`."""
        values = memoryview(counters).cast("Q").tolist()
        counted = [each for each in self.functions if each.first >= 0]
        return {each.name for each in counted if any(values[each.first : each.first + each.counted])}

    def ran(self, counters: bytes) -> Lines:
        """Return the lines that ran: file -> numbers.

        :param counters: the counters of the library, 64 bits each
        """
        values = memoryview(counters).cast("Q").tolist()
        found: Lines = {}
        for function in self.functions:
            mine = values[function.first : function.first + function.counted] if function.first >= 0 else []
            if not any(mine):
                continue
            executed = function.executed(mine)
            for block, file, line in function.lines:
                if executed[block]:
                    found.setdefault(file, set()).add(line)
        return found


@cache
def code_lines(library: str) -> CodeLines:
    """Return the lines of a library by its path; they are read once.

    :raises OSError, ValueError: as for `CodeLines`
    """
    return CodeLines(Path(library))
