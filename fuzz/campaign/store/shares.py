# SPDX-License-Identifier: GPL-2.0-only
"""The shares of a campaign's time for its engines, computed from what each has found lately.

The engines are the arms of a bandit with decreasing yield: what is easy to find is found only once. So only the last
units of each engine count, and each engine keeps a part of the time in which it can show that it finds something
again.
"""

import sqlite3
from collections.abc import Sequence
from typing import Final

from .findings import UNREPLAYED

# Minimum share of every engine; with many engines, half of an equal share.
FLOOR: Final = 0.1
# Number of an engine's last units that count.
LAST: Final = 12
# The worth of a finding that is not accepted, in new features.
FINDING: Final = 50


def shares(db: sqlite3.Connection, engines: Sequence[str]) -> dict[str, float]:
    """Return the share of each engine; the shares add up to 1.

    An engine without a finished unit gets an equal share until it has one.

    :param db: of the campaign
    :param engines: of its session
    """
    if not engines:
        return {}
    equal = 1 / len(engines)
    floor = min(FLOOR, equal / 2)
    yields = {engine: found for engine in engines if (found := found_a_second(db, engine)) is not None}
    # The measured engines divide this among themselves.
    rest, total = equal * len(yields), sum(yields.values())
    if not total:
        return dict.fromkeys(engines, equal)
    free = rest - floor * len(yields)
    return {engine: floor + free * yields[engine] / total if engine in yields else equal for engine in engines}


def found_a_second(db: sqlite3.Connection, engine: str) -> float | None:
    """Return the worth of what an engine's last units found, per second of these units; None: no unit is done.

    A new feature is worth 1, a new finding is worth `FINDING`.
    """
    units = db.execute(
        "SELECT number, ended - begun FROM units WHERE engine = ? AND state = 'done' AND judged > 0"
        " ORDER BY number DESC LIMIT ?",
        (engine, LAST),
    ).fetchall()
    if not units:
        return None
    numbers = [number for number, _ in units]
    among = f"({', '.join('?' * len(numbers))})"
    (features,) = db.execute(
        f"SELECT count(*) FROM features JOIN programs ON programs.id = features.program WHERE programs.unit IN {among}",
        numbers,
    ).fetchone()
    (findings,) = db.execute(
        f"SELECT count(*) FROM findings WHERE unit IN {among} AND state != ? AND accepted = ''",
        (*numbers, UNREPLAYED),
    ).fetchone()
    worth: int = features + FINDING * findings
    seconds: float = sum(seconds for _, seconds in units)
    return worth / max(seconds, 0.001)


def next_engine(db: sqlite3.Connection, engines: Sequence[str]) -> str:
    """Return the engine of the next unit: the one that is furthest below its share of the last units.

    :param engines: at least one, in the order in which they begin
    """
    wanted = shares(db, engines)
    recent = db.execute("SELECT engine FROM units ORDER BY number DESC LIMIT ?", (LAST * len(engines),)).fetchall()
    begun = dict.fromkeys(engines, 0)
    for (engine,) in recent:
        # Skip an engine that is no longer used.
        if engine in begun:
            begun[engine] += 1
    units = sum(begun.values()) + 1
    return max(engines, key=lambda engine: wanted[engine] * units - begun[engine])
