# SPDX-License-Identifier: GPL-2.0-only
"""The records of a campaign: planned units, outcomes that count once, findings that are filed once they replay."""

from dataclasses import replace
from pathlib import Path

import pytest

from fuzz.campaign.store.code import digests_of
from fuzz.campaign.store.database import connect, transaction
from fuzz.campaign.store.findings import FILED, UNREPLAYED, Origin, Pending, Replayed
from fuzz.campaign.store.outcomes import UnitOutcome
from fuzz.campaign.store.records import Records
from fuzz.campaign.view.history import Moment, history, speeds
from fuzz.campaign.view.queries import read
from fuzz.campaign.view.summary import summary
from fuzz.campaign.work.file_minimizing import MinimizedFile
from fuzz.campaign.work.filing import Filer
from fuzz.campaign.work.plan import Planner, unit_seed
from fuzz.campaign.work.worker import Stop, do_unit
from fuzz.engines.unit import Fresh, Result, Unit
from fuzz.findings.record import FindingRecord
from fuzz.judging.finding import Finding
from fuzz.language.text import parse, print_program

from ..console import MISSING_CLEAN
from ..processes import wait_for
from ..run_here import run_here


def outcome_of(number: int, unit: Unit, interrupted: bool = False) -> UnitOutcome:
    """Return the outcome of an undisturbed worker."""
    result = Result(unit)
    run_here(unit, result.record)
    found, code = list(result.found.values()), digests_of(unit.reference, unit.candidate)
    return UnitOutcome(number, "worker_0", code, result.state, found, result.fresh, 1.0, 0, 0, interrupted, [])


def rows(records: Records) -> list[object]:
    """Return all records except times."""
    tables = ("units", "totals", "findings", "pending", "programs", "features")
    return [records.db.execute(f"SELECT * FROM {table}").fetchall() for table in tables]


def test_units_are_recorded_before_they_begin(records: tuple[Records, Planner]) -> None:
    _, planner = records
    number = planner.plan()
    assert planner.open() == [number]
    assert planner.unit(number) == planner.unit(number)
    assert planner.unit(number).seed == unit_seed(1, number) != unit_seed(1, number + 1)
    assert unit_seed(1, 1) != unit_seed(2, 1)


def test_an_outcome_counts_once(records: tuple[Records, Planner]) -> None:
    books, planner = records
    number = planner.plan()
    unit = replace(planner.unit(number), programs=8)
    outcome = outcome_of(number, unit)
    assert outcome.code is not None
    assert outcome.fresh
    pending = books.finish(unit, outcome, outcome.code)
    assert pending == books.findings.waiting(books.version)
    assert {each.record.finding.key for each in pending} == {each.finding.key for each in outcome.found}
    before = rows(books)
    assert books.finish(unit, outcome, outcome.code) is None
    assert rows(books) == before


def test_the_rest_of_an_interrupted_unit_becomes_a_new_unit(records: tuple[Records, Planner]) -> None:
    books, planner = records
    number = planner.plan()
    whole = replace(planner.unit(number), programs=12, features=False)
    books.db.execute("UPDATE units SET programs = 12")
    part = outcome_of(number, replace(whole, programs=5), interrupted=True)
    assert part.code is not None
    books.finish(whole, part, part.code)
    (rest,) = planner.open()
    unit = planner.unit(rest)
    assert (unit.seed, unit.first, unit.programs) == (whole.seed, 6, 7)
    outcome = outcome_of(rest, replace(unit, features=False))
    assert outcome.code is not None
    books.finish(unit, outcome, outcome.code)
    counts = books.db.execute("SELECT kind || ' ' || signature, count FROM findings")
    assert dict(counts) == outcome_of(number, whole).state.counts


def test_budgets_follow_the_speed(records: tuple[Records, Planner]) -> None:
    books, planner = records
    assert planner.budget("random") == 3
    number = planner.plan()
    unit = planner.unit(number)
    outcome = outcome_of(number, unit)
    assert outcome.code is not None
    for seconds, expected in ((0.001, 24), (0.5, 6), (30.0, 1)):
        books.finish(unit, replace(outcome, seconds=seconds), outcome.code)
        assert planner.budget("random") == expected
        books.db.execute("UPDATE units SET state = 'open'")


