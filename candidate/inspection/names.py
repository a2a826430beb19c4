# SPDX-License-Identifier: GPL-2.0-only
"""Detection of misspelt names."""

from collections.abc import Iterable


def one_edit_away(a: str, b: str) -> bool:
    """Return whether one insertion, deletion, substitution or swap of neighbours turns *a* into *b*."""
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
    """Return a name in lower case without underscores."""
    return name.replace("_", "").lower()


def near_names(name: str, names: Iterable[str]) -> list[str]:
    """Return the *names* that may have been meant: equal except for underscores and case, or else one edit away."""
    there = list(names)
    same = [each for each in there if plain(each) == plain(name)]
    return same or [each for each in there if one_edit_away(plain(name), plain(each))]
