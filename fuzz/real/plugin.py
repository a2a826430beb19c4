# SPDX-License-Identifier: GPL-2.0-only
"""The QEMU plugin that records stores, TLBIs and cache operations in order: built here, loaded by a machine."""

import hashlib
import mmap
import os
import shutil
import struct
import subprocess
from contextlib import ExitStack
from enum import IntEnum
from pathlib import Path
from typing import Final, NamedTuple

from ..closing import Closing
from .compiling import compile_c
from .emulator import find_emulator
from .errors import RealError
from .folder import entry_made
from .initrd import NATIVE

PART: Final = "plugin"
NAME: Final = "stream.so"
SOURCE: Final = NATIVE / PART / "stream.c"
COMPILER: Final = "cc"
FLAGS: Final = ("-std=gnu11", "-O2", "-Wall", "-fPIC", "-shared", "-fvisibility=hidden")
# Timeout for the compiler in seconds; it takes a fraction of one.
PATIENCE: Final = 60

# Stands for the value of a register that could not be read.
UNKNOWN: Final = (1 << 64) - 1
# As struct stream and struct event in stream.c.
_HEAD: Final = struct.Struct("<4Q")
_EVENT: Final = struct.Struct("<5Q")
_COUNT: Final = 0
_MARK: Final = 16
# Maximum number of events per program.
MAX_EVENTS: Final = 1 << 18


class NoStreamError(Exception):
    """This machine cannot record the stream; one line that gives the reason. Nothing else depends on the stream."""


class EventKind(IntEnum):
    """Kinds of events, as in stream.c."""

    STORE = 1
    TLBI = 2
    DCACHE = 3
    ICACHE = 4


class RawEvent(NamedTuple):
    """An event as recorded by the plugin.

    :param pc: address of the instruction
    :param what: for a store, its address in the linear map; else the instruction without its register
    :param value: the value stored, or the value of the register
    :param times: number of consecutive identical events
    """

    kind: int
    pc: int
    what: int
    value: int
    times: int


def make() -> Path:
    """Return the plugin, compiled unless it is cached.

    :raises NoStreamError: there is no compiler, or it fails
    :raises RealError: the cache cannot be written
    """
    digest = hashlib.sha256(" ".join(FLAGS).encode() + SOURCE.read_bytes())
    return entry_made(PART, digest.hexdigest()[:16], _build) / NAME


def _build(folder: Path) -> None:
    """Compile and link the plugin.

    :raises NoStreamError: there is no compiler, or it fails
    """
    program = shutil.which(COMPILER)
    if program is None:
        raise NoStreamError(f"no {COMPILER} to compile the plugin with")
    command = [program, *FLAGS, "-o", str(folder / NAME), str(SOURCE), "-ldl"]
    compile_c(command, "the plugin", PATIENCE, NoStreamError)


def require_plugins() -> None:
    """Refuse a QEMU that was built without plugins.

    :raises NoStreamError: QEMU has no plugins
    :raises RealError: there is no QEMU
    """
    program = find_emulator()
    try:
        said = subprocess.run([program, "-help"], capture_output=True, text=True, timeout=PATIENCE, check=False).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoStreamError(f"{program} cannot be run: {error}") from None
    if "\n-plugin " not in said:
        raise NoStreamError(f"{program} was built without plugins")


class Watch(NamedTuple):
    """A plugin in a machine.

    :param plugin: its file
    :param events: the memory that it writes to
    :param code: [first, end) of the functions whose stores are recorded
    """

    plugin: Path
    events: "EventMemory"
    code: list[tuple[int, int]]


class EventMemory(Closing):
    """Memory that a plugin writes events to; a context manager.

    *file*: its file descriptor

    :raises RealError: there is no memory
    """

    def __init__(self) -> None:
        size = _HEAD.size + MAX_EVENTS * _EVENT.size
        with ExitStack() as stack:
            try:
                self.file = os.memfd_create("s2fuzz-real-events")
                stack.callback(os.close, self.file)
                os.ftruncate(self.file, size)
                self.map = stack.enter_context(mmap.mmap(self.file, size))
            except OSError as error:
                raise RealError(f"real: no memory for events: {error.strerror}; free some") from None
            self.open = stack.pop_all()
        self.taken = 0

    def arguments(self, plugin: Path, memory: int, code: list[tuple[int, int]]) -> str:
        """Return the value of QEMU's ``-plugin`` option.

        :param memory: file descriptor of the memory at the start of the linear map
        :param code: [first, end) of the functions whose stores are recorded
        """
        ranges = [f"code={first:x}-{end:x}" for first, end in code]
        return ",".join([str(plugin), f"events={self.file}", f"memory={memory}", *ranges])

    def take(self) -> list[RawEvent]:
        """Return the events since the last call, while the machine waits.

        :raises NoStreamError: there were more events, or more instructions with events, than fit
        """
        count, lost, _, unwatched = _HEAD.unpack_from(self.map, _COUNT)
        if lost:
            raise NoStreamError(f"more than {MAX_EVENTS} events")
        if unwatched:
            raise NoStreamError("the kernel has more flushes and cache operations than the plugin can watch")
        found = [
            RawEvent(*_EVENT.unpack_from(self.map, _HEAD.size + at * _EVENT.size)) for at in range(self.taken, count)
        ]
        self.taken = count
        struct.pack_into("<Q", self.map, _MARK, count)
        return found

    def close(self) -> None:
        self.open.close()
