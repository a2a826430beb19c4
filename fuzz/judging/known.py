# SPDX-License-Identifier: GPL-2.0-only
"""Known bugs of versions: their signatures, the functions they lie in, the conditions under which they strike."""

import tomllib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Final

import candidate
from candidate import Candidate

# Times of a condition: the operation of the violation, or that one and all before it.
NOW: Final = "now"
EARLIER: Final = "earlier"

# Words in the reason of a finding on known bugs, for those who read it later: the cause that it follows from, or
# that the entries whose pattern it fits do not explain it.
FOLLOWS: Final = "; it follows from "
UNMET: Final = "; the condition of known bug "

# Parts of a C function that are methods of their own here.
_PARTS: Final = {"kvm_handle_guest_abort": ("_abort_in_slot",)}


@dataclass(frozen=True)
class KnownBug:
    """One entry of known.toml; its fields are described there.

    *condition*: pairs of a time and a predicate of `fuzz.judging.circumstances`
    """

    id: str
    pattern: str
    reason: str
    link: str
    versions: tuple[str, ...]
    functions: tuple[str, ...]
    condition: tuple[tuple[str, str], ...]


@cache
def has(version: Candidate, bug: KnownBug) -> bool:
    """Tell whether a version has a bug: its entry names it, or one with the same functions concerned."""
    if version in map(candidate.get, bug.versions):
        return True
    # What a tree's functions are, its classes do not say.
    return not version.is_tree and any(_alike(version, candidate.get(name), bug.functions) for name in bug.versions)


def _alike(one: Candidate, other: Candidate, functions: tuple[str, ...]) -> bool:
    """Tell whether two versions have functions from the same places."""
    return all(definitions(one, name) == definitions(other, name) for name in functions)


def definitions(version: Candidate, function: str) -> list[type]:
    """The classes that define a kernel function, of pgtable.c and of mmu.c; none where a version lacks it."""
    found: list[type] = []
    own = function + "__" if function.startswith("__") else function
    for name in (own, *_PARTS.get(function, ())):
        for part in (version.pgtable, version.mmu):
            found += [cls for cls in part.__mro__ if name in vars(cls)][:1]
    return found


@cache
def known_bugs() -> tuple[KnownBug, ...]:
    """All entries, in the file's order."""
    with open(Path(__file__).with_name("known.toml"), "rb") as file:
        return tuple(_entry(fields) for fields in tomllib.load(file)["bug"])


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
    """The entries whose pattern a signature fits, each with its number."""
    return tuple((number, bug) for number, bug in enumerate(known_bugs()) if fnmatchcase(signature, bug.pattern))


def known_bug(signature: str, version: Candidate | None = None) -> KnownBug | None:
    """The known bug with this signature that *version*, by default the original, has, if any.

    A signature that fits explains nothing yet: `fuzz.judging.circumstances` knows whether the condition held.
    """
    version = version or candidate.get(candidate.names()[0])
    return next((bug for _, bug in fitting(signature) if has(version, bug)), None)


def explanation(signature: str, reason: str, version: Candidate) -> KnownBug | None:
    """The known bug of *version* that explains a finding of both sides or of the reference, by its reason.

    :param reason: as `fuzz.judging.verdict` wrote it
    """
    if UNMET in reason:
        return None
    _, _, cause = reason.partition(FOLLOWS)
    return known_bug(cause or signature, version)
