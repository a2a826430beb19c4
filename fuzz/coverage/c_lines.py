# SPDX-License-Identifier: GPL-2.0-only
"""The lines of C that programs reach in a kernel tree, and the programs that reach each."""

import json
import tempfile
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

from candidate import Candidate
from candidate.tree import root_of
from candidate.tree.lines.code import code_lines

from ..language.program import Program
from .named_lines import NAMED, LineError
from .replay import replay
from .shares import TREE, run

_STYLE: Final = "body{font-family:monospace}pre{margin:0}.ran{background:#dfd}.not{background:#fdd}i{color:#777}"


class ReachedLines:
    """The lines of a tree's files that have code, and the programs that reach them.

    *programs*: file -> line -> names of programs in the order in which they ran; empty if no program reached the line
    *refused*: program -> the unmodelled feature that it needs; *troubled*: program -> how our own code failed on it

    :param version: a kernel tree
    """

    def __init__(self, version: Candidate) -> None:
        self.version = version
        self.root = root_of(version.name)
        self.programs: dict[str, dict[int, list[str]]] = {}
        self.refused: dict[str, str] = {}
        self.troubled: dict[str, str] = {}

    def add(self, name: str, program: Program) -> None:
        """Run a program on the tree."""
        executor = replay(self.version, program)
        executor.dismantle()
        if executor.refused:
            self.refused[name] = executor.refused
        tree = executor.tree
        assert tree is not None
        if not tree.counted:
            return
        lines = code_lines(tree.counted)
        for file, numbers in lines.lines.items():
            known = self.programs.setdefault(file, {})
            for number in numbers:
                known.setdefault(number, [])
        if executor.refused:
            # The program has no verdict, so nothing is known of the code that it ran.
            return
        for file, numbers in lines.ran(tree.counters).items():
            for number in numbers:
                self.programs[file][number].append(name)

    def to_wire(self) -> dict[str, Any]:
        """Return the data for JSON."""
        return {"programs": self.programs, "refused": self.refused}

    def merge(self, wire: dict[str, Any]) -> None:
        """Add the data of another process (`to_wire`)."""
        for file, lines in wire["programs"].items():
            known = self.programs.setdefault(file, {})
            for number, names in lines.items():
                known.setdefault(int(number), []).extend(names)
        self.refused.update(wire["refused"])

    def missing(self, file: str) -> list[int]:
        """Return the lines of a file that no program reaches."""
        return sorted(number for number, names in self.programs[file].items() if not names)

    def text(self) -> Iterator[str]:
        """Yield a table: for each file the number of lines, and the missing lines."""
        width = max(map(len, self.programs), default=0)
        yield f"{'file':<{width}}   lines    miss   cover   missing"
        for file in sorted(self.programs):
            lines, missing = len(self.programs[file]), self.missing(file)
            share = 100 * (lines - len(missing)) // lines
            yield f"{file:<{width}}  {lines:>6}  {len(missing):>6}  {share:>5}%   {ranges(missing)}".rstrip()

    def json(self) -> dict[str, Any]:
        """Return the table's data as an object."""
        return {
            file: {
                "lines": len(lines),
                "missing_lines": self.missing(file),
                "reached_lines": {str(line): names[0] for line, names in sorted(lines.items()) if names},
            }
            for file, lines in sorted(self.programs.items())
        }

    def reaching(self, place: str) -> tuple[str, int, list[str]]:
        """Return the programs that reach a line: file, line and names.

        :param place: as ``arch/arm64/kvm/mmu.c:123``, or with the name of the file alone
        :raises LineError: there is no code
        """
        name, _, number = place.rpartition(":")
        if not name or not (number.isascii() and number.isdigit()):
            raise LineError(f"{place!a}; give a file and a line, for example arch/arm64/kvm/mmu.c:123")
        files = [file for file in self.programs if file == name or file.endswith(f"/{name}")]
        if len(files) != 1:
            allowed = ", ".join(sorted(file for file in self.programs if file.endswith(".c")))
            raise LineError(f"{name}: not a file of the tree with code; allowed: {allowed}, and headers with code")
        lines = self.programs[files[0]]
        if int(number) not in lines:
            near = min(lines, key=lambda line: abs(line - int(number)))
            raise LineError(f"{files[0]}:{number}: no code; the nearest line with code is {near}")
        return files[0], int(number), lines[int(number)]

    def html(self, folder: str) -> None:
        """Write a page for each file, on which each line names small programs that reach it.

        :raises OSError: it cannot be written
        """
        home = Path(folder)
        home.mkdir(parents=True, exist_ok=True)
        links = "".join(f'<li><a href="{page(file)}">{escape(file)}</a></li>' for file in sorted(self.programs))
        (home / "index.html").write_text(f"<title>s2fuzz cover</title><ul>{links}</ul>")
        for file, lines in self.programs.items():
            text = (self.root / file).read_text(encoding="utf-8", errors="replace").split("\n")
            rows = "".join(_row(number, each, lines.get(number)) for number, each in enumerate(text, 1))
            (home / page(file)).write_text(f"<meta charset=utf-8><style>{_STYLE}</style><h1>{escape(file)}</h1>{rows}")


def _row(number: int, text: str, programs: list[str] | None) -> str:
    """Return a line of a page; *programs*: None for a line without code."""
    kind = "" if programs is None else "ran" if programs else "not"
    names = ", ".join((programs or [])[:NAMED])
    return f'<pre class="{kind}">{number:>5} {escape(text)} <i>{escape(names)}</i></pre>'


def page(file: str) -> str:
    """Return the name of a file's page."""
    return file.replace("/", "_") + ".html"


def ranges(numbers: Sequence[int]) -> str:
    """Return numbers as text: ``1-3, 7``."""
    found: list[list[int]] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ", ".join(f"{first}" if first == last else f"{first}-{last}" for first, last in found)


def reached(version: Candidate, programs: Sequence[tuple[str, Program]], workers: int) -> ReachedLines:
    """Return the lines that programs reach, with the smallest programs first.

    :param version: a kernel tree
    :param workers: number of processes
    :raises fuzz.coverage.shares.MeasuringError: a process failed
    """
    order = sorted(programs, key=lambda each: (len(each[1].operations), each[0]))
    found = ReachedLines(version)
    with tempfile.TemporaryDirectory(prefix="s2fuzz-cover-") as name:
        folder = Path(name)
        for number, answer in enumerate(run(order, [version.name], min(workers, len(order)), folder, TREE)):
            found.merge(json.loads((folder / str(number)).read_bytes()))
            found.troubled.update(answer["troubled"])
    place = {name: number for number, (name, _) in enumerate(order)}
    for lines in found.programs.values():
        for names in lines.values():
            names.sort(key=place.__getitem__)
    return found
