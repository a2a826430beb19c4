# SPDX-License-Identifier: GPL-2.0-only
"""A cache of built libraries in the user's cache folder, keyed by the contents of their sources.

An entry is a folder: the library and `RECORD`. `RECORD` lists each file of the tree that the build read, with its
digest, and each file that it looked for and did not find. A tree that matches the record would give the same library,
wherever it is. Entries are made in a temporary folder and renamed, so an entry is complete or absent.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from reference.cache_folder import cache_folder, making_entry, remove_unused

from .compiler import Compiler
from .errors import TreeChangedError, TreeError, cannot_write
from .plan import NATIVE, BuildSettings
from .source import TreeSource
from .symbols import FILE

LIBRARY: Final = "tree.so"
RECORD: Final = "record.json"
# The counters and lines of a library that counts, and the digests of its functions.
LINES: Final = "lines.json"
DIGESTS: Final = "digests.json"
# Prefix of the names of folders in which a build runs. Older versions of s2fuzz have one lock for all builds, and
# remove folders whose names begin with ".building-".
_UNFINISHED: Final = ".compiling-"
_BUILDER: Final = Path(__file__).resolve().parent


def folder() -> Path:
    """Return the folder of the entries: ``$XDG_CACHE_HOME/s2fuzz/trees``, or the same below ``~/.cache``.

    :raises TreeError: the user has no home
    """
    try:
        return cache_folder("trees")
    except RuntimeError:
        raise TreeError("there is no home folder to keep built trees in; allowed: a folder in XDG_CACHE_HOME") from None


def prefix(settings: BuildSettings, compiler: Compiler) -> str:
    """Return the first part of the names of entries, which covers the settings, the compiler and our own files."""
    ours = hashlib.sha256(compiler.identity.encode())
    files = [
        *NATIVE.rglob("*.[ch]"),
        *NATIVE.glob("*.ld"),
        *_BUILDER.glob("*.py"),
        _BUILDER.parent / "library.py",
        FILE,
    ]
    for file in sorted(files):
        ours.update(file.relative_to(_BUILDER.parent).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return f"{settings.name()}-{ours.hexdigest()[:16]}-"


def look_up(source: TreeSource, start: str) -> Path | None:
    """Return the entry of a tree; None: there is none.

    :param start: the result of `prefix`
    """
    try:
        names = sorted(name for name in os.listdir(folder()) if name.startswith(start))
    except OSError:
        return None
    for name in names:
        entry = folder() / name
        try:
            record = read(entry)
            if (entry / LIBRARY).is_file() and is_same(source, record):
                # Mark the entry as recently used.
                with suppress(OSError):
                    os.utime(entry)
                return entry
        except (OSError, ValueError, LookupError):
            # Another process is removing the entry, or it is damaged: it will be built again.
            continue
    return None


def read(entry: Path) -> dict[str, Any]:
    """Read the record of an entry.

    :raises OSError, ValueError: it cannot be read
    """
    record: dict[str, Any] = json.loads((entry / RECORD).read_bytes())
    return record


def look_up_beside(files: dict[str, str], start: str) -> Path | None:
    """Return an entry, with other settings, of a text that may no longer be on disk; None: there is none.

    :param files: digests of an entry of that text; files that both entries have read must be the same
    :param start: the result of `prefix`
    """
    try:
        entries = [folder() / name for name in sorted(os.listdir(folder())) if name.startswith(start)]
    except OSError:
        return None
    for entry in entries:
        with suppress(OSError, ValueError, LookupError):
            if (entry / LIBRARY).is_file() and are_alike(files, read(entry)["files"]):
                return entry
    return None


def are_alike(files: dict[str, str], others: dict[str, str]) -> bool:
    """Return whether the files that both of two entries have read were the same."""
    return all(others.get(path, digest) == digest for path, digest in files.items())


def is_same(source: TreeSource, record: dict[str, Any]) -> bool:
    """Return whether a tree still matches a record, in which the files that differ most often come first."""
    if any(source.digest(path) != digest for path, digest in record["files"].items()):
        return False
    return not any(os.path.isfile(os.path.join(source.root, path)) for path in record["absent"])


@contextmanager
def building(source: TreeSource, start: str, first: Sequence[str]) -> Iterator[Path]:
    """Create a folder to build in, and remove it afterwards unless `publish` renamed it.

    Only one process builds a text at a time. A second one waits, and should then look up the entry again.

    :param start: the result of `prefix`
    :param first: files of the tree; trees in which they are the same count as one text here
    :raises TreeError: the cache folder cannot be written
    """
    text = hashlib.sha256("\0".join(source.digest(path) for path in first).encode())
    with making_entry(folder(), _UNFINISHED, f"{start}{text.hexdigest()[:16]}", cannot_write) as work:
        yield work


def publish(work: Path, source: TreeSource, start: str, record: dict[str, Any], first: list[str]) -> Path:
    """Turn a folder that has `LIBRARY` into an entry.

    :param record: is stored with the library; ``files`` and ``absent`` are added
    :param first: files that are compared first, because they differ most often
    :returns: the entry
    :raises TreeError: the cache folder cannot be written, or the tree changed meanwhile
    """
    order = [*first, *sorted(source.files - set(first))]
    files = {path: source.digest(path) for path in order}
    for path in order:
        if source.changed(path):
            raise TreeChangedError(f"{source.name}: {path} changed while the tree was compiled; run it again")
    content = hashlib.sha256(json.dumps(files).encode()).hexdigest()
    entry = folder() / f"{start}{content[:16]}"
    try:
        (work / RECORD).write_text(json.dumps({**record, "files": files, "absent": sorted(source.absent)}))
        for each in work.iterdir():
            if each.name not in (LIBRARY, RECORD, LINES, DIGESTS):
                shutil.rmtree(each) if each.is_dir() and not each.is_symlink() else each.unlink()
        work.chmod(0o755)
        with suppress(FileNotFoundError):
            # An existing entry is damaged, or the lookup would have found it.
            shutil.rmtree(entry)
        work.rename(entry)
    except OSError as error:
        raise cannot_write(folder(), error) from None
    remove_unused(folder())
    return entry
