# SPDX-License-Identifier: GPL-2.0-only
"""Known bugs of versions: their signatures, their functions, and the conditions under which they strike."""

import tomllib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, Final

from candidate import Candidate

from ..distribution import corpus_folder

# Times of a condition: the operation of the violation, or that operation and all before it.
NOW: Final = "now"
EARLIER: Final = "earlier"

# Markers in the reason of a finding about known bugs: the cause that it follows from, or
# that the condition of the entry whose pattern it matches did not hold.
FOLLOWS: Final = "; it follows from "
UNMET: Final = "; the condition of known bug "

# Parts of a C function that are separate methods here.
_PREFAULTING: Final = "kvm_vcpu_pre_fault_memory"
_FAULTING: Final = "kvm_handle_guest_abort"
_PARTS: Final = {"kvm_handle_guest_abort": ("_abort_in_slot",)}


@dataclass(frozen=True)
class KnownBug:
    """One entry of known.toml, which describes the fields.

    *condition*: pairs of a time and a predicate of `fuzz.judging.predicates`
    """

    id: str
    pattern: str
    reason: str
    link: str
    versions: tuple[str, ...]
    functions: tuple[str, ...]
    condition: tuple[tuple[str, str], ...]


def definitions(version: Candidate, function: str) -> list[type]:
    """Return the classes of pgtable.c, mmu.c and tlb.c that define a kernel function; none if the version lacks it."""
    found: list[type] = []
    own = function + "__" if function.startswith("__") else function
    for name in (own, *_PARTS.get(function, ())):
        for part in version.parts:
            found += [cls for cls in part.__mro__ if name in vars(cls)][:1]
    return found


@cache
def known_bugs() -> tuple[KnownBug, ...]:
    """Return all entries, in the file's order."""
    return tuple(_entry(fields) for fields in _file()["bug"])


def program_of(bug: str) -> Path:
    """Return the program that determines whether a kernel tree has a bug.

    :param bug: its id
    :raises KeyError: there is no such bug
    """
    programs: dict[str, str] = _file()["programs"]
    return corpus_folder() / "regressions" / f"{programs[bug]}.s2"


@cache
def _file() -> dict[str, Any]:
    with open(Path(__file__).with_name("known.toml"), "rb") as file:
        return tomllib.load(file)


def _entry(fields: dict[str, str | list[str]]) -> KnownBug:
    condition = []
    for text in fields["condition"]:
        time, _, predicate = text.partition(": ")
        condition.append((time, predicate))
    return KnownBug(
        id=str(fields["id"]),
        pattern=str(fields["pattern"]),
        reason=str(fields["reason"]),
        link=str(fields["link"]),
        versions=tuple(fields["versions"]),
        functions=tuple(fields["functions"]),
        condition=tuple(condition),
    )


@cache
def fitting(signature: str) -> tuple[tuple[int, KnownBug], ...]:
    """Return the entries whose pattern matches a signature, each with its number.

    Pages that are mapped in advance are mapped by the code that handles faults, with the same bugs.
    """
    names = (signature, signature.replace(_PREFAULTING, _FAULTING))
    return tuple(
        (number, bug)
        for number, bug in enumerate(known_bugs())
        if any(fnmatchcase(name, bug.pattern) for name in names)
    )
