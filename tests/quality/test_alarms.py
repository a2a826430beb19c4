# SPDX-License-Identifier: GPL-2.0-only
"""Versions compared with themselves: known bugs explain all findings, and other findings are reported.

`tests.measuring.alarms` does this for any length of time.
"""

import pytest

import candidate
from fuzz.engines.unit_run import offers_of
from fuzz.generation.generator import Generator
from fuzz.judging.differential import Differential
from fuzz.language.program import KIB

from ..measuring.alarms import Alarms, judged_alone


def alarms_of(name: str, seed: int, blocks: bool) -> Alarms:
    version = candidate.get(name)
    return Alarms(version, Generator(seed, offers=offers_of(version)), blocks)


@pytest.mark.parametrize("blocks", [False, True])
@pytest.mark.parametrize("name", ["original", "v5.14"])
def test_known_bugs_explain_all_findings(name: str, blocks: bool) -> None:
    alarms = alarms_of(name, 5, blocks)
    assert [told for _ in range(60) for told in alarms.judge()] == []
    assert alarms.judged == 60
    assert alarms.explained
    assert alarms.repeated >= blocks


def test_an_unexplained_finding_is_reported_once() -> None:
    alarms = alarms_of("rfc-v1", 1, blocks=False)
    told = [each for _ in range(120) for each in alarms.judge()]
    assert len(told) == len(alarms.alarms) > 0
    assert max(alarms.alarms.values()) > 1
    assert any("dcache" in each and "s2fuzz 1\n" in each for each in told)


@pytest.mark.parametrize("name", ["original", "rfc-v1"])
def test_one_side_has_the_verdict_of_both(name: str) -> None:
    version = candidate.get(name)
    generator, both = Generator(6, offers=offers_of(version)), Differential(version, version)
    shown = 0
    for _ in range(60):
        program = generator.next()
        alone, expected = judged_alone(version, program), both.run(program)
        assert alone is not None
        assert (alone.findings, alone.refused) == (expected.findings, expected.refused)
        shown += len(alone.findings)
    assert shown


def test_programs_are_counted_by_granule() -> None:
    version = candidate.get("v5.14")
    alarms = Alarms(version, Generator(5, 64 * KIB, offers_of(version)), blocks=False)
    for _ in range(3):
        alarms.judge()
    assert alarms.granules == {64 * KIB: 3}
    assert "3 programs (3 of 64K)," in alarms.text(0.0)
