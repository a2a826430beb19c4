# SPDX-License-Identifier: GPL-2.0-only
"""The lines of a tree's code that name an error, such as ``return -EIO;``, and which of them ran.

A line counts with its own count, with that of its branch (`candidate.tree.lines.branches`), or with that of its block
(`candidate.tree.lines.enclosing`), as in `candidate.tree.lines.difference`. A line whose count is not known does not
count as run. Comparisons with the error do not make it, and are left out.
"""

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

from .branches import Branches, is_conditional_return
from .c_text import function_around, is_case, without_comments
from .code import CodeLines, code_lines
from .enclosing import enclosing_line

# Group 1, if it matches: the error is compared with, and not made.
_NAMED: Final = r"([=!<>]=|[<>])?\s*-\s*{}\b"


class ErrorLine:
    """A line that names an error.

    :param file: its path below the tree
    :param line: its number
    :param function: the function around it
    :param counted: the line whose count is its own
    """

    def __init__(self, file: str, line: int, function: str, counted: int) -> None:
        self.file = file
        self.line = line
        self.function = function
        self.counted = counted

    @property
    def place(self) -> str:
        """Function, file and line, as in `candidate.tree.runtime.code_places`."""
        return f"{self.function} ({Path(self.file).name}:{self.line})"


class ErrorLines:
    """The lines of a library's files that name errors.

    :param compiled: the lines of the library
    :param texts: file -> its lines without comments
    """

    def __init__(self, compiled: CodeLines, texts: dict[str, Sequence[str]]) -> None:
        self.compiled = compiled
        self.texts = texts
        self.branches = Branches(compiled, texts)
        self._named: dict[str, list[ErrorLine]] = {}

    def naming(self, name: str) -> list[ErrorLine]:
        """Return the lines that name an error, such as ``EIO``, and whose counts are known."""
        found = self._named.get(name)
        if found is None:
            pattern = re.compile(_NAMED.format(name))
            found = self._named[name] = [
                ErrorLine(file, line, function, counted)
                for file, text in self.texts.items()
                for line, words in enumerate(text, 1)
                if not is_case(words) and any(not match[1] for match in pattern.finditer(words))
                if (counted := self._counted(file, text, line)) and (function := function_around(text, line))
            ]
        return found

    def _counted(self, file: str, text: Sequence[str], line: int) -> int:
        """Return the line whose count is that of a line; 0: it is not known."""
        known = self.compiled.lines.get(file, set())
        if line in known or line in self.branches.lines.get(file, ()):
            return line
        return 0 if is_conditional_return(text, line) else enclosing_line(text, known, line)

    def ran(self, name: str, counters: bytes) -> list[ErrorLine]:
        """Return the lines that name an error and ran.

        :param counters: the counters of the library, 64 bits each
        """
        ran, merged = self.compiled.ran(counters), self.branches.ran(counters)
        return [
            each
            for each in self.naming(name)
            if each.counted in ran.get(each.file, ()) or each.counted in merged.get(each.file, ())
        ]


@cache
def error_lines(library: str, root: Path) -> ErrorLines:
    """Return the lines of a library that name errors; its files are read once.

    :param root: the top folder of the tree
    :raises OSError, ValueError: as for `candidate.tree.lines.code.CodeLines`
    """
    compiled = code_lines(library)
    texts: dict[str, Sequence[str]] = {}
    for file in sorted(compiled.lines):
        path = root / file
        if path.is_file():
            texts[file] = without_comments(path.read_text(encoding="utf-8", errors="replace")).split("\n")
    return ErrorLines(compiled, texts)
