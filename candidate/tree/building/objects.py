# SPDX-License-Identifier: GPL-2.0-only
"""A cache of compiled objects: after a change, only the files that read a changed file are compiled again.

An entry is a folder: the output of one compiler run, and `INPUTS`. `INPUTS` lists each file that the run read, with its
digest, and the files of the same names that the compiler would find first. Entries are made in the folder of a build
and renamed. Their names cover our own files, the compiler and the settings (`candidate.tree.building.cache.prefix`).
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from reference.cache_folder import cache_folder, remove_unused

from .compiler import CompilerJob
from .dependencies import earlier, read_by
from .plan import BELOW, NATIVE
from .source import TreeSource, file_digest

INPUTS: Final = "inputs.json"
# Suffixes of the output of a compiler run: object, list of dependencies, notes on counters.
MADE: Final = (".o", ".d", ".gcno")
# Maximum number of entries per file; the least recently used are removed.
MOST: Final = 16


def folder() -> Path:
    """Return the folder of the entries, beside that of libraries."""
    return cache_folder("objects")


class ObjectCache:
    """The objects that a build need not compile. An entry that cannot be read or written is ignored.

    :param source: the tree
    :param start: the result of `candidate.tree.building.cache.prefix`
    :param work: folder of the build, before its compiler runs
    """

    def __init__(self, source: TreeSource, start: str, work: Path) -> None:
        self.source = source
        self.start = start
        self.work = work
        self._digests: dict[str, str] = {}
        self._earlier: dict[str, list[str]] = {}

    def take(self, job: CompilerJob) -> bool:
        """Copy the output of a compiler run from its entry into the folder of the build; False: there is no entry."""
        for entry in self._entries(job):
            with suppress(OSError, ValueError, LookupError, TypeError):
                inputs = json.loads((entry / INPUTS).read_bytes())
                if self._is_same(inputs) and self._copy(entry, inputs["made"]):
                    # Mark the entry as recently used.
                    os.utime(entry)
                    return True
        return False

    def keep(self, jobs: Sequence[CompilerJob]) -> None:
        """Make entries of the output of compiler runs; call it before the build modifies the objects."""
        with suppress(OSError):
            folder().mkdir(parents=True, exist_ok=True)
        for job in jobs:
            with suppress(OSError):
                self._keep(job)
                for entry in self._entries(job)[MOST:]:
                    shutil.rmtree(entry, ignore_errors=True)
        remove_unused(folder())

    def _prefix(self, job: CompilerJob) -> str:
        """Return the first part of the names of a job's entries."""
        command = hashlib.sha256("\0".join(job.command).encode())
        return f"{self.start}{job.name}-{command.hexdigest()[:8]}-"

    def _entries(self, job: CompilerJob) -> list[Path]:
        """Return the entries of a job, most recently used first."""
        start = self._prefix(job)
        try:
            found = [
                (os.stat(folder() / name).st_mtime, name) for name in os.listdir(folder()) if name.startswith(start)
            ]
        except OSError:
            return []
        return [folder() / name for _, name in sorted(found, reverse=True)]

    def _is_same(self, inputs: dict[str, Any]) -> bool:
        """Return whether a compiler run would read the same files with the same contents."""
        files: dict[str, str] = inputs["files"]
        if any(self.digest(path) != digest for path, digest in files.items()):
            return False
        before: list[str] = inputs["before"]
        return self._before(files) == before

    def _before(self, paths: Iterable[str]) -> list[str]:
        """Return the existing files that the compiler would find before these files of the same names."""
        for path in paths:
            if path not in self._earlier:
                self._earlier[path] = [each for each in earlier(path) if os.path.isfile(os.path.join(self.work, each))]
        return sorted({each for path in paths for each in self._earlier[path]})

    def _copy(self, entry: Path, made: dict[str, str]) -> bool:
        """Copy the files of an entry; False: a file is damaged."""
        for name, digest in made.items():
            shutil.copyfile(entry / name, self.work / name)
            if file_digest(str(self.work / name)) != digest:
                return False
        return True

    def _keep(self, job: CompilerJob) -> None:
        read = sorted(self._read(job))
        if any(self.source.changed(path.removeprefix(BELOW)) for path in read if path.startswith(BELOW)):
            # It is not known which version of the file was compiled.
            return
        new = self.work / f"{job.name}.entry"
        new.mkdir()
        made = {}
        for name in [f"{job.name}{kind}" for kind in MADE]:
            if (self.work / name).exists():
                shutil.copyfile(self.work / name, new / name)
                made[name] = file_digest(str(new / name))
        files = {path: self.digest(path) for path in read}
        text = json.dumps({"files": files, "before": self._before(read), "made": made})
        (new / INPUTS).write_text(text)
        entry = folder() / f"{self._prefix(job)}{hashlib.sha256(text.encode()).hexdigest()[:16]}"
        # An existing entry is damaged, or another process has made it meanwhile.
        shutil.rmtree(entry, ignore_errors=True)
        new.rename(entry)

    def _read(self, job: CompilerJob) -> Iterator[str]:
        """Yield the files below the folder of the build that a job has read, except our own."""
        listed = self.work / f"{job.name}.d"
        for path in read_by(listed) if listed.exists() else ():
            if not os.path.isabs(path) and not path.startswith(f"{NATIVE.name}/"):
                yield path

    def digest(self, path: str) -> str:
        """Return the digest of a file below the folder of the build; "" if it cannot be read."""
        if path.startswith(BELOW):
            return self.source.digest(path.removeprefix(BELOW))
        if path not in self._digests:
            self._digests[path] = file_digest(os.path.join(self.work, path))
        return self._digests[path]
