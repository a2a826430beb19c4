# SPDX-License-Identifier: GPL-2.0-only
"""Delta debugging of a list: Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input", 2002.

This is our own implementation, because no package fits: picire 21.8 cannot be imported with a current setuptools,
lithium-reducer 4.0.0 reduces files and requires automation of Firefox, Hypothesis shrinks only its own choices.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def ddmin(items: Sequence[Item], fails: Callable[[list[Item]], Sequence[Item] | None]) -> list[Item]:
    """Return a part of *items*, in order, that still fails and of which no single item can be left out.

    Chunks are left out from the end on, first halves, then smaller ones, and
    finally single items until no more can be left out.

    :param items: a list that fails
    :param fails: returns None if a shorter list does not fail; else the list to continue with: that list or a part of
        it
    """
    best = list(items)
    chunk = max(len(best) // 2, 1)
    while best:
        before = len(best)
        end = len(best)
        while end > 0:
            start = max(end - chunk, 0)
            shorter = fails(best[:start] + best[end:])
            if shorter is not None:
                # The chunks after this one have been tried. Only those before it are new.
                best = list(shorter)
            end = min(start, len(best))
        if chunk > 1:
            chunk = min(chunk // 2, max(len(best) // 2, 1))
        elif len(best) == before:
            break
    return best
