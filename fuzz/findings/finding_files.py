# SPDX-License-Identifier: GPL-2.0-only
"""The files of the findings of one candidate.

A folder holds for each finding

* ``<file_name>``: the smallest program that shows it;
* ``alternatives/``: larger programs with another structure;
* ``unreplayed/``: a program that showed it once, but not in a fresh process.

Files are named after finding and structure, so a name keeps its meaning.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ..files import write_atomically, write_together
from ..language.program import Program
from .digests import code_text
from .found import commented, file_name, reproduce
from .record import FindingRecord, file_text
from .witness import stamp_of, with_stamp

ALTERNATIVES: Final = "alternatives"
UNREPLAYED: Final = "unreplayed"


def structure(program: Program) -> str:
    """Return a digest of a program's machine and of the kinds of its operations, in order."""
    kinds = [type(operation).__name__ for operation in program.operations]
    return hashlib.sha256(repr((program.vm, kinds)).encode()).hexdigest()[:8]


class FindingFiles:
    """A folder of findings.

    The digests that it caches are valid for the same code as its `fuzz.findings.store.Store`.

    *trouble*: the last reason why a file could not be written; "" if all files were written

    :param folder: an existing directory; None: nothing is written
    :param reference: name of the version that the candidate is compared with
    :param candidate: name of the version under test
    """

    def __init__(self, folder: Path | None, reference: str, candidate: str) -> None:
        self.folder = folder
        self.reference = reference
        self.candidate = candidate
        self.trouble = ""
        # Digests of the code that the programs were replayed on; "": not computed yet.
        self.code = ""

    def existing(self, found: FindingRecord) -> list[Path]:
        """Return the existing files of a finding, that of the smallest program first."""
        if self.folder is None:
            return []
        smallest = self.folder / file_name(found.finding)
        return [*([smallest] if smallest.exists() else []), *self.alternatives_of(found)]

    def set_aside(self, found: FindingRecord) -> None:
        """Write a program that has not shown its finding again."""
        if self.folder is not None:
            self.write([(found, self.folder / UNREPLAYED / file_name(found.finding))])

    def rewrite(self, found: FindingRecord, comments: dict[str, str]) -> bool:
        """Replace the program in the file that its record names.

        :param comments: of the file; those about the program are updated
        :returns: whether it could be written
        """
        assert found.path is not None
        about = {**comments, "reason": found.reason, "at": found.where()}
        try:
            write_atomically(found.path, commented(about, found.program))
        except OSError as error:
            self.trouble = f"{found.path}: {error.strerror or error}"
            return False
        return True

    def settle(self, groups: Sequence[list[FindingRecord]]) -> None:
        """Write the files of findings' programs; the smallest program gets its new file before it loses the old one.

        :param groups: for each finding its programs, the smallest first
        """
        files: list[tuple[FindingRecord, Path | None]] = []
        for programs in groups:
            files += [(each, self.place(each, smallest=False)) for each in programs[1:]]
            files += [(each, self.place(each, smallest=True)) for each in programs[:1]]
        self.write(files)
        for programs in groups:
            wanted = {kept.path for kept in programs}
            for path in self.alternatives_of(programs[0]) if programs else ():
                if path not in wanted:
                    self.remove(path)

    def place(self, found: FindingRecord, smallest: bool) -> Path | None:
        """Return the path of the file of a program."""
        if self.folder is None:
            return None
        name = file_name(found.finding)
        if smallest:
            return self.folder / name
        stem = name.removesuffix(".s2")
        return self.folder / ALTERNATIVES / f"{stem}-{structure(found.program)}.s2"

    def alternatives_of(self, found: FindingRecord) -> list[Path]:
        """Return the existing files of larger programs of a finding."""
        if self.folder is None:
            return []
        stem = file_name(found.finding).removesuffix(".s2")
        return sorted((self.folder / ALTERNATIVES).glob(f"{stem}-????????.s2"))

    def write(self, files: Sequence[tuple[FindingRecord, Path | None]]) -> None:
        """Write the programs of findings to these files, except those without a path."""
        new: list[tuple[FindingRecord, Path, str]] = []
        for found, path in files:
            if path is None or found.path == path:
                continue
            try:
                new.append((found, path, self.text(found, path)))
            except OSError as error:
                self.trouble = f"{path}: {error.strerror or error}"
        errors = write_together([(path, text) for _, path, text in new]) if new else []
        for (found, path, _), failed in zip(new, errors, strict=True):
            if failed is None:
                found.path = path
            else:
                self.trouble = f"{path}: {failed.strerror or failed}"

    def text(self, found: FindingRecord, path: Path) -> str:
        """Return the content of the file for a program of a finding; create its folder.

        :raises OSError: its current file cannot be read, or its folder cannot be created
        """
        if path.parent != self.folder:
            path.parent.mkdir(exist_ok=True)
        if found.path is not None:
            # The program may come from another seed, or have been edited.
            old, new = (reproduce(self.reference, self.candidate, each) for each in (found.path, path))
            return found.path.read_text(encoding="utf-8").replace(" ".join(old.split()), " ".join(new.split()))
        self.code = self.code or code_text(self.reference, self.candidate)
        text = file_text(found, self.reference, self.candidate, path, self.code)
        # Keep what a real kernel reported about the same finding for a larger program.
        stamp = stamp_of(path, found.signature)
        return with_stamp(text, stamp) if stamp else text

    def remove(self, path: Path) -> None:
        """Remove a file."""
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            self.trouble = f"{path}: {error.strerror or error}"
