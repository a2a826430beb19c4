# SPDX-License-Identifier: GPL-2.0-only
"""Mutants declared as equivalent to the original, each with a reason (``equivalents.toml``).

Most have the same events as the original. Some, declared with ``differs = true``, have different events but the same
effects: the reason names the redundant step that is repeated or left out.
"""

import tomllib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, Final

from .trial import MutantTrial

PATH: Final = Path(__file__).with_name("equivalents.toml")
# Class and function, operator, change; and the key of the mutant, if several of a function have the same change, or "".
Name = tuple[str, str, str, str]


@cache
def declared() -> dict[Name, str]:
    """Return the reasons by name."""
    return {_name(each): each["reason"] for each in _listed()}


@cache
def harmless() -> frozenset[Name]:
    """Return the names of mutants declared with different events."""
    return frozenset(_name(each) for each in _listed() if each.get("differs"))


def name_of(trial: MutantTrial) -> Name:
    """Return the name under which the mutant of a trial would be declared."""
    keyed = trial.function, trial.operator, trial.change, trial.key
    return keyed if keyed in declared() else (*keyed[:3], "")


def equivalent(trial: MutantTrial) -> bool:
    """Return whether a mutant is declared, and its trial does not contradict that."""
    name = name_of(trial)
    return not trial.killed and name in declared() and (trial.equal or name in harmless())


def contradicted(trials: Iterable[MutantTrial]) -> list[MutantTrial]:
    """Return the trials of declared mutants that contradict the declaration."""
    return [each for each in trials if name_of(each) in declared() and not equivalent(each)]


def _listed() -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = tomllib.loads(PATH.read_text())["equivalent"]
    return listed


def _name(each: dict[str, Any]) -> Name:
    return each["function"], each["operator"], each["change"], each.get("key", "")
