# SPDX-License-Identifier: GPL-2.0-only
"""Mutants that are declared to do what the original does, each with a reason (``equivalents.toml``).

Most have the original's events. Of some, declared with ``differs = true``, events are others and effects are not: the
reason says what is done once more, or left out, for nothing.
"""

import tomllib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, Final

from .trial import MutantTrial

PATH: Final = Path(__file__).with_name("equivalents.toml")
# Class and function, operator, change; the key of the mutant where a function has others of the same change, or "".
Name = tuple[str, str, str, str]


@cache
def declared() -> dict[Name, str]:
    """Return the reasons."""
    return {_name(each): each["reason"] for each in _listed()}


@cache
def harmless() -> frozenset[Name]:
    """Return the names of those whose events are others."""
    return frozenset(_name(each) for each in _listed() if each.get("differs"))


def name_of(trial: MutantTrial) -> Name:
    """Return the name by which the mutant of a trial is declared."""
    keyed = trial.function, trial.operator, trial.change, trial.key
    return keyed if keyed in declared() else (*keyed[:3], "")


def equivalent(trial: MutantTrial) -> bool:
    """Tell whether a mutant is declared, and nothing in its trial says otherwise."""
    name = name_of(trial)
    return not trial.killed and name in declared() and (trial.equal or name in harmless())


def contradicted(trials: Iterable[MutantTrial]) -> list[MutantTrial]:
    """Return the trials in which a mutant that is declared did something that its declaration does not say."""
    return [each for each in trials if name_of(each) in declared() and not equivalent(each)]


def _listed() -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = tomllib.loads(PATH.read_text())["equivalent"]
    return listed


def _name(each: dict[str, Any]) -> Name:
    return each["function"], each["operator"], each["change"], each.get("key", "")
