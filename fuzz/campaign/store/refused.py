# SPDX-License-Identifier: GPL-2.0-only
"""Programs of a campaign without a verdict, in its database, keyed by what they needed that is not modelled."""

import sqlite3
from collections.abc import Mapping

from .database import has_table


def add_refused(db: sqlite3.Connection, version: int, refused: Mapping[str, int]) -> None:
    """Add the programs of a unit, within the transaction that marks the unit as done.

    :param version: of the code
    :param refused: what they needed -> number of programs
    """
    db.executemany(
        "INSERT INTO refused VALUES (?, ?, ?)"
        " ON CONFLICT (version, reason) DO UPDATE SET programs = programs + excluded.programs",
        [(version, reason, count) for reason, count in refused.items()],
    )


def read_refused(db: sqlite3.Connection, version: int) -> dict[str, int]:
    """Return the number of programs without a verdict of the units that are done, keyed by what they needed.

    :param version: of the code
    """
    if not has_table(db, "refused"):
        return {}
    return dict(db.execute("SELECT reason, programs FROM refused WHERE version = ?", (version,)))
