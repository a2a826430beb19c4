# SPDX-License-Identifier: GPL-2.0-only
"""The lines and branches that a set of programs reaches, and the programs that reach each."""

import ast
import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TextIO

import coverage
from coverage import CoverageData

from candidate import Candidate
from candidate.registry.source_paths import shown_path

from ..distribution import home_folder
from ..language.program import Program
from ..language.text import print_program
from ..suggestions import did_you_mean
from .named_lines import NAMED, LineError
from .replay import candidate_files
from .shares import run

# These choose the form of all other modules, and are not part of the code under test.
_NOT_TESTED: Final = ("choice.py", "annotations.py", "__init__.py")


@dataclass(slots=True)
class Reached:
    """The programs that reach a line.

    :param line: first line of its statement
    :param programs: their names, the smallest program first
    :param at_import: the line runs when its module is imported, whatever the program
    """

    file: str
    line: int
    programs: list[str]
    at_import: bool


class Measured:
    """The lines and branches that programs reach.

    :param data: data of coverage.py, with program names as contexts
    :param programs: names, the smallest program first
    :param files: files of the report
    :param troubled: programs on which our own code failed, and the errors
    """

    def __init__(self, data: CoverageData, programs: list[str], files: list[str], troubled: dict[str, str]) -> None:
        self.data = data
        self.programs = programs
        self.files = files
        self.troubled = troubled

    def _reporter(self) -> coverage.Coverage:
        reporter = coverage.Coverage(data_file=self.data.data_filename(), config_file=False, branch=True)
        reporter.load()
        return reporter

    def text(self, out: TextIO) -> None:
        """Print a table: for each file the lines and branches, and the missing ones."""
        self._reporter().report(morfs=self.files, show_missing=True, file=out)

    def json(self) -> dict[str, Any]:
        """Return the report as an object: for each file a summary, missing lines and branches; and the totals."""
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "report.json"
            self._reporter().json_report(morfs=self.files, outfile=str(out))
            report = json.loads(out.read_bytes())
        keys = ("summary", "missing_lines", "missing_branches")
        files = {shown(name): {key: each[key] for key in keys} for name, each in report["files"].items()}
        return {"files": files, "totals": report["totals"]}

    def html(self, folder: str) -> None:
        """Write a page for each file, on which each line names small programs that reach it.

        :raises OSError: it cannot be written
        """
        with tempfile.TemporaryDirectory() as scratch:
            few = self.with_few_contexts(Path(scratch) / "few")
            reporter = coverage.Coverage(data_file=few.data_filename(), config_file=False, branch=True)
            reporter.load()
            reporter.html_report(morfs=self.files, directory=folder, show_contexts=True, title="s2fuzz cover")

    def with_few_contexts(self, path: Path) -> CoverageData:
        """Return the data with only the `NAMED` smallest programs for each arc; all of them would fill gigabytes."""
        few = CoverageData(basename=str(path))
        named: Counter[tuple[str, tuple[int, int]]] = Counter()
        for context in ("", *self.programs):
            self.data.set_query_context(context)
            few.set_context(context)
            arcs: dict[str, list[tuple[int, int]]] = {}
            for file in self.files:
                arcs[file] = [arc for arc in self.data.arcs(file) or () if named[file, arc] < NAMED]
                named.update((file, arc) for arc in arcs[file])
            few.add_arcs(arcs)
        self.data.set_query_contexts(None)
        few.write()
        return few

    def lines(self, file: str) -> dict[int, list[str]]:
        """Return, for each line with code, the `NAMED` smallest programs that reach it.

        Lines that run when their module is imported are left out.
        """
        place = {name: number for number, name in enumerate(self.programs)}
        by_line = self.data.contexts_by_lineno(file)
        reader = coverage.Coverage(data_file=None, config_file=False, branch=True)
        found = {line: by_line.get(line, []) for line in reader.analysis2(file)[1]}
        return {
            line: sorted(contexts, key=place.__getitem__)[:NAMED]
            for line, contexts in found.items()
            if "" not in contexts
        }

    def reaching(self, place: str) -> Reached:
        """Return the programs that reach a line.

        :param place: as ``reference/pgtable.py:123``, below the checkout or the current directory
        :raises LineError: there is no code, or the file is not part of the report
        """
        file, first, last = line_of(place, self.files)
        by_line = self.data.contexts_by_lineno(file)
        contexts = {context for line in range(first, last + 1) for context in by_line.get(line, ())}
        return Reached(shown(file), first, [each for each in self.programs if each in contexts], "" in contexts)


