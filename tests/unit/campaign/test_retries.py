# SPDX-License-Identifier: GPL-2.0-only
"""Failures of units: they are repeated, until they or their engine are given up."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from candidate import UnknownCandidateError
from fuzz.campaign.campaign import open_campaign, run
from fuzz.campaign.store.database import CampaignError, reading
from fuzz.campaign.view.lines import NoOutput
from fuzz.campaign.view.queries import read
from fuzz.campaign.work.coordinator import Coordinator
from fuzz.campaign.work.stopping import TIME_OVER
from fuzz.engines.supervisor import EngineError
from fuzz.findings.accepted import Accepted

from .campaigns import SETTINGS

BROKEN = EngineError("engine atheris: its process ended")


@pytest.fixture
def coordinator(tmp_path: Path) -> Iterator[Coordinator]:
    """Make the coordinator of a campaign with two engines that has planned three units of each and begun none."""
    settings = replace(SETTINGS, engines=("atheris", "random"))
    folder = tmp_path / "campaign"
    with open_campaign(folder, settings) as parts, Coordinator(folder, parts, settings, Accepted(), NoOutput()) as made:
        made.retries.queue = [made.planner.plan() for _ in range(6)]
        yield made


def fail(coordinator: Coordinator, number: int, error: Exception = BROKEN) -> None:
    """Let a unit of the queue fail."""
    if number in coordinator.retries.queue:
        coordinator.retries.queue.remove(number)
    coordinator.process_failure(number, coordinator.planner.unit(number), error)


def states(coordinator: Coordinator) -> dict[int, str]:
    return dict(coordinator.db.execute("SELECT number, state FROM units"))


def test_no_unit_of_a_disabled_engine_remains(coordinator: Coordinator) -> None:
    broken = [number for number in range(1, 7) if coordinator.planner.engine(number) == "atheris"]
    sound = [number for number in range(1, 7) if number not in broken]
    assert (len(broken), len(sound)) == (3, 3)
    for number in (broken[0], broken[1], broken[0], broken[1]):
        assert sorted(coordinator.retries.queue) == list(range(1, 7))
        fail(coordinator, number)
    assert coordinator.planner.engines == ["random"]
    assert coordinator.retries.queue == sound
    assert states(coordinator) == {**dict.fromkeys(broken, "failed"), **dict.fromkeys(sound, "open")}
    # The next session does not resume the failed units, and this one plans no more of them.
    assert coordinator.planner.open() == sound
    assert coordinator.planner.engine(coordinator.planner.plan()) == "random"


def test_a_unit_in_flight_of_a_disabled_engine_is_not_repeated(coordinator: Coordinator) -> None:
    broken = [number for number in range(1, 7) if coordinator.planner.engine(number) == "atheris"]
    coordinator.retries.queue.remove(broken[2])
    for number in (broken[0], broken[1], broken[0], broken[1]):
        fail(coordinator, number)
    assert states(coordinator)[broken[2]] == "open"
    fail(coordinator, broken[2], OSError("too many processes"))
    assert states(coordinator)[broken[2]] == "failed"
    assert broken[2] not in coordinator.retries.queue


def test_a_campaign_without_a_working_engine_ends(coordinator: Coordinator) -> None:
    coordinator.planner.engines = ["atheris"]
    broken = next(number for number in range(1, 7) if coordinator.planner.engine(number) == "atheris")
    for _ in range(3):
        fail(coordinator, broken)
    with pytest.raises(CampaignError, match="use an engine that works"):
        fail(coordinator, broken)


def test_a_version_that_is_gone_ends_the_campaign(coordinator: Coordinator) -> None:
    with pytest.raises(CampaignError, match="no such file"):
        fail(coordinator, 1, UnknownCandidateError("my.py: no such file"))


@pytest.mark.parametrize("stopping", ["", TIME_OVER])
def test_a_mistake_of_ours_is_no_failure_of_an_engine(coordinator: Coordinator, stopping: str) -> None:
    coordinator.stopping.why = stopping
    mistake = AssertionError("impossible")
    with pytest.raises(AssertionError) as raised:
        fail(coordinator, 1, mistake)
    assert raised.value is mistake
    assert states(coordinator)[1] == "open"


def test_the_log_has_the_traceback_of_a_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*_: object) -> None:
        raise AssertionError("impossible")

    monkeypatch.setattr("fuzz.campaign.work.pool.do_unit", wrong)
    folder = tmp_path / "campaign"
    with pytest.raises(AssertionError, match="impossible"):
        run(folder, SETTINGS, Accepted(), NoOutput())
    log = (folder / "log").read_text()
    assert "a mistake of s2fuzz: AssertionError: impossible\n" in log
    assert re.search(r'^\d{4}-\d\d-\S+   File ".*test_retries.py", line \d+, in wrong$', log, re.M)
    with reading(folder) as db:
        assert read(db, folder).why == "a mistake of s2fuzz: AssertionError: impossible"
