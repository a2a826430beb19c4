# SPDX-License-Identifier: GPL-2.0-only
"""The part of a difference of kernel trees that a campaign ran: counted once, stored, and reported."""

import io
import json
import sqlite3
import struct
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from rich.console import Console

from candidate.tree.lines.counts import CodeCounts
from candidate.tree.lines.difference import Exercise
from fuzz.campaign.campaign import open_campaign
from fuzz.campaign.store.code import digests_of
from fuzz.campaign.store.database import NAME, connect_to_read
from fuzz.campaign.store.records import Records
from fuzz.campaign.view.lines import answer, progress_line
from fuzz.campaign.view.overview import Overview
from fuzz.campaign.view.queries import read
from fuzz.campaign.view.screen import render
from fuzz.campaign.view.summary import summary
from fuzz.campaign.work.plan import Planner
from fuzz.command_line.commands.status import exit_code_of
from fuzz.exit_codes import BAD_INPUT, FINE, NO_VERDICT
from fuzz.findings.accepted import Accepted

from .campaigns import SETTINGS
from .test_books import outcome_of

IDLE = Exercise(2, 0, ["a.c:1", "a.c:2"], [])


def counts(**libraries: int) -> CodeCounts:
    """Return one counter for each library."""
    found = CodeCounts()
    for name, count in libraries.items():
        found.add(name, struct.pack("=Q", count))
    return found


def noted(records: Records) -> dict[str, int]:
    """Return the stored counters, checking that each is stored once."""
    rows = dict(records.db.execute("SELECT library, counters FROM code_ran"))
    from_text = CodeCounts()
    from_text.merge(records.exercise._counts(records.version, "code_ran"))
    assert sorted(rows) == sorted(from_text.by_library)
    return {name: struct.unpack("=Q", counters)[0] for name, counters in from_text.by_library.items()}


def test_counters_of_units_are_added_once(records: tuple[Records, Planner]) -> None:
    books, planner = records
    for expected, library in (({"one": 3, "two": 1}, "two"), ({"one": 6, "two": 1, "three": 1}, "three")):
        number = planner.plan()
        unit = replace(planner.unit(number), programs=1)
        outcome = replace(outcome_of(number, unit), counts=counts(one=3, **{library: 1}))
        assert outcome.code is not None
        assert books.finish(unit, outcome, outcome.code) is not None
        assert noted(books) == expected
        # A worker that was given up sends its outcome after all.
        assert books.finish(unit, outcome, outcome.code) is None
        assert noted(books) == expected


def test_counters_are_kept_in_the_next_session(
    records: tuple[Records, Planner], monkeypatch: pytest.MonkeyPatch
) -> None:
    books, _ = records
    monkeypatch.setattr(
        "fuzz.campaign.store.exercise.exercise",
        lambda _reference, _candidate, ran, _unjudged: Exercise(
            9, struct.unpack("=Q", ran.by_library["one"])[0], [], []
        ),
    )
    books.exercise.add(books.version, counts(one=3), counts())
    books.exercise.note(books.version)
    again = Records(books.db, books.programs.corpus, SETTINGS, books.code, Accepted())
    again.begin(1)
    assert read(books.db, "x").exercise == Exercise(9, 3, [], [])
    again.exercise.add(again.version, counts(one=4), counts())
    again.exercise.note(again.version)
    assert read(books.db, "x").exercise == Exercise(9, 7, [], [])
    # The counters of changed code start anew.
    books.exercise.add(books.version + 1, counts(one=1), counts())
    assert read(books.db, "x").exercise == Exercise(9, 7, [], [])


def overview_of(books: Records, found: Exercise | None, units: int = 1) -> Overview:
    return replace(read(books.db, "x"), exercise=found, units=units, reference="tree:a", candidate="tree:b", programs=9)


def shown(overview: Overview) -> str:
    """Return the screen as text."""
    out = io.StringIO()
    Console(file=out, width=120).print(render(overview, []))
    return out.getvalue()


