# SPDX-License-Identifier: GPL-2.0-only
"""Ends of a campaign other than the clock: nothing new for a long time, enough programs, a regression."""

import sqlite3
import time
from dataclasses import dataclass
from typing import Final

from ...judging.finding import REGRESSION
from ..store.findings import FILED

# Seconds between two checks.
_EVERY: Final = 1.0


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit; the first one reached ends the session.

    :param kind: ``idle``, ``programs`` or ``regression``
    :param amount: seconds of campaign time without a new feature, or programs judged in all sessions; else 0
    """

    kind: str
    amount: float = 0.0

    def reached(self, db: sqlite3.Connection, elapsed: float, begun: float, version: int) -> str:
        """Return the reason to end; "" if the campaign continues.

        :param elapsed: campaign time by now, in seconds
        :param begun: campaign time at which this session began
        :param version: of the code
        """
        if self.kind == "idle":
            row = db.execute("SELECT elapsed FROM features ORDER BY id DESC LIMIT 1").fetchone()
            # A session that resumes an idle campaign gets the full time again.
            if elapsed - max(begun, row[0] if row else 0.0) >= self.amount:
                return f"no new feature for {self.amount:g} s"
        elif self.kind == "programs":
            (programs,) = db.execute("SELECT coalesce(sum(programs), 0) FROM totals").fetchone()
            if programs >= self.amount:
                return f"{programs} programs judged"
        else:
            row = db.execute(
                "SELECT signature FROM findings WHERE kind = ? AND version = ? AND state = ? AND accepted = ''",
                (REGRESSION, version, FILED),
            ).fetchone()
            if row is not None:
                return f"a regression was filed: {row[0]}"
        return ""


class Limits:
    """All limits of a session, checked from time to time."""

    def __init__(self, limits: tuple[Limit, ...]) -> None:
        self.limits = limits
        self.due = 0.0
        self.begun = -1.0

    def reached(self, db: sqlite3.Connection, elapsed: float, version: int) -> str:
        """Return the reason to end; see `Limit.reached`."""
        if self.begun < 0:
            self.begun = elapsed
        now = time.monotonic()
        if not self.limits or now < self.due:
            return ""
        self.due = now + _EVERY
        for limit in self.limits:
            if why := limit.reached(db, elapsed, self.begun, version):
                return why
        return ""
