# SPDX-License-Identifier: GPL-2.0-only
"""The lines of kernel code that a campaign's corpus reaches, each with the smallest program that reaches it."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import candidate

from ..corpus.gathering import gather
from ..coverage.c_lines import reached
from ..language.program import Program

# The part of our own files that has kernel code; the machine is in folders below it.
_KERNEL: Final = "reference/"
_DIGITS: Final = 12


@dataclass(frozen=True, slots=True)
class CoveredLine:
    """A line of a file.

    :param program: the first digits of the name of the smallest program that reaches it; "": no program does; None:
        the line has no code
    """

    number: int
    text: str
    program: str | None


@dataclass(frozen=True, slots=True)
class CoveredFile:
    """A file of kernel code."""

    name: str
    lines: list[CoveredLine]

    @property
    def total(self) -> int:
        """The number of lines with code."""
        return sum(each.program is not None for each in self.lines)

    @property
    def reached(self) -> int:
        """The number of lines that a program reaches."""
        return sum(bool(each.program) for each in self.lines)


def covered(corpus: Path, reference: str, patched: str) -> list[CoveredFile]:
    """Replay a corpus, and return the files of both versions; for kernel trees, the C files of the candidate.

    :param reference: name of the version that the candidate is compared with
    :param patched: name of the version under test
    :raises ImportError: coverage.py is not installed, and no version is a kernel tree
    :raises fuzz.corpus.CorpusError: the corpus cannot be read
    :raises fuzz.coverage.shares.MeasuringError: a process failed
    :raises candidate.UnknownCandidateError: there is no version of one of the names
    """
    programs = list(gather(str(corpus), lambda bad: None))
    versions = [candidate.get(name) for name in dict.fromkeys((reference, patched))]
    workers = len(os.sched_getaffinity(0))
    trees = [each for each in versions if each.is_tree]
    if trees:
        found = reached(trees[-1], programs, workers)
        # Leave out the headers, of which there are dozens.
        files = sorted(name for name in found.programs if name.endswith(".c"))
        return [_file(name, found.root / name, found.programs[name]) for name in files]
    return _of_ports(programs, [each.name for each in versions], workers)


def _of_ports(programs: Sequence[tuple[str, Program]], versions: Sequence[str], workers: int) -> list[CoveredFile]:
    # Imported here, as it needs coverage.py.
    from ..coverage.measuring import measured, shown

    with measured(programs, versions, workers) as found:
        names = {shown(file): file for file in found.files}
        kernel = {
            name: file for name, file in names.items() if "/" not in name.removeprefix(_KERNEL) or _KERNEL not in name
        }
        return [_file(name, Path(file), found.lines(file)) for name, file in sorted(kernel.items())]


def _file(name: str, path: Path, programs: Mapping[int, Sequence[str]]) -> CoveredFile:
    """Return a file with its lines.

    :param programs: for each line with code, the programs that reach it, smallest first
    """
    texts = path.read_text(encoding="utf-8", errors="replace").splitlines()
    lines: list[CoveredLine] = []
    for number, text in enumerate(texts, 1):
        reaching = programs.get(number)
        program = None if reaching is None else Path(reaching[0]).stem[:_DIGITS] if reaching else ""
        lines.append(CoveredLine(number, text, program))
    return CoveredFile(name, lines)
