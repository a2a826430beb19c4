# SPDX-License-Identifier: GPL-2.0-only
"""A corpus: a folder of programs as canonical text, each in a file named by its content.

`MARKER` makes a folder a corpus. Program D lies in ``D[:2]/D.s2``, where D is the
SHA-256 of the file. Files that do not belong there move to ``aside/``, each with a file
that gives the reason. Names that begin with a dot are left alone. Files appear
whole or not at all, and any number of processes may add, read and remove at once.
"""

import errno
import hashlib
import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..files import sync_folder, write_atomically
from ..language.program import Program, ProgramError, show_bytes
from ..language.text import MAX_FILE_SIZE, parse, print_program, shown_name
from ..language.validate import validate

MARKER: Final = "s2fuzz-corpus"
ASIDE: Final = "aside"
SUFFIX: Final = ".s2"
# The contents of `MARKER`: the version of the layout.
_LAYOUT: Final = b"1\n"
_SHARD: Final = re.compile(r"[0-9a-f]{2}")
_NAME: Final = re.compile(r"([0-9a-f]{64})\.s2")
# Seconds after which an unfinished file is stale: no write takes that long.
_STALE: Final = 3600
# Errors that mean that a file cannot be read now, not that it is bad.
_NOT_NOW: Final = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.EACCES, errno.EPERM, errno.ESTALE)


class CorpusError(Exception):
    """A folder is no corpus, or cannot be written; one line with the remedy."""


@dataclass(frozen=True, slots=True)
class BadFile:
    """A file that is no program of the corpus that contains it.

    :param path: where it was found
    :param moved: where it is now; "" if it was left in place
    """

    path: str
    reason: str
    moved: str = ""

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}; " + (f"moved to {self.moved}" if self.moved else "left in place")


def digest_of(text: str) -> str:
    """Return the name of a program, given its canonical text."""
    return hashlib.sha256(text.encode()).hexdigest()


def is_corpus(folder: Path) -> bool:
    """Tell whether a folder is marked as a corpus."""
    return (folder / MARKER).is_file()


def failure(path: Path, error: OSError) -> CorpusError:
    """Return the error for the user where a corpus cannot be written."""
    return CorpusError(f"{path}: {error.strerror or error}; use a folder that can be written, with room in it")


