# SPDX-License-Identifier: GPL-2.0-only
"""Delta debugging of a list: Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input", 2002.

Our own, since no package fits: picire 21.8 cannot be imported with a setuptools of today, lithium-reducer 4.0.0
reduces files and brings automation of Firefox along, Hypothesis shrinks only choices that it made itself.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def ddmin(items: Sequence[Item], fails: Callable[[list[Item]], Sequence[Item] | None]) -> list[Item]:
    """A part of *items*, in their order, that still fails and of which no single item can be left out.

    Chunks are left out from the end on, in halves first, then smaller ones; at
    the end one by one until nothing more goes.

    :param items: a list that fails
    :param fails: whether a shorter list does: if so what to go on with, that list or a part of it; else None
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
                # The rest of the part behind has been tried; only the part before is new.
                best = list(shorter)
            end = min(start, len(best))
        if chunk > 1:
            chunk = min(chunk // 2, max(len(best) // 2, 1))
        elif len(best) == before:
            break
    return best
