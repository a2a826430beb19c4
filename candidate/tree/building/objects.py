# SPDX-License-Identifier: GPL-2.0-only
"""Objects that were compiled, in the cache folder: after a change only those files are compiled that read what changed.

An entry is a folder: what one run of the compiler has made, and `INPUTS`, which lists each file that it read, with its
digest, and each one of the same name that it would find first. Entries are made in the folder of a build and renamed.
Our own files, the compiler and the settings are in the names of entries (`candidate.tree.building.cache.prefix`).
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from .cache_folder import cache_folder, remove_unused
from .compiler import CompilerJob
from .dependencies import earlier, read_by
from .plan import BELOW, NATIVE
from .source import TreeSource, file_digest

INPUTS: Final = "inputs.json"
# What a compiler run makes: object, list of dependencies, notes on counters.
MADE: Final = (".o", ".d", ".gcno")
# Entries of one file that are kept, the last ones that were used.
MOST: Final = 16


def folder() -> Path:
    """Return the folder of the entries, beside that of libraries."""
    return cache_folder("objects")


class ObjectCache:
    """The objects that a build need not compile. An entry that cannot be read or written counts for nothing.

    :param source: the tree
    :param start: what `candidate.tree.building.cache.prefix` returns
    :param work: folder of the build, where its compiler runs are to begin
    """

    def __init__(self, source: TreeSource, start: str, work: Path) -> None:
        self.source = source
        self.start = start
        self.work = work
        self._digests: dict[str, str] = {}
        self._earlier: dict[str, list[str]] = {}

    def take(self, job: CompilerJob) -> bool:
        """Copy what a compiler run would make into the folder of the build; False: there is no such entry."""
        for entry in self._entries(job):
            with suppress(OSError, ValueError, LookupError, TypeError):
                inputs = json.loads((entry / INPUTS).read_bytes())
                if self._is_same(inputs) and self._copy(entry, inputs["made"]):
                    # Says that it is in use.
                    os.utime(entry)
                    return True
        return False

    def keep(self, jobs: Sequence[CompilerJob]) -> None:
        """Make entries of what compiler runs have made, before anybody changes that."""
        with suppress(OSError):
            folder().mkdir(parents=True, exist_ok=True)
        for job in jobs:
            with suppress(OSError):
                self._keep(job)
                for entry in self._entries(job)[MOST:]:
                    shutil.rmtree(entry, ignore_errors=True)
        remove_unused(folder())

    def _prefix(self, job: CompilerJob) -> str:
        """The first part of the names of a job's entries."""
        command = hashlib.sha256("\0".join(job.command).encode())
        return f"{self.start}{job.name}-{command.hexdigest()[:8]}-"

    def _entries(self, job: CompilerJob) -> list[Path]:
        """The entries of a job, those first that were used last."""
        start = self._prefix(job)
        try:
            found = [
                (os.stat(folder() / name).st_mtime, name) for name in os.listdir(folder()) if name.startswith(start)
            ]
        except OSError:
            return []
        return [folder() / name for _, name in sorted(found, reverse=True)]

    def _is_same(self, inputs: dict[str, Any]) -> bool:
        """Tell whether a compiler run would read the same files."""
        files: dict[str, str] = inputs["files"]
        if any(self.digest(path) != digest for path, digest in files.items()):
            return False
        before: list[str] = inputs["before"]
        return self._before(files) == before

    def _before(self, paths: Iterable[str]) -> list[str]:
        """Return the files that the compiler would find before others of these names."""
        for path in paths:
            if path not in self._earlier:
                self._earlier[path] = [each for each in earlier(path) if os.path.isfile(os.path.join(self.work, each))]
        return sorted({each for path in paths for each in self._earlier[path]})

    def _copy(self, entry: Path, made: dict[str, str]) -> bool:
        """Copy the files of an entry; False: one is damaged."""
        for name, digest in made.items():
            shutil.copyfile(entry / name, self.work / name)
            if file_digest(str(self.work / name)) != digest:
                return False
        return True

    def _keep(self, job: CompilerJob) -> None:
        read = sorted(self._read(job))
        if any(self.source.changed(path.removeprefix(BELOW)) for path in read if path.startswith(BELOW)):
            # Nobody knows which text was compiled.
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
        # One that is there is damaged, or somebody has made it meanwhile.
        shutil.rmtree(entry, ignore_errors=True)
        new.rename(entry)

    def _read(self, job: CompilerJob) -> Iterator[str]:
        """Yield the files that a job has read, below the folder of the build, but for our own."""
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