class Corpus:
    """A folder of programs.

    :param folder: a corpus, or a folder that is empty or does not exist and becomes one
    :param change: False: only read; nothing is created or moved
    :raises CorpusError: it is no corpus and holds other things, cannot be created, or is of a newer version
    """

    def __init__(self, folder: Path | str, change: bool = True) -> None:
        self.folder = Path(folder)
        self.change = change
        # The files found so far that are no programs, each once.
        self.aside: list[BadFile] = []
        self._reported: set[str] = set()
        try:
            if change and not is_corpus(self.folder):
                self._make()
            layout = (self.folder / MARKER).read_bytes()
        except FileNotFoundError:
            wanted = "a folder made by `s2fuzz corpus add`"
            raise CorpusError(f"{self.folder}: not a corpus, {MARKER} is missing; name {wanted}") from None
        except (OSError, ValueError) as error:
            wrong = getattr(error, "strerror", None) or str(error)
            raise CorpusError(f"{shown_name(self.folder)}: {wrong}; name a corpus, or a new folder") from None
        if layout != _LAYOUT:
            wrong = f"a corpus of unknown version {layout[:20].decode(errors='replace').strip()!a}"
            raise CorpusError(f"{self.folder}: {wrong}; allowed: {_LAYOUT.decode().strip()}")

    def _make(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        other = [name for name in os.listdir(self.folder) if not name.startswith(".")]
        # Another process may have created it meanwhile.
        if other and not is_corpus(self.folder):
            wrong = f"not a corpus, and holds other things ({min(other)!a})"
            raise CorpusError(f"{self.folder}: {wrong}; name a corpus, or an empty or new folder")
        write_atomically(self.folder / MARKER, _LAYOUT)

    def path(self, digest: str) -> Path:
        """Return the file of a program, whether it is there or not."""
        return self.folder / digest[:2] / f"{digest}{SUFFIX}"

    def add(self, program: Program | str) -> str:
        """Keep a program.

        :param program: the program, or its text
        :returns: its digest
        :raises ProgramError: it is not valid
        :raises CorpusError: it cannot be written
        """
        if isinstance(program, str):
            program = parse(program)
        else:
            validate(program)
        text = print_program(program)
        digest = digest_of(text)
        path = self.path(digest)
        try:
            if path.read_bytes() == text.encode():
                return digest
            self._set_aside(path, "the content does not match the file's name")
        except FileNotFoundError:
            pass
        except OSError as error:
            self._set_aside(path, error.strerror or str(error))
        try:
            if not path.parent.is_dir():
                path.parent.mkdir(exist_ok=True)
                sync_folder(self.folder)
            write_atomically(path, text)
        except OSError as error:
            raise failure(path, error) from None
        return digest

    def get(self, digest: str) -> Program:
        """Return the program with this digest.

        :raises KeyError: there is none, or its file is no program and was set aside
        """
        program = self._read(digest)
        if program is None:
            raise KeyError(digest)
        return program

    def programs(self) -> Iterator[tuple[str, Program]]:
        """Yield all programs with their digests, sorted by digest. Other files are set aside on the way."""
        digests, strangers = self._scan()
        for path in strangers:
            self._set_aside(path, "not a program of this corpus (add programs with `s2fuzz corpus add`)")
        for digest in digests:
            program = self._read(digest)
            if program is not None:
                yield digest, program

    def digests(self) -> list[str]:
        """Return the digests of all programs, sorted, without reading their files."""
        return self._scan()[0]

    def remove(self, digest: str) -> None:
        """Delete a program, if it is there.

        :raises CorpusError: it cannot be deleted
        """
        path = self.path(digest)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise failure(path, error) from None

    def sweep(self) -> None:
        """Delete unfinished files of processes that were killed, if they are older than `_STALE` seconds."""
        now = time.time()
        for folder in (self.folder, *self.folder.glob("[0-9a-f][0-9a-f]")):
            for path in folder.glob(".*.tmp"):
                with suppress(OSError):
                    if now - path.stat().st_mtime > _STALE:
                        path.unlink()

    def __len__(self) -> int:
        return len(self.digests())

    def __contains__(self, digest: str) -> bool:
        return self.path(digest).is_file()

    def _scan(self) -> tuple[list[str], list[Path]]:
        """Return the digests of the files that are named like programs, and all other paths, both sorted."""
        digests: list[str] = []
        strangers: list[Path] = []
        for shard in entries(self.folder):
            if shard.name in (MARKER, ASIDE):
                continue
            if not _SHARD.fullmatch(shard.name) or not shard.is_dir():
                strangers.append(Path(shard.path))
                continue
            for entry in entries(Path(shard.path)):
                match = _NAME.fullmatch(entry.name)
                if match is None or match[1][:2] != shard.name or not entry.is_file():
                    strangers.append(Path(entry.path))
                else:
                    digests.append(match[1])
        return digests, strangers

    def _read(self, digest: str) -> Program | None:
        """Return a program; None if there is none, or it is gone."""
        path = self.path(digest)
        program, wrong, move = None, "", True
        try:
            with open(path, "rb") as file:
                data = file.read(MAX_FILE_SIZE + 1)
            if len(data) > MAX_FILE_SIZE:
                wrong = f"longer than {show_bytes(MAX_FILE_SIZE)}"
            else:
                program = parse(data)
                if hashlib.sha256(data).hexdigest() != digest:
                    wrong = "the content does not match the file's name"
        except FileNotFoundError:
            return None
        except OSError as error:
            wrong, move = error.strerror or str(error), error.errno not in _NOT_NOW
        except ProgramError as error:
            wrong = f"line {error.line}: {error.message}" if error.line else error.message
        if wrong:
            self._set_aside(path, wrong, move)
            return None
        return program

    def _set_aside(self, path: Path, reason: str, move: bool = True) -> None:
        """Record a bad file, once, and move it out of the way if possible."""
        moved = ""
        if self.change and move:
            try:
                moved = str(self._move(path, reason))
            except FileNotFoundError:
                # Another process has moved it, and has reported it.
                return
            except OSError:
                # Read-only, or full: the file stays where it does no harm, and is reported again.
                moved = ""
        name = shown_name(path)
        if moved or name not in self._reported:
            self._reported.add(name)
            self.aside.append(BadFile(name, reason, shown_name(moved) if moved else ""))

    def _move(self, path: Path, reason: str) -> Path:
        """Move a file into ``aside/``, never over another one, and write the reason beside it."""
        folder = self.folder / ASIDE
        folder.mkdir(exist_ok=True)
        target = folder / path.name
        number = 0
        while os.path.lexists(target) or os.path.lexists(reason_file(target)):
            number += 1
            target = folder / f"{path.name}.{number}"
        os.rename(path, target)
        why = f"{path.relative_to(self.folder)}: {reason}\n"
        with suppress(OSError):
            write_atomically(reason_file(target), why.encode(errors="backslashreplace"))
        return target


def reason_file(path: Path) -> Path:
    """Return the file with the reason why another one was set aside."""
    return path.with_name(f"{path.name}.reason")


def entries(folder: Path) -> list[os.DirEntry[str]]:
    """Return the entries of a folder, sorted, without hidden names; none if it is gone or cannot be read."""
    try:
        with os.scandir(folder) as found:
            return sorted((entry for entry in found if not entry.name.startswith(".")), key=lambda entry: entry.name)
    except OSError:
        return []
