# SPDX-License-Identifier: GPL-2.0-only
"""The initial file system of the emulated machine: our own program as /init, compiled on first use."""

import hashlib
import stat
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from ..processes.programs import program_path
from .compiling import compile_c
from .errors import RealError
from .folder import entry_made

PART: Final = "init"
NAME: Final = "initrd.cpio"
NATIVE: Final = Path(__file__).resolve().parent / "native"
COMPILER: Final = "aarch64-linux-gnu-gcc"
# Environment variable that names another compiler.
VARIABLE: Final = "S2FUZZ_CROSS_CC"
WANTED: Final = (
    f"provide {COMPILER} on PATH (Debian: gcc-aarch64-linux-gnu, libc6-dev-arm64-cross), or name another by {VARIABLE}"
)
FLAGS: Final = ("-std=gnu11", "-O1", "-Wall", "-Werror=implicit", "-static", "-fno-pie", "-no-pie")
# Timeout for the compiler in seconds; it takes two.
PATIENCE: Final = 300


def compiler() -> str:
    """Return the cross compiler.

    :raises RealError: there is none
    """
    no_compiler = "real: no cross compiler: {} is not there; " + WANTED
    return program_path(COMPILER, VARIABLE, lambda wanted: RealError(no_compiler.format(wanted)))


def sources() -> list[Path]:
    """Return the source files of /init, including headers."""
    return sorted(path for path in NATIVE.iterdir() if path.suffix in (".c", ".h", ".S"))


def make() -> Path:
    """Return the file system as an archive, compiled unless it is cached.

    :raises RealError: there is no compiler, or it fails; the cache cannot be written
    """
    digest = hashlib.sha256(" ".join(FLAGS).encode())
    for path in sources():
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return entry_made(PART, digest.hexdigest()[:16], _build) / NAME


def _build(folder: Path) -> None:
    """Compile and link /init, and write the file system.

    :raises RealError: there is no compiler, or it fails
    """
    target = folder / "init"
    files = [str(path) for path in sources() if path.suffix != ".h"]
    command = [compiler(), *FLAGS, "-o", str(target), *files]
    compile_c(command, "/init", PATIENCE, lambda said: RealError(f"real: {said}; {WANTED}"))
    (folder / NAME).write_bytes(archive(target.read_bytes()))


def archive(program: bytes, others: Mapping[str, bytes] = MappingProxyType({})) -> bytes:
    """Return a cpio archive in the kernel's format ("newc"): /init, and the console that it starts with.

    :param others: further programs, by their paths
    """
    more = [_member(path, stat.S_IFREG | 0o755, data, 4 + at) for at, (path, data) in enumerate(others.items())]
    entries = [
        _member("dev", stat.S_IFDIR | 0o755, b"", 1),
        _member("dev/console", stat.S_IFCHR | 0o600, b"", 2, (5, 1)),
        _member("init", stat.S_IFREG | 0o755, program, 3),
        *more,
        _member("TRAILER!!!", 0, b"", 0),
    ]
    return b"".join(entries)


def _member(name: str, mode: int, content: bytes, number: int, device: tuple[int, int] = (0, 0)) -> bytes:
    """Return one member of the archive; *number*: its inode number, *device*: major and minor of a device file."""
    path = name.encode() + b"\0"
    fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(path), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + path
    return _padded(head) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