def test_snapshots_are_bounded_and_include_rare_features(records: tuple[Records, Planner]) -> None:
    books, planner = records
    texts = [f"s2fuzz 1\nvm\nslot a size=4M backing=anon\ncpu0 read a+{4 * page}K\n" for page in range(200)]
    digests = [books.programs.corpus.add(text) for text in texts]
    assert len(set(digests)) == 200
    books.programs.sync_with_folder(set(digests), 0, 0.0)
    rare = books.db.execute("SELECT id FROM programs WHERE digest = ?", (digests[0],)).fetchone()[0]
    books.db.execute("INSERT INTO features (feature, program, elapsed, hits) VALUES (7, ?, 0, 1)", (rare,))
    unit = planner.unit(planner.plan())
    assert len(unit.corpus) == 64
    assert unit.corpus[0] == print_program(parse(texts[0]))
    assert unit.seen == (7,)


def test_features_of_a_removed_program_belong_to_no_other_program(records: tuple[Records, Planner]) -> None:
    """Remove the newest program, as `s2fuzz corpus minimize` may do: SQLite gives its id to the next one."""
    programs = records[0].programs
    text = "s2fuzz 1\nvm\nslot a size=4M backing=anon\ncpu0 read a+{}K\n"
    programs.sync_with_folder(set(programs.corpus.digests()), 0, 0.0)

    def added(at: int, unit: int, features: tuple[int, ...]) -> int:
        """Add a program of a unit; return its id."""
        kept = programs.keep([Fresh(text.format(at), features)])
        programs.add(kept, unit, 0.0)
        return programs.newest()

    def shown() -> list[tuple[int, int]]:
        """Return each feature of a program in the corpus, with the unit that found it."""
        query = "SELECT feature, unit FROM features JOIN programs ON programs.id = features.program ORDER BY feature"
        return list(programs.db.execute(query))

    first, last = added(4, 1, (1, 2)), added(8, 2, (3, 4))
    assert shown() == [(1, 1), (2, 1), (3, 2), (4, 2)]
    digests = dict(programs.db.execute("SELECT id, digest FROM programs"))
    programs.sync_with_folder({digest for number, digest in digests.items() if number != last}, last, 0.0)
    assert shown() == [(1, 1), (2, 1)]
    assert added(12, 3, (5,)) == last > first
    assert shown() == [(1, 1), (2, 1), (5, 3)]
    # The removed features are still known, so that a program that shows only them is not new.
    assert programs.keep([Fresh(text.format(16), (3, 4))]) == []


def test_an_unexplained_program_is_pending_beside_a_smaller_explained_one(records: tuple[Records, Planner]) -> None:
    """Keep that program: a new bug may have the signature of a known one, and no other program may show it."""
    books, _ = records

    def added(known: str, operations: int) -> bool:
        """Record the finding with a program of this many operations; return whether the program is to be replayed."""
        text = "s2fuzz 1\nvm\nslot a size=4M backing=anon\n" + "cpu0 read a+0\n" * operations
        record = FindingRecord(Finding("common", "leak: nowhere", "why", 3, known), text, 7, 5)
        with transaction(books.db):
            return books.findings.add(record, 1, Origin(1, "random", 5, 1, 0.0)) is not None

    tried = ("M1", 2), ("M1", 3), ("", 4), ("", 5), ("M1", 1), ("", 3)
    assert [each for each in tried if added(*each)] == [("M1", 2), ("", 4), ("", 3)]
    assert [each.record.finding.known for each in books.findings.waiting(1)] == ["M1", "", ""]


def test_a_campaign_begun_by_an_older_release_continues(tmp_path: Path) -> None:
    db = connect(tmp_path)
    db.execute("ALTER TABLE pending DROP COLUMN known")
    db.close()
    db = connect(tmp_path)
    assert db.execute("SELECT known FROM pending").fetchall() == []
    db.close()