def line_of(place: str, files: Sequence[str]) -> tuple[str, int, int]:
    """Return the file, and the first and last line of the statement at a place.

    :param place: as ``reference/pgtable.py:123``, below the checkout or the current directory
    :param files: the replayed files
    :raises LineError: there is no code, or the file is not one of them
    """
    name, _, number = place.rpartition(":")
    if not name or not (number.isascii() and number.isdigit()):
        raise LineError(f"{place!a}; give a file and a line, for example reference/pgtable.py:123")
    paths = [str((base / name).resolve()) for base in (home_folder(), Path.cwd())]
    file = next((path for path in paths if path in files), "")
    if not file:
        there = [shown(each) for each in files]
        raise LineError(f"{name}: no file of the report{did_you_mean(name, there)}; allowed: {', '.join(there)}")
    reader = coverage.Coverage(data_file=None, config_file=False, branch=True)
    statements = reader.analysis2(file)[1]
    first, last = statement_at(Path(file).read_text(encoding="utf-8"), int(number), statements)
    if not first:
        near = min(statements, key=lambda line: abs(line - int(number)), default=0)
        raise LineError(f"{shown(file)}:{number}: no statement; the nearest line with one is {near}")
    return file, first, last


def replayed_files(versions: Sequence[Candidate]) -> list[str]:
    """Return the sources that `measured` reports on for these versions."""
    return sorted(str(path) for path in [*reference_files(), *candidate_files(versions)])


def shown(file: str) -> str:
    """Return a file's name for messages."""
    return shown_path(Path(file).resolve())


def statement_at(source: str, line: int, statements: Sequence[int]) -> tuple[int, int]:
    """Return the first and last line of the statement at a line, only the first if it is compound; zeros if none."""
    if line in statements:
        return line, line
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.stmt) and not hasattr(node, "body"):
            first, last = node.lineno, node.end_lineno or node.lineno
            if first <= line <= last and first in statements:
                return first, last
    return 0, 0


@contextmanager
def measured(programs: Sequence[tuple[str, Program]], versions: Sequence[str], workers: int) -> Iterator[Measured]:
    """Replay programs on some versions, each in turn, in processes that run plain Python.

    :param programs: names and programs
    :param versions: names of the versions
    :raises MeasuringError: a process failed
    """
    order = sorted(programs, key=lambda each: (len(each[1].operations), len(print_program(each[1])), each[0]))
    with tempfile.TemporaryDirectory(prefix="s2fuzz-cover-") as name:
        folder = Path(name)
        data = CoverageData(basename=str(folder / "all"))
        troubled: dict[str, str] = {}
        files = {str(path) for path in reference_files()}
        for number, answer in enumerate(run(order, versions, min(workers, len(order)), folder)):
            files.update(answer["files"])
            troubled.update(answer["troubled"])
            part = CoverageData(basename=str(folder / str(number)))
            part.read()
            data.update(part)
        data.write()
        yield Measured(data, [each for each, _ in order], sorted(files), troubled)


def reference_files() -> list[Path]:
    """Return the files of the kernel code and the machine."""
    folder = home_folder() / "reference"
    return [path for path in folder.rglob("*.py") if path.name not in _NOT_TESTED]
