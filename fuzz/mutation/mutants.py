# SPDX-License-Identifier: GPL-2.0-only
"""Mutants: their list, the order in which they are tried, and the candidate that each one is."""

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

    :param place: place of the change, in the plain text of the function
    :param text: text of the changed function
    """

    function: Function
    operator: str
    place: tuple[int, int]
    text: str

    @property
    def key(self) -> str:
        """Return a name that stays the same while the function and the change do."""
        whole = "\0".join((self.function.title, self.function.text, self.operator, self.text))
        return hashlib.sha256(whole.encode()).hexdigest()[:12]

    @property
    def change(self) -> str:
        """Return the removed lines and the added lines, on one line."""
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
    """Return mutants in a pseudo-random order, one of each place first.

    A place in an expression has a dozen similar mutants, while a left-out statement has one.
    """
    return in_turns(there, lambda mutant: (mutant.function.title, *mutant.place), lambda mutant: mutant.key, seed)


def in_turns(
    there: Sequence[T], place: Callable[[T], tuple[object, ...]], key: Callable[[T], str], seed: int
) -> list[T]:
    """Return changes in a pseudo-random order: one of each place first, then another one of each, and so on.

    The relative order stays when changes are added or removed, since each position depends on the change alone.

    :param place: returns the place of a change
    :param key: returns the unique name of a change
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
    """Return a pseudo-random text that depends only on the arguments."""
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
    """Return whether a class has this function from *owner*, itself or by inheritance."""
    return issubclass(own, owner) and next(each for each in own.__mro__ if name in vars(each)) is owner