def test_only_findings_that_replay_are_filed(records: tuple[Records, Planner], tmp_path: Path) -> None:
    books, _ = records
    missing = "dcache: stage2_map_walker: table->block after a translation fault, not cleaned L2"
    add = "INSERT INTO findings VALUES ('regression', ?, 1, 'pending', 1, 1, 'random', 0, 0, 'why', '', NULL, '')"
    waiting = []
    for number, signature in enumerate((missing, "dcache: nowhere: nothing L2"), 1):
        books.db.execute(add, (signature,))
        key = ("regression", signature, 1, "why", 3, 7, 5)
        books.db.execute("INSERT INTO pending VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1, ?, '')", (number, *key, MISSING_CLEAN))
        record = FindingRecord(Finding("regression", signature, "why", 3), MISSING_CLEAN, 7, 5)
        waiting.append(Pending(number, 1, record))
    assert books.findings.waiting(1) == waiting
    findings, told = tmp_path / "campaign" / "findings", list[Replayed | MinimizedFile]()
    filer = Filer(findings, "original", "rfc-v1", told.append)
    for each in waiting:
        filer.ask(each, books.code)
    wait_for(lambda: len(told) == 2, "two replays")
    filer.close(60)
    replayed = [each for each in told if isinstance(each, Replayed)]
    assert [each.state for each in replayed] == [FILED, UNREPLAYED]
    assert (tmp_path / "campaign" / replayed[0].file).is_file()
    assert len(list(findings.glob("*.s2"))) == 1
    assert [books.findings.file(each) for each in replayed] == [True, True]
    assert not books.findings.waiting(1)
    overview = read(books.db, "x")
    assert [found.finding.signature for found in overview.shown] == [missing]
    assert len(overview.unreplayed) == 1
    assert "that did not replay in a fresh process" in summary(overview)


def test_a_notice_can_stop_a_unit() -> None:
    def notice(told: object) -> None:
        raise Stop

    outcome = do_unit(1, Unit("random", "original", "rfc-v1", 1), notice)
    assert outcome.interrupted


def test_curves_are_bounded_and_keep_the_start_of_each_session(
    records: tuple[Records, Planner], monkeypatch: pytest.MonkeyPatch
) -> None:
    books, _ = records
    monkeypatch.setattr("fuzz.campaign.store.records.MOST_POINTS", 50)
    add = "INSERT INTO statistics VALUES (?, ?, ?, 1, ?, 0, ?, ?, 0, 0)"
    for number in range(500):
        # A second session begins at the 300th point.
        at = float(number - 1000)
        books.db.execute(add, (at, at, 8 if number < 300 else 9, number * 5, number, number * 2))
        if number % 10 == 9:
            books.add_statistics(0, 0)
            assert books.db.execute("SELECT count(*) FROM statistics").fetchone()[0] <= 61
    rows = books.db.execute("SELECT session, min(elapsed), count(*) FROM statistics GROUP BY session").fetchall()
    assert [row[:2] for row in rows if row[0] in (8, 9)] == [(8, -1000.0), (9, -700.0)]
    # Older points lie further apart than newer ones.
    assert rows[1][2] < rows[2][2]


def test_the_course_of_a_campaign(records: tuple[Records, Planner]) -> None:
    books, _ = records
    add = "INSERT INTO statistics VALUES (?, 0, ?, 1, ?, 0, ?, ?, 0, 0)"
    for number in range(1000):
        books.db.execute(add, (number * 10.0, 1 if number < 500 else 2, number * 30, number, number * 2))
    moments = history(books.db, 100)
    assert 95 <= len(moments) <= 101
    assert moments[-1] == Moment(9990.0, 2, 29970, 999, 1998, 0)
    assert moments == sorted(moments, key=lambda each: each.elapsed)
    found = speeds(moments)
    # No speed is computed across two sessions.
    assert len(found) == len(moments) - 2
    assert {round(speed, 6) for _, speed in found} == {3.0}
    assert history(books.db, 10_000) != moments
    books.db.execute("DELETE FROM statistics")
    assert history(books.db) == []
