# SPDX-License-Identifier: GPL-2.0-only
"""Libraries that were built, in the user's cache folder, found by the content of what they were made of.

An entry is a folder: the library and `RECORD`, which lists each file of the tree that was read, with its digest,
and each one that was looked for in vain. A tree of which all of that is still true would give the same library,
wherever it lies. Entries are made in a folder beside them and renamed, so one is there as a whole or not at all.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from .cache_folder import cache_folder, making_entry, remove_unused
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
# Beginning of the names of folders in which somebody builds. Older versions of s2fuzz, which have one lock for all of
# them, remove those that begin with ".building-".
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
    """Return the first part of the names of entries by these settings, this compiler and our own files."""
    ours = hashlib.sha256(compiler.identity.encode())
    files = [*NATIVE.rglob("*.[ch]"), *NATIVE.glob("*.ld"), *_BUILDER.glob("*.py"), _BUILDER.parent / "build.py", FILE]
    for file in sorted(files):
        ours.update(file.relative_to(_BUILDER.parent).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return f"{settings.name()}-{ours.hexdigest()[:16]}-"


def look_up(source: TreeSource, start: str) -> Path | None:
    """The entry that this tree would give; None: there is none.

    :param start: what `prefix` returns
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
                # Says that it is in use.
                with suppress(OSError):
                    os.utime(entry)
                return entry
        except (OSError, ValueError, LookupError):
            # Somebody is removing it, or it is damaged: it is made anew.
            continue
    return None


def read(entry: Path) -> dict[str, Any]:
    """The record of an entry.

    :raises OSError, ValueError: it cannot be read
    """
    record: dict[str, Any] = json.loads((entry / RECORD).read_bytes())
    return record


def look_up_beside(files: dict[str, str], start: str) -> Path | None:
    """The entry by other settings of a text that may not be on disk any more; None: there is none.

    :param files: digests of an entry of that text; what both have read must be alike
    :param start: what `prefix` returns
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
    """Tell whether the files that two entries have both read were the same."""
    return all(others.get(path, digest) == digest for path, digest in files.items())


def is_same(source: TreeSource, record: dict[str, Any]) -> bool:
    """Tell whether a tree still is what the record says; the files that differ most often come first in it."""
    if any(source.digest(path) != digest for path, digest in record["files"].items()):
        return False
    return not any(os.path.isfile(os.path.join(source.root, path)) for path in record["absent"])


@contextmanager
def building(source: TreeSource, start: str, first: Sequence[str]) -> Iterator[Path]:
    """A new folder to build in, which is gone afterwards unless `publish` renamed it; one builder of a text at a time.

    Who comes second waits: it may find there what it needs, and should look again.

    :param start: what `prefix` returns
    :param first: files of the tree; trees in which they are alike count as one text here
    :raises TreeError: the cache folder cannot be written
    """
    text = hashlib.sha256("\0".join(source.digest(path) for path in first).encode())
    with making_entry(folder(), _UNFINISHED, f"{start}{text.hexdigest()[:16]}", cannot_write) as work:
        yield work


def publish(work: Path, source: TreeSource, start: str, record: dict[str, Any], first: list[str]) -> Path:
    """Make an entry of a folder in which `LIBRARY` lies.

    :param record: what is kept beside the library; ``files`` and ``absent`` are added
    :param first: files that are compared first, for they differ most often
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
            # Damaged, or it would have been found.
            shutil.rmtree(entry)
        work.rename(entry)
    except OSError as error:
        raise cannot_write(folder(), error) from None
    remove_unused(folder())
    return entry
