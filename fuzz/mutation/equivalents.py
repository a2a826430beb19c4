# SPDX-License-Identifier: GPL-2.0-only
"""Mutants that are declared to do what the original does, each with a reason (``equivalents.toml``)."""

import tomllib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Final

from .trial import MutantTrial

PATH: Final = Path(__file__).with_name("equivalents.toml")
# Class and function, operator, change.
Name = tuple[str, str, str]


@cache
def declared() -> dict[Name, str]:
    """Return the reasons."""
    listed = tomllib.loads(PATH.read_text())["equivalent"]
    return {(each["function"], each["operator"], each["change"]): each["reason"] for each in listed}


def name_of(trial: MutantTrial) -> Name:
    """Return the name by which the mutant of a trial is declared."""
    return trial.function, trial.operator, trial.change


def contradicted(trials: Iterable[MutantTrial]) -> list[MutantTrial]:
    """Return the trials in which a mutant that is declared equivalent did something else than the original."""
    return [each for each in trials if name_of(each) in declared() and not each.equal]
