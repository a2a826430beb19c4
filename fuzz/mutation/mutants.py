# SPDX-License-Identifier: GPL-2.0-only
"""Mutants: which there are, in which order they are tried, and the candidate that each one is."""

import ast
import difflib
import hashlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from textwrap import indent
from typing import Final, TypeVar

from .functions import CLASSES, Function, functions
from .operators import changes

T = TypeVar("T")

_FILE: Final = '''\
# SPDX-License-Identifier: GPL-2.0-only
"""A mutant of {title} ({operator}): {change}"""

from candidate.registry.declaration import Candidate
{imports}


class MutantPgtable(Pgtable):
{Pgtable}


class MutantMmu(Mmu):
{Mmu}


class MutantTlbVhe(TlbVhe):
{TlbVhe}


class MutantTlbNvhe(TlbNvhe):
{TlbNvhe}


CANDIDATE = Candidate(
    "mutant", MutantPgtable, MutantMmu, "{title}: {operator}", tlb=MutantTlbVhe, nvhe=MutantTlbNvhe
)
'''
_SAME: Final = '    """As the original\'s."""'


@dataclass(frozen=True, slots=True)
class Mutant:
    """A function of the original with one change.

    :param place: of the change, in the plain text of the function
    :param text: of the function after it
    """

    function: Function
    operator: str
    place: tuple[int, int]
    text: str

    @property
    def key(self) -> str:
        """A name that stays as long as the function and the change do."""
        whole = "\0".join((self.function.title, self.function.text, self.operator, self.text))
        return hashlib.sha256(whole.encode()).hexdigest()[:12]

    @property
    def change(self) -> str:
        """The lines that go and those that come instead, on one line."""
        old, new = self.function.text.splitlines(), self.text.splitlines()
        lines = [line for line in difflib.ndiff(old, new) if line[0] in "-+"]
        gone, come = ("; ".join(line[2:].strip() for line in lines if line[0] == sign) for sign in "-+")
        return f"{gone} => {come}"


def mutants() -> list[Mutant]:
    """Return all mutants.

    :raises ImportError: cosmic-ray is not installed
    """
    return [Mutant(each, *change) for each in functions() for change in changes(each.text)]


def ordered(there: Sequence[Mutant], seed: int) -> list[Mutant]:
    """Return mutants in an order that is drawn, one of each place first.

    A place in an expression has a dozen mutants that are much alike, a statement that is left out has one.
    """
    return in_turns(there, lambda mutant: (mutant.function.title, *mutant.place), lambda mutant: mutant.key, seed)


def in_turns(
    there: Sequence[T], place: Callable[[T], tuple[object, ...]], key: Callable[[T], str], seed: int
) -> list[T]:
    """Return changes in an order that is drawn: one of each place first, then another one of each, and so on.

    The order of some stays when others come or go: each draws a number by what it is.

    :param place: of one
    :param key: a name that no other has
    """
    places: dict[tuple[object, ...], list[T]] = {}
    for each in there:
        places.setdefault(place(each), []).append(each)
    groups = [places[name] for name in sorted(places, key=lambda name: drawn(seed, *name))]
    for group in groups:
        group.sort(key=lambda each: drawn(seed, key(each)))
    longest = max(map(len, groups), default=0)
    return [group[turn] for turn in range(longest) for group in groups if turn < len(group)]


def drawn(*parts: object) -> str:
    """Return a text that is drawn for some names and numbers, always the same."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def candidate_text(mutant: Mutant) -> str:
    """Return the module that declares a mutant as a candidate: ``s2fuzz run --candidate FILE`` takes it."""
    function = mutant.function
    owner = next(each for each in CLASSES if each.__name__ == function.owner)
    used = {node.id for node in ast.walk(ast.parse(mutant.text)) if isinstance(node, ast.Name)}
    names: dict[str, set[str]] = {}
    for each in CLASSES:
        names.setdefault(each.__module__, set()).add(each.__name__)
    classes = {each.__name__ for each in CLASSES}
    names[owner.__module__] |= used & vars(sys.modules[owner.__module__]).keys() - classes
    bodies = {
        each.__name__: indent(mutant.text, "    ") if _has(each, owner, function.name) else _SAME for each in CLASSES
    }
    imports = [f"from {module} import {', '.join(sorted(found))}" for module, found in names.items()]
    return _FILE.format(
        title=function.title,
        operator=mutant.operator,
        change=mutant.change.replace("\\", "\\\\").replace('"', "'"),
        imports="\n".join(imports),
        **bodies,
    )


def _has(own: type, owner: type, name: str) -> bool:
    """Tell whether a class has the function of its own or inherits it from *owner*."""
    return issubclass(own, owner) and next(each for each in own.__mro__ if name in vars(each)) is owner
