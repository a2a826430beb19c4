# SPDX-License-Identifier: GPL-2.0-only
"""The code places of events in the tree: C functions and lines from the debug information, cached by address."""

import os
import subprocess
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from ..building.errors import TreeError
from ..building.units import is_stage2

# Translates addresses to functions and lines.
TOOL: Final = "addr2line"
# How often it is started for one address.
_TRIES: Final = 2
# Prefixes of the names of our own C files, which model the environment of the tree's code.
OURS: Final = ("rt_", "glue")
# Prefix of the tree's functions that a function of ours wraps.
WRAPPED: Final = "real_"


class Frame(NamedTuple):
    """One frame of a call chain.

    :param file: its name without folders
    """

    function: str
    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.function} ({self.file}:{self.line})"


class CodePlace:
    """A call chain, innermost function first, including inlined functions.

    *function*: the innermost function that is defined in a C file of the tree; *walker*: the outermost walker
    callback of pgtable.c in the chain, "" if there is none; *unit*: the C file; *stage2*: it has stage-2 code of arm64;
    *at*: function, file and line; *where*: *at* and the call chain; "" where no code of the tree is running, as after
    the return of a call
    """

    def __init__(self, frames: list[Frame]) -> None:
        self.frames = frames
        sources = [frame for frame in frames if frame.file.endswith(".c")]
        self.function = sources[0].function if sources else "?"
        self.unit = sources[0].file if sources else ""
        self.stage2 = is_stage2(self.unit)
        self.at = str(sources[0]) if sources else "?"
        self.walker = ""
        for frame in frames:
            if frame.function.endswith("_walker"):
                # One object for each name stays in the cache of the core, and is found to be the same at once.
                self.walker = sys.intern(frame.function)
        self.where = f"{self.at}, by {self.chain()}" if frames else ""

    def chain(self) -> str:
        """Return ``kvm_handle_guest_abort > user_mem_abort > ...``, outermost first; a recursion appears once."""
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
        """Return the place that a chain of return addresses stands for."""
        place = self.chains.get(chain)
        if place is None:
            frames: list[Frame] = []
            for address in chain:
                frames += self.at(address)
            place = self.chains[chain] = CodePlace([frame for frame in frames if not frame.file.startswith(OURS)])
        return place

    def at(self, address: int) -> list[Frame]:
        """Return the functions at a return address: one, and those into which it was inlined."""
        found = self.known.get(address)
        if found is None:
            # A return address lies after the call instruction.
            found = self.known[address] = self.ask(address - 1)
        return found

    def ask(self, address: int) -> list[Frame]:
        """Ask addr2line for the functions at an address; start it again if it has ended.

        :raises TreeError: it cannot be started, or ends again
        """
        for _ in range(_TRIES):
            try:
                lines = self.answer(address)
                break
            except BrokenPipeError:
                self.close()
        else:
            raise TreeError(f"{TOOL} {self.library}: it ends without an answer; build the tree again")
        frames: list[Frame] = []
        for function, where in zip(lines[1::2], lines[2::2], strict=False):
            file, _, number = where.partition(" ")[0].partition(":")
            frames.append(Frame(function.removeprefix(WRAPPED), file, int(number) if number.isdigit() else 0))
        return frames

    def answer(self, address: int) -> list[str]:
        """Return the lines of addr2line on an address; it stays running, as it reads the debug information once.

        :raises BrokenPipeError: it has ended
        :raises TreeError: it cannot be started
        """
        if self.tool is None or self.owner != os.getpid():
            # A forked process must not share the pipes of its parent.
            self.owner = os.getpid()
            self.tool = self.start_tool()
        assert self.tool.stdin is not None
        assert self.tool.stdout is not None
        # The answer to the second address marks the end of the answer to the first.
        self.tool.stdin.write(f"{address:#x}\n0\n")
        self.tool.stdin.flush()
        lines: list[str] = []
        while not (line := self.tool.stdout.readline()).startswith("0x0000000000000000"):
            if not line:
                raise BrokenPipeError
            lines.append(line.strip())
        self.tool.stdout.readline()
        self.tool.stdout.readline()
        return lines

    def close(self) -> None:
        """End addr2line; the next question starts it again."""
        tool, self.tool = self.tool, None
        if tool is not None:
            # It ends when its input is closed.
            with suppress(BrokenPipeError), tool:
                pass

    def start_tool(self) -> subprocess.Popen[str]:
        """Start addr2line.

        :raises TreeError: this failed
        """
        try:
            return subprocess.Popen(
                [TOOL, "-f", "-i", "-s", "-a", "-e", str(self.library)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                # Ctrl-C in a terminal must not end it: findings are still reported afterwards.
                start_new_session=True,
            )
        except OSError as error:
            raise TreeError(f"{TOOL}: {error.strerror or error}; install binutils") from error


@cache
def places_of(library: Path) -> CodePlaces:
    """Return the places of a library, shared by all programs of this process."""
    return CodePlaces(library)
