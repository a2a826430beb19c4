# SPDX-License-Identifier: GPL-2.0-only
"""The course of a campaign: features, corpus, findings and speed over campaign time."""

import sqlite3
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

# Points of a curve: more cannot be told apart on a page.
MOST: Final = 200


@dataclass(frozen=True, slots=True)
class Moment:
    """A campaign at one moment.

    :param elapsed: campaign time, in seconds
    :param session: the number of the session
    :param programs: judged by then
    """

    elapsed: float
    session: int
    programs: int
    corpus: int
    features: int
    findings: int


def history(db: sqlite3.Connection, most: int = MOST) -> list[Moment]:
    """Return the course of a campaign in steps of about the same length, the latest moment last.

    :param most: moments at most
    """
    (end,) = db.execute("SELECT coalesce(max(elapsed), 0.0) FROM statistics").fetchone()
    step = max(end / max(most - 1, 1), 0.001)
    rows = db.execute(
        # Of each step its last point: SQLite takes the other columns from the row that has the maximum.
        "SELECT max(elapsed), session, programs, corpus, features, findings FROM statistics"
        " GROUP BY CAST(elapsed / ? AS INTEGER) ORDER BY 1",
        (step,),
    )
    return [Moment(*row) for row in rows]


def speeds(moments: list[Moment]) -> list[tuple[float, float]]:
    """Return programs a second between each two moments of a session, each with the campaign time of the later one."""
    return [
        (later.elapsed, max(later.programs - before.programs, 0) / (later.elapsed - before.elapsed))
        for before, later in pairwise(moments)
        if later.session == before.session and later.elapsed > before.elapsed
    ]