def test_the_exercised_part_is_reported(records: tuple[Records, Planner]) -> None:
    books, _ = records
    some = overview_of(books, Exercise(3, 2, ["a.c:1"], []))
    assert "2 of 3 differing lines ran\ndid not run: a.c:1\n" in summary(some)
    assert progress_line(some).endswith("  ran: 2 of 3 lines that differ")
    assert "2 of 3 differing lines ran" in shown(some)
    assert "did not run: a.c:1" in shown(some)
    assert json.loads(json.dumps(answer(some)))["exercise"] == asdict(Exercise(3, 2, ["a.c:1"], []))
    assert exit_code_of(some) == FINE
    half = replace(some, exercise=None, reference="original")
    assert "that requires two kernel trees" in summary(half)
    assert "that requires two kernel trees" in shown(half)


def test_lines_that_ran_without_a_verdict_are_reported(records: tuple[Records, Planner]) -> None:
    books, _ = records
    found = overview_of(books, Exercise(3, 0, ["a.c:1", "a.c:2", "a.c:3"], [], unjudged=["a.c:2"]))
    told = "ran only in programs without a verdict: a.c:2\ndid not run: a.c:1, a.c:3\n"
    assert "not exercised: only programs without a verdict ran" in summary(found)
    assert f"0 of 3 differing lines ran in programs with a verdict\n{told}" in summary(found)
    assert exit_code_of(found) == BAD_INPUT


def test_a_difference_that_never_ran_is_not_exercised(records: tuple[Records, Planner]) -> None:
    books, _ = records
    idle = overview_of(books, IDLE)
    assert "not exercised: none of the code" in summary(idle)
    assert "not exercised: none of the code" in shown(idle)
    assert exit_code_of(idle) == BAD_INPUT
    unseen = overview_of(books, Exercise(0, 0, [], [], uncompiled=["hyp/tlb.c"]))
    assert "not exercised: none of the code" in summary(unseen)
    assert "hyp/tlb.c differs, but is not compiled here" in summary(unseen)
    assert "hyp/tlb.c differs, but is not compiled here" in shown(unseen)
    assert answer(unseen)["exercise"]["uncompiled"] == ["hyp/tlb.c"]
    assert exit_code_of(unseen) == BAD_INPUT
    # Before the first unit is done, the result is unknown.
    assert exit_code_of(overview_of(books, IDLE, units=0)) == FINE
    for found in (None, Exercise(0, 0, [], []), Exercise(0, 0, [], [], "a tree is gone")):
        assert exit_code_of(overview_of(books, found)) == FINE


def test_programs_without_a_verdict_are_reported(records: tuple[Records, Planner]) -> None:
    books, planner = records
    for times in (1, 2):
        number = planner.plan()
        unit = replace(planner.unit(number), programs=4)
        outcome = outcome_of(number, unit)
        outcome.state.programs, outcome.state.refused = 4, {"memunmap": 3}
        assert outcome.code is not None
        books.finish(unit, outcome, outcome.code)
        found = read(books.db, "x")
        assert found.refused == {"memunmap": 3 * times}
        assert f"no verdict: {3 * times} of {4 * times} programs could not be judged" in summary(found)
        assert "nothing found" not in summary(found)
        assert "not modelled: memunmap" in shown(found)
        assert exit_code_of(replace(found, findings=[])) == NO_VERDICT


def test_a_campaign_begun_by_an_older_release(records: tuple[Records, Planner], tmp_path: Path) -> None:
    books, _ = records
    books.db.executescript("DROP TABLE code_ran; DROP TABLE code_unjudged; DROP TABLE exercise; DROP TABLE refused;")
    folder = tmp_path / "campaign"
    with closing(connect_to_read(folder)) as db:
        assert read(db, folder).exercise is None
        assert read(db, folder).refused == {}
    books.end("over")
    with open_campaign(tmp_path / "other", SETTINGS):
        pass
    with closing(sqlite3.connect(tmp_path / "other" / NAME)) as db:
        db.executescript("DROP TABLE code_ran; DROP TABLE code_unjudged; DROP TABLE exercise; DROP TABLE refused;")
    with open_campaign(tmp_path / "other", SETTINGS) as (again, _, corpus, _):
        later = Records(again, corpus, SETTINGS, digests_of("original", "rfc-v1"), Accepted())
        later.exercise.add(later.version, counts(one=1), counts())
        assert noted(later) == {"one": 1}
