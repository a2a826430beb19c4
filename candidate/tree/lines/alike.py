# SPDX-License-Identifier: GPL-2.0-only
"""The functions that are the same in two libraries: a program that runs no others does the same on both.

Two functions are the same if their machine code and the names that it refers to are the same
(`candidate.tree.building.digests`). The counters show which functions ran.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any, Final

from ..building.cache import DIGESTS
from .code import code_lines

COUNTER_BYTES: Final = 8

# Ranges of counters: the first one, and their number.
Counters = tuple[tuple[int, int], ...]


@cache
def differing(reference: Path, candidate: Path) -> Counters | None:
    """Return the counters of the reference's functions that are not the same in the candidate.

    :returns: None if code without counters differs, so that the twin must run
    """
    if reference == candidate:
        return ()
    try:
        ours, theirs = digests(reference), digests(candidate)
    except (OSError, ValueError):
        return None
    known: dict[str, str] = theirs["rest"]
    if ours["taken"] != theirs["taken"] or any(known.get(name) != digest for name, digest in ours["rest"].items()):
        return None
    counters = counters_of(reference)
    found: set[tuple[int, int]] = set()
    for name, digest in ours["functions"].items():
        if theirs["functions"].get(name) != digest:
            # The compiler splits functions into parts: name.part.0, name.cold.
            first, counted = counters.get(name.partition(".")[0], (-1, 0))
            if first < 0 or not counted:
                return None
            found.add((first, counted))
    return tuple(sorted(found))


@cache
def changed(reference: Path, candidate: Path) -> frozenset[str]:
    """Return the names of the functions whose machine code is not the same; none if a build has no digests."""
    try:
        ours, theirs = digests(reference)["functions"], digests(candidate)["functions"]
    except (OSError, ValueError):
        return frozenset()
    names = [name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name)]
    return frozenset(name.partition(":")[2].partition(".")[0] for name in names)


def digests(library: Path) -> dict[str, Any]:
    """Read the digests that are stored with a library.

    :raises OSError, ValueError: there are none, or they are damaged
    """
    found: dict[str, Any] = json.loads((library.parent / DIGESTS).read_bytes())
    return found


def counters_of(library: Path) -> dict[str, tuple[int, int]]:
    """Return the counters of the functions of a library, by unit and name."""
    return {
        f"{function.unit}:{function.name}": (function.first, function.counted)
        for function in code_lines(str(library)).functions
    }


@cache
def moves(reference: Path, candidate: Path) -> tuple[tuple[int, int, int], ...]:
    """Map counters of the candidate to those of the reference: first of the candidate, of the reference, number."""
    theirs = counters_of(candidate)
    found: list[tuple[int, int, int]] = []
    for name, (first, counted) in sorted(counters_of(reference).items(), key=lambda each: each[1]):
        there, as_many = theirs.get(name, (-1, 0))
        if first < 0 or there < 0 or counted != as_many:
            continue
        if found and found[-1][0] + found[-1][2] == there and found[-1][1] + found[-1][2] == first:
            found[-1] = (*found[-1][:2], found[-1][2] + counted)
        else:
            found.append((there, first, counted))
    return tuple(found)


def translated(counters: bytes, reference: Path, candidate: Path, size: int) -> bytes:
    """Return the counters that the candidate would have after a program that runs only functions that are the same.

    :param counters: the counters of the reference
    :param size: size in bytes of the candidate's counters
    """
    if reference == candidate:
        return counters
    found = bytearray(size)
    for there, first, counted in moves(reference, candidate):
        start = first * COUNTER_BYTES
        found[there * COUNTER_BYTES : (there + counted) * COUNTER_BYTES] = counters[
            start : start + counted * COUNTER_BYTES
        ]
    return bytes(found)
