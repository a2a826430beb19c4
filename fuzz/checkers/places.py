# SPDX-License-Identifier: GPL-2.0-only
"""Places in a kernel tree as parts of a reason: one without its calls, or two whose shared calls appear once."""

from typing import Final

# Format of `candidate.tree.runtime.code_places`: ``f (file.c:1), by a > b > f``.
BY: Final = ", by "
CALL: Final = " > "
# Stands for the calls of the place before it, up to the call that follows.
SAME: Final = "..."
# Fewer shared calls are not worth an omission.
_FEWEST: Final = 3


def at_place(place: str) -> str:
    """Return a place in a compiled tree, without its callers, as the end of a phrase; "" if there is none."""
    return f" at {place.partition(BY)[0]}" if place else ""


def after(place: str, first: str) -> str:
    """Return a place without the calls that it shares with the place before it, except for the last shared one.

    `fuzz.reports.calls` adds them again: that call appears once in the calls of *first*.

    :param first: the place before it
    """
    at, _, calls = place.partition(BY)
    shared = first.partition(BY)[2].split(CALL)
    names = calls.split(CALL)
    count = 0
    while count < min(len(names), len(shared)) and names[count] == shared[count]:
        count += 1
    return f"{at}{BY}{CALL.join([SAME, *names[count - 1 :]])}" if count >= _FEWEST else place
