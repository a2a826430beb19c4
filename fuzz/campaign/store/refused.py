# SPDX-License-Identifier: GPL-2.0-only
"""Programs of a campaign that have no verdict, in its database, by what they needed and nobody models."""

import sqlite3
from collections.abc import Mapping

from .database import has_table


def add_refused(db: sqlite3.Connection, version: int, refused: Mapping[str, int]) -> None:
    """Add those of a unit, within the transaction in which the unit becomes done.

    :param version: of the code
    :param refused: what they needed -> so many
    """
    db.executemany(
        "INSERT INTO refused VALUES (?, ?, ?)"
        " ON CONFLICT (version, reason) DO UPDATE SET programs = programs + excluded.programs",
        [(version, reason, count) for reason, count in refused.items()],
    )


def read_refused(db: sqlite3.Connection, version: int) -> dict[str, int]:
    """Return those of the units that are done, by what they needed.

    :param version: of the code
    """
    if not has_table(db, "refused"):
        return {}
    return dict(db.execute("SELECT reason, programs FROM refused WHERE version = ?", (version,)))
