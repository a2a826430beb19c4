# SPDX-License-Identifier: GPL-2.0-only
"""Shares of a campaign's time: engines that find something get more, and each keeps a minimum."""

import sqlite3
from collections.abc import Callable

import pytest

from fuzz.campaign.store.findings import FILED, UNREPLAYED
from fuzz.campaign.store.records import Records
from fuzz.campaign.store.shares import FINDING, FLOOR, LAST, next_engine, shares
from fuzz.campaign.work.plan import Planner

ENGINES = ("random", "atheris", "hypothesis")
Yield = Callable[[str, int], int]


def do_unit(db: sqlite3.Connection, engine: str, features: int, findings: int = 0, state: str = FILED) -> None:
    """Record a unit of ten seconds with these results."""
    (number,) = db.execute("SELECT coalesce(max(number), 0) + 1 FROM units").fetchone()
    db.execute(
        "INSERT INTO units (number, state, engine, seed, first, programs, corpus, seen, planned, begun, ended, judged)"
        " VALUES (?, 'done', ?, 1, 1, 8, '[]', 0, 0, 100, 110, 8)",
        (number, engine),
    )
    db.execute("INSERT INTO programs (id, digest, unit, elapsed) VALUES (?, ?, ?, 0)", (number, str(number), number))
    for each in range(features):
        db.execute("INSERT INTO features VALUES (NULL, ?, ?, 0, 1)", (1000 * number + each, number))
    for each in range(findings):
        db.execute(
            "INSERT INTO findings VALUES ('regression', ?, 1, ?, 1, ?, ?, 0, 0, '', '', 3, '')",
            (f"{number} {each}", state, number, engine),
        )


def counted(db: sqlite3.Connection, units: int, found: Yield) -> dict[str, int]:
    """Do this many more units, and count the units of each engine.

    :param found: new features of the next unit, given the engine and the number of its units so far
    """
    counts = dict.fromkeys(ENGINES, 0)
    for _ in range(units):
        engine = next_engine(db, ENGINES)
        do_unit(db, engine, found(engine, counts[engine]))
        counts[engine] += 1
    return counts


def test_each_engine_begins_with_a_unit(records: tuple[Records, Planner]) -> None:
    db = records[0].db
    assert counted(db, 3, lambda engine, _: 900 * (engine == "random")) == dict.fromkeys(ENGINES, 1)


def test_engines_that_find_the_same_have_the_same_time(records: tuple[Records, Planner]) -> None:
    assert counted(records[0].db, 30, lambda *_: 5) == dict.fromkeys(ENGINES, 10)


def test_engines_that_find_nothing_get_equal_time(records: tuple[Records, Planner]) -> None:
    assert counted(records[0].db, 30, lambda *_: 0) == dict.fromkeys(ENGINES, 10)


def test_engines_that_find_something_get_more_time_and_others_a_minimum(records: tuple[Records, Planner]) -> None:
    counts = counted(records[0].db, 200, lambda engine, _: 90 if engine == "atheris" else 0)
    assert counts["atheris"] > 140
    assert min(counts.values()) >= 200 * FLOOR - 2


def test_an_engine_that_finds_no_more_loses_its_time(records: tuple[Records, Planner]) -> None:
    db = records[0].db
    first = counted(db, 60, lambda engine, _: 90 if engine == "random" else 1)
    assert first["random"] > 40
    later = counted(db, 200, lambda engine, _: 3 if engine == "hypothesis" else 0)
    assert later["hypothesis"] > 120


def test_a_finding_is_worth_many_features(records: tuple[Records, Planner]) -> None:
    db = records[0].db
    do_unit(db, "random", FINDING)
    do_unit(db, "atheris", 0, findings=1)
    do_unit(db, "hypothesis", 0, findings=1, state=UNREPLAYED)
    found = shares(db, ENGINES)
    assert found["random"] == found["atheris"] > found["hypothesis"] == FLOOR
    db.execute("UPDATE findings SET accepted = 'known' WHERE state = ?", (FILED,))
    found = shares(db, ENGINES)
    assert found["random"] > found["atheris"] == FLOOR


@pytest.mark.parametrize("engines", [("random",), ENGINES, tuple("abcdefgh")])
def test_shares_add_up_to_the_whole_time(records: tuple[Records, Planner], engines: tuple[str, ...]) -> None:
    db = records[0].db
    assert shares(db, ()) == {}
    assert sum(shares(db, engines).values()) == pytest.approx(1)
    for number, engine in enumerate(engines[:5]):
        do_unit(db, engine, number * number)
        found = shares(db, engines)
        assert sum(found.values()) == pytest.approx(1)
        assert min(found.values()) >= min(FLOOR, 0.5 / len(engines)) - 1e-9


def test_an_engine_that_is_left_out_does_not_count(records: tuple[Records, Planner]) -> None:
    db = records[0].db
    for _ in range(LAST):
        do_unit(db, "hypothesis", 10)
    assert shares(db, ("random", "atheris")) == {"random": 0.5, "atheris": 0.5}
    assert [next_engine(db, ("random", "atheris"))] == ["random"]


def test_planned_units_count_for_the_next_plan(records: tuple[Records, Planner]) -> None:
    books, planner = records
    planner.engines = list(ENGINES)
    numbers = [planner.plan() for _ in range(4)]
    engines = [planner.unit(number).engine for number in numbers]
    assert engines == [*ENGINES, "random"]
    # Units in flight count: they are planned, but their results are not known yet.
    assert next_engine(books.db, ENGINES) == "atheris"
