# SPDX-License-Identifier: GPL-2.0-only
"""Trials in a file, one per line, to which a later run appends."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from .mutants import Mutant
from .trial import MutantTrial


def open_trials(path: str) -> "MutantTrials":
    """Return the trials of a file, which may not exist yet; for one mutant, the last line counts.

    :raises OSError: it cannot be read
    :raises MutantTrialsError: it holds something else
    """
    kept = MutantTrials(path)
    lines = Path(path).read_text().splitlines() if Path(path).exists() else []
    for number, line in enumerate(lines, 1):
        try:
            trial = MutantTrial(**json.loads(line))
        except (ValueError, TypeError):
            raise MutantTrialsError(f"line {number} is not a trial of `bench --mutants`") from None
        kept.trials[trial.key] = trial
    return kept


@dataclass
class MutantTrials:
    """Trials by the keys of their mutants, and the file that holds them."""

    path: str
    trials: dict[str, MutantTrial] = field(default_factory=dict)

    def add(self, trial: MutantTrial) -> None:
        """Add a trial, and append it to the file.

        :raises OSError: the file cannot be written
        """
        self.trials[trial.key] = trial
        with open(self.path, "a") as file:
            file.write(json.dumps(asdict(trial)) + "\n")

    def remaining(self, todo: Iterable[Mutant], operations: int) -> list[Mutant]:
        """Return the mutants still to try.

        :param operations: a mutant that survived fewer is tried again
        """
        return [mutant for mutant in todo if not self._made(mutant, operations)]

    def of(self, mutants: Iterable[Mutant]) -> list[MutantTrial]:
        """Return the existing trials of some mutants."""
        return [self.trials[mutant.key] for mutant in mutants if mutant.key in self.trials]

    def _made(self, mutant: Mutant, operations: int) -> bool:
        trial = self.trials.get(mutant.key)
        return trial is not None and (bool(trial.killed) or trial.operations >= operations)


class MutantTrialsError(ValueError):
    """A line of a file is not a trial; the message names the line."""
