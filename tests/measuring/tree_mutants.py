# SPDX-License-Identifier: GPL-2.0-only
"""Try small changes of a kernel tree's functions, and show those that nothing distinguishes from the tree itself.

``python -m tests.measuring.tree_mutants ../linux --mutants 200``, with the packages of ``pip install -e
'.[mutation]'``. A mutant is a copy of the tree with one changed place in a C file. It is compared with the tree on the
corpus, then on random programs with pages of 4K, until a finding distinguishes the two. Lines that no program reaches
are not mutated.
"""

import argparse
import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import candidate
from candidate import Candidate
from candidate.tree import PREFIX, TreeError
from candidate.tree.building.source import MMU, PGTABLE
from candidate.tree.lines.code import code_lines
from candidate.tree.lines.counts import CodeCounts
from fuzz.engines.unit_run import offers_of
from fuzz.generation.generator import Generator
from fuzz.judging.differential import COMMON, Differential
from fuzz.language.program import KIB, Program
from fuzz.real.check import corpus

from ..tree.trees import changed
from .c_mutants import CMutant, mutants, ordered

PAGE: Final = 4 * KIB
FOUND: Final = "found"


@dataclass(frozen=True)
class CTrial:
    """The outcome of a trial.

    :param found: title of the finding that distinguishes a mutant from its tree; "": there is none
    :param by: name of the program of that finding
    :param again: number of programs that showed other events
    :param refused: number of programs without a verdict
    :param broken: why it does not compile; "" if it does
    """

    mutant: CMutant
    found: str = ""
    by: str = ""
    again: int = 0
    refused: int = 0
    broken: str = ""

    @property
    def outcome(self) -> str:
        """Return the name of the outcome, for counting."""
        if self.broken:
            return "does not compile"
        if self.found:
            return FOUND
        if self.refused:
            return "no verdict on some programs"
        return "other events, no finding" if self.again else "the same events"

    def __str__(self) -> str:
        why = self.broken or (f"{self.found}, by {self.by}" if self.found else "")
        return f"{self.outcome}: {self.mutant}{f': {why}' if why else ''}"


class TreeMutants:
    """Tries the mutants of one tree.

    *lines*: lines that programs run on the tree itself, by file

    :param tree: its top folder
    :param programs: number of programs tried, those of the corpus first
    :param seed: seed of the random programs
    """

    def __init__(self, tree: Path, programs: int, seed: int) -> None:
        self.tree = tree
        self.base = candidate.get(f"{PREFIX}{tree}")
        # Programs with a verdict on the tree itself.
        self.programs: list[tuple[str, Program]] = []
        counts = CodeCounts()
        differential = Differential(self.base, self.base)
        for name, program in programs_for(self.base, programs, seed):
            verdict = differential.run(program)
            if verdict.refused:
                continue
            self.programs.append((name, program))
            for library, counters in verdict.counts.by_library.items():
                counts.add(library, counters)
        self.lines = {
            (file, line)
            for library, counters in counts.by_library.items()
            for file, lines in code_lines(library).ran(counters).items()
            for line in lines
        }

    def attempt(self, mutant: CMutant) -> CTrial:
        """Try a mutant."""
        with tempfile.TemporaryDirectory() as folder:
            text = mutant.applied((self.tree / mutant.file).read_bytes())
            copy = changed(self.tree, Path(folder) / "tree", {mutant.file: text})
            try:
                version = candidate.get(f"{PREFIX}{copy}")
            except TreeError as error:
                return CTrial(mutant, broken=str(error).partition("\n")[0])
            differential, refused = Differential(self.base, version), 0
            for name, program in self.programs:
                verdict = differential.run(program)
                refused += bool(verdict.refused)
                title = next((each.title for each in verdict.findings if each.kind != COMMON), "")
                if title:
                    return CTrial(mutant, title, name, differential.again, refused)
        return CTrial(mutant, again=differential.again, refused=refused)


def programs_for(base: Candidate, count: int, seed: int) -> list[tuple[str, Program]]:
    """Return the programs on which mutants are tried, with their names."""
    generator = Generator(seed, PAGE, offers_of(base))
    small = [(name, program) for name, program in corpus() if program.vm.granule == PAGE][:count]
    return small + [(f"random {number}", generator.next()) for number in range(1, count - len(small) + 1)]


# State that processes of `attempts` inherit from this one: it cannot be sent to them.
_trying: list[TreeMutants] = []


def _attempt(mutant: CMutant) -> CTrial:
    return _trying[0].attempt(mutant)


def attempts(trying: TreeMutants, todo: Sequence[CMutant], workers: int) -> Iterator[CTrial]:
    """Try mutants, *workers* at a time; yield trials in the order in which they end."""
    _trying[:] = [trying]
    # One process per mutant, which frees the libraries that it has loaded when it ends.
    with get_context("fork").Pool(workers, maxtasksperchild=1) as pool:
        yield from pool.imap_unordered(_attempt, todo)


def summary(trials: Sequence[CTrial]) -> str:
    """Return a summary in one line."""
    counts = Counter(each.outcome for each in trials)
    return f"{len(trials)} mutants: " + "; ".join(f"{count} {outcome}" for outcome, count in counts.most_common())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.measuring.tree_mutants", description=__doc__.splitlines()[0])
    parser.add_argument("tree", type=Path, help="top folder of a kernel tree")
    parser.add_argument("--files", nargs="+", default=[MMU, PGTABLE], metavar="FILE", help="below it (%(default)s)")
    parser.add_argument("--mutants", type=int, default=100, help="number of mutants tried (%(default)s)")
    parser.add_argument("--programs", type=int, default=1500, help="for each at most (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of mutants and programs (%(default)s)")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes (one for each core)")
    chosen = parser.parse_args()
    tree = chosen.tree.resolve()
    trying = TreeMutants(tree, chosen.programs, chosen.seed)
    there = [each for file in chosen.files for each in mutants(file, (tree / file).read_bytes())]
    todo = [each for each in ordered(there, chosen.seed) if (each.file, each.line) in trying.lines][: chosen.mutants]
    trials: list[CTrial] = []
    for trial in attempts(trying, todo, chosen.workers):
        trials.append(trial)
        print(trial, flush=True)
    print(summary(trials))


if __name__ == "__main__":
    main()
