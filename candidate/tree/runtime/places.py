# SPDX-License-Identifier: GPL-2.0-only
"""The places of events in the tree: C functions and lines, from the debug information, each address once."""

import os
import subprocess
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

# How files of ours begin, in which models run for the tree's code.
OURS: Final = ("rt_", "glue")
# How the names of the tree's functions begin that a function of ours stands before.
WRAPPED: Final = "real_"


class Frame(NamedTuple):
    """A function that was running.

    :param file: without folders
    """

    function: str
    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.function} ({self.file}:{self.line})"


class CodePlace:
    """A chain of calls, innermost function first; inlined ones too.

    *function*: the innermost function that is defined in a C file of the tree; *walker*: the walker callback
    of pgtable.c around it, "" where there is none; *unit*: the C file; *at*: function, file and line;
    *where*: *at*, and the chain of calls
    """

    def __init__(self, frames: list[Frame]) -> None:
        self.frames = frames
        sources = [frame for frame in frames if frame.file.endswith(".c")]
        self.function = sources[0].function if sources else "?"
        self.unit = sources[0].file if sources else ""
        self.at = str(sources[0]) if sources else "?"
        self.walker = ""
        for frame in frames:
            if frame.function.endswith("_walker"):
                self.walker = frame.function
        self.where = f"{self.at}, by {self.chain()}"

    def chain(self) -> str:
        """``kvm_handle_guest_abort > user_mem_abort > ...``, outermost first; of a recursion only the last round."""
        names: list[str] = []
        for frame in reversed(self.frames):
            if frame.function in names:
                del names[names.index(frame.function) :]
            names.append(frame.function)
        return " > ".join(names)


class CodePlaces:
    """The places of one library.

    :param library: built with debug information
    """

    def __init__(self, library: Path) -> None:
        self.library = library
        self.known: dict[int, list[Frame]] = {}
        self.chains: dict[tuple[int, ...], CodePlace] = {}
        self.tool: subprocess.Popen[str] | None = None
        self.owner = 0

    def place(self, chain: tuple[int, ...]) -> CodePlace:
        """Return the place that a chain of return addresses means."""
        place = self.chains.get(chain)
        if place is None:
            frames: list[Frame] = []
            for address in chain:
                frames += self.at(address)
            place = self.chains[chain] = CodePlace([frame for frame in frames if not frame.file.startswith(OURS)])
        return place

    def at(self, address: int) -> list[Frame]:
        """The functions at a return address: one, and those into which it was inlined."""
        found = self.known.get(address)
        if found is None:
            # The call ends there.
            found = self.known[address] = self.ask(address - 1)
        return found

    def ask(self, address: int) -> list[Frame]:
        """Have addr2line say it, which reads the debug information once."""
        if self.tool is None or self.owner != os.getpid():
            # A fork must not share the pipes of the one before.
            self.owner = os.getpid()
            self.tool = subprocess.Popen(
                ["addr2line", "-f", "-i", "-s", "-a", "-e", str(self.library)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self.tool.stdin is not None
        assert self.tool.stdout is not None
        # The answer to the second address says where that to the first ends.
        self.tool.stdin.write(f"{address:#x}\n0\n")
        self.tool.stdin.flush()
        lines: list[str] = []
        while not (line := self.tool.stdout.readline()).startswith("0x0000000000000000") and line:
            lines.append(line.strip())
        self.tool.stdout.readline()
        self.tool.stdout.readline()
        frames: list[Frame] = []
        for function, where in zip(lines[1::2], lines[2::2], strict=False):
            file, _, number = where.partition(" ")[0].partition(":")
            frames.append(Frame(function.removeprefix(WRAPPED), file, int(number) if number.isdigit() else 0))
        return frames


@cache
def places_of(library: Path) -> CodePlaces:
    """The places of a library; the same for all programs of this process."""
    return CodePlaces(library)
