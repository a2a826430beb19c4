# SPDX-License-Identifier: GPL-2.0-only
"""The history of a campaign: features, corpus, findings and speed over campaign time."""

import sqlite3
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

# Points of a curve: a page cannot show more.
MOST: Final = 200


@dataclass(frozen=True, slots=True)
class Moment:
    """A campaign at one moment.

    :param elapsed: campaign time, in seconds
    :param session: number of the session
    :param programs: number judged so far
    """

    elapsed: float
    session: int
    programs: int
    corpus: int
    features: int
    findings: int


def history(db: sqlite3.Connection, most: int = MOST) -> list[Moment]:
    """Return the history of a campaign in steps of about the same length, the latest moment last.

    :param most: maximum number of moments
    """
    (end,) = db.execute("SELECT coalesce(max(elapsed), 0.0) FROM statistics").fetchone()
    step = max(end / max(most - 1, 1), 0.001)
    rows = db.execute(
        # The last point of each step: SQLite takes the other columns from the row with the maximum.
        "SELECT max(elapsed), session, programs, corpus, features, findings FROM statistics"
        " GROUP BY CAST(elapsed / ? AS INTEGER) ORDER BY 1",
        (step,),
    )
    return [Moment(*row) for row in rows]


def speeds(moments: list[Moment]) -> list[tuple[float, float]]:
    """Return programs per second between consecutive moments of a session, with the campaign time of the later one."""
    return [
        (later.elapsed, max(later.programs - before.programs, 0) / (later.elapsed - before.elapsed))
        for before, later in pairwise(moments)
        if later.session == before.session and later.elapsed > before.elapsed
    ]
