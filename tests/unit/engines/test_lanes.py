# SPDX-License-Identifier: GPL-2.0-only
"""A unit on several cores: the same result as one process, whatever the lanes do, with no process left behind."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from fuzz.engines.lanes import Lanes, run_lanes
from fuzz.engines.supervisor import EngineError
from fuzz.engines.unit import Result, Unit, UnitState
from fuzz.execution.mistakes import CandidateMistakeError
from fuzz.findings.record import FindingRecord
from fuzz.judging.finding import COMMON, Finding

from .units import UNIT, children, comparable, here

MISTAKEN = """\
from candidate import Candidate
from reference.mmu import Mmu
from reference.pgtable import Pgtable, stage2_map_data


class Mistaken(Pgtable):
    def stage2_map_walk_leaf(self, addr: int, end: int, level: int, ptep: int, data: stage2_map_data) -> int:
        if level == 2:
            return no_such_name
        return super().stage2_map_walk_leaf(addr, end, level, ptep, data)


CANDIDATE = Candidate("mistaken", Mistaken, Mmu, "for a test")
"""


@pytest.fixture(scope="module")
def whole() -> Result:
    return here(replace(UNIT, programs=60))


def messages(result: Result) -> list[tuple[str, int, str]]:
    return [(each.finding.title, each.number, each.text) for each in result.messages]


def test_other_lanes_do_the_work_of_a_slow_lane(whole: Result) -> None:
    lanes = Lanes(replace(UNIT, programs=60), 2)
    before = set(children())
    held: list[int] = []
    let_go: list[int] = []

    def hold(_: Result) -> None:
        if not held:
            held.extend(sorted(set(children()) - before)[:1])
            for child in held:
                os.kill(child, signal.SIGSTOP)
        elif not let_go and any(lane.ended or lane.result.state.programs >= 40 for lane in lanes.lanes):
            let_go.extend(held)
            os.kill(held[0], signal.SIGCONT)

    result = lanes.run(hold)
    assert max(lane.result.state.programs for lane in lanes.lanes) >= 40
    assert comparable(result) == comparable(whole)
    assert messages(result) == messages(whole)


def test_no_more_lanes_than_programs() -> None:
    assert [len(Lanes(replace(UNIT, programs=most), 3).lanes) for most in (1, 2, 5, None)] == [1, 2, 3, 3]


@pytest.mark.parametrize("count", [2, 3])
def test_lanes_find_the_same_as_one_process_in_the_same_order(whole: Result, count: int) -> None:
    result = run_lanes(replace(UNIT, programs=60), count)
    assert comparable(result) == comparable(whole)
    assert messages(result) == messages(whole)


def test_a_killed_lane_loses_no_program(whole: Result) -> None:
    """Kill a lane when each has a finding, and end the unit when all programs of *whole* are judged."""
    lanes = Lanes(replace(UNIT, programs=None), 2)
    killed: list[int] = []

    def kill(result: Result) -> None:
        if not killed and all(lane.result.messages for lane in lanes.lanes):
            killed.append(min(set(children()) - before))
            os.kill(killed[0], signal.SIGKILL)
        if result.accidents and min(lane.judged() for lane in lanes.lanes) > whole.state.programs:
            raise KeyboardInterrupt

    before = set(children())
    result = lanes.run(kill)
    assert [each for each in messages(result) if each[1] < whole.state.programs] == messages(whole)
    assert len(result.accidents) == len(killed) == 1
    assert set(children()) == before


def test_a_finding_waits_for_slower_lanes() -> None:
    lanes = Lanes(replace(UNIT, programs=None), 2)
    ahead, behind = lanes.lanes
    ahead.result.record(record("early", 5))
    lanes.merge()
    assert not lanes.result.messages
    behind.result.record(UnitState(number=2))
    behind.result.record(record("earlier", 4))
    lanes.merge()
    assert [each.number for each in lanes.result.messages] == [4]
    behind.result.record(UnitState(number=4))
    lanes.merge()
    assert [each.number for each in lanes.result.messages] == [4, 5]


def record(signature: str, number: int) -> FindingRecord:
    return FindingRecord(
        Finding(COMMON, signature, "for a test"), "s2fuzz 1\nvm\nslot a size=4K backing=anon\n", number
    )


def test_ctrl_c_ends_all_lanes_and_keeps_their_findings() -> None:
    def interrupt(result: Result) -> None:
        if result.found:
            raise KeyboardInterrupt

    before = children()
    result = run_lanes(replace(UNIT, programs=None), 3, interrupt)
    assert result.interrupted
    assert result.found
    assert children() == before


def test_the_first_mistake_of_a_candidate_is_reported(tmp_path: Path) -> None:
    (tmp_path / "mistaken.py").write_text(MISTAKEN)
    unit = Unit("random", "original", str(tmp_path / "mistaken.py"), 1, programs=40)
    told = []
    for count in (1, 2, 3):
        with pytest.raises(CandidateMistakeError) as caught:
            run_lanes(unit, count)
        told.append(str(caught.value))
    assert "no_such_name" in told[0]
    assert len(set(told)) == 1


def test_a_lane_that_cannot_start_ends_the_others() -> None:
    before = children()
    with pytest.raises(EngineError, match="before it judged anything"):
        run_lanes(Unit("random", "original", "no-such", 1), 2)
    assert children() == before
