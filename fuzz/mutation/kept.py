# SPDX-License-Identifier: GPL-2.0-only
"""Trials that outlast the process: a file with a line for each, to which a later run adds its own."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from .mutants import Mutant
from .trial import MutantTrial


class KeptTrialsError(ValueError):
    """A file holds no trials of mutants; one line that says where."""


class KeptTrials:
    """The trials of a file; of one mutant, the last line counts.

    :param path: of a file that is there, or not yet
    :raises OSError: it cannot be read
    :raises KeptTrialsError: it holds something else
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.trials: dict[str, MutantTrial] = {}
        if Path(path).exists():
            for number, line in enumerate(Path(path).read_text().splitlines(), 1):
                try:
                    trial = MutantTrial(**json.loads(line))
                except (ValueError, TypeError):
                    raise KeptTrialsError(f"line {number} is no trial of `bench --mutants`") from None
                self.trials[trial.key] = trial

    def add(self, trial: MutantTrial) -> None:
        """Keep one more.

        :raises OSError: the file cannot be written
        """
        self.trials[trial.key] = trial
        with open(self.path, "a") as file:
            file.write(json.dumps(asdict(trial)) + "\n")

    def left(self, todo: Iterable[Mutant], operations: int) -> list[Mutant]:
        """Return the mutants that are to be tried yet.

        :param operations: one that lived through fewer is tried again
        """
        return [mutant for mutant in todo if not self._made(mutant, operations)]

    def of(self, mutants: Iterable[Mutant]) -> list[MutantTrial]:
        """Return the trials of some mutants, as far as there are any."""
        return [self.trials[mutant.key] for mutant in mutants if mutant.key in self.trials]

    def _made(self, mutant: Mutant, operations: int) -> bool:
        trial = self.trials.get(mutant.key)
        return trial is not None and (bool(trial.killed) or trial.operations >= operations)
