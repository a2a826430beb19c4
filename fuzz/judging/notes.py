# SPDX-License-Identifier: GPL-2.0-only
"""Lines about requests of a program that were not met: switches of par blocks that did not take place."""

from ..sides.outcome import Outcome


def notes_of(at: int, reference: Outcome, candidate: Outcome) -> list[str]:
    """Return the lines about an operation.

    :param at: its index
    :param reference: its outcome on that side; likewise *candidate*
    """
    if not reference.parts and not candidate.parts:
        return []
    sides = [("reference", reference.detail), ("candidate", candidate.detail)]
    if reference.detail == candidate.detail:
        sides = [("both sides", reference.detail)]
    return [f"operation {at + 1}, {side}: {detail}" for side, detail in sides if detail]
