# SPDX-License-Identifier: GPL-2.0-only
"""Names that were meant to be others."""

from collections.abc import Iterable


def one_edit_away(a: str, b: str) -> bool:
    """Tell whether one insertion, deletion, substitution or swap of neighbours makes *b* of *a*."""
    if len(a) > len(b):
        a, b = b, a
    if len(b) - len(a) > 1 or a == b:
        return False
    at = next((i for i in range(len(a)) if a[i] != b[i]), len(a))
    if len(a) < len(b):
        return a[at:] == b[at + 1 :]
    swapped = a[at : at + 2] == b[at : at + 2][::-1]
    return a[at + 1 :] == b[at + 1 :] or (swapped and a[at + 2 :] == b[at + 2 :])


def plain(name: str) -> str:
    """A name without underscores, in lower case."""
    return name.replace("_", "").lower()


def near_names(name: str, names: Iterable[str]) -> list[str]:
    """Return those of *names* that may have been meant: equal but for underscores and case, or else one edit away."""
    there = list(names)
    same = [each for each in there if plain(each) == plain(name)]
    return same or [each for each in there if one_edit_away(plain(name), plain(each))]
