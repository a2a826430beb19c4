# SPDX-License-Identifier: GPL-2.0-only
"""Programs of trees that are judged beside each other have the verdicts that each has alone, in their order."""

from dataclasses import replace
from pathlib import Path

import pytest

import candidate
from candidate.tree.building.source import PGTABLE
from candidate.tree.lines.counts import CodeCounts
from candidate.tree.runtime import pool
from candidate.tree.runtime.meanwhile import MEANWHILE
from fuzz.engines.drivers import run_here
from fuzz.engines.unit import Message, Unit, UnitState
from fuzz.findings.record import FindingRecord
from fuzz.generation.capabilities import Offers
from fuzz.generation.generator import Generator
from fuzz.judging.differential import Differential
from fuzz.judging.overlap import TREES, Overlap
from fuzz.judging.verdict import Verdict
from fuzz.language.program import Program, has_blocks

from .test_crashes import PLACE
from .test_planted import PLANTED
from .trees import planted, version

PROGRAMS = 30
# A crash where a page is unmapped.
CRASH = (PGTABLE, PLACE, "\tBUG_ON(ctx->level == 3);\n" + PLACE)


def drawn(seed: int) -> list[Program]:
    """Programs of a seed, some of them with par blocks."""
    generator = Generator(seed, offers=Offers(par=True))
    programs = [generator.next() for _ in range(PROGRAMS)]
    assert any(has_blocks(program) for program in programs)
    return programs


def told(verdict: Verdict) -> tuple[object, ...]:
    """Everything that a verdict says."""
    findings = [(each.kind, each.signature, each.reason, each.at) for each in verdict.findings]
    consequences = [(side, violation.signature) for side, violation in verdict.consequences]
    return findings, consequences, verdict.costs, verdict.features, verdict.refused, ran(verdict.counts)


def ran(counts: CodeCounts) -> dict[str, bytes]:
    """Return the counters of code, by library."""
    return dict(counts.by_library)


def other(change: str, tmp_path: Path) -> str:
    """The name of a changed tree."""
    planting = CRASH if change == "a crash" else PLANTED[change][:3]
    return planted("6.12", tmp_path / "tree", *planting)


@pytest.mark.parametrize("change", ["a put dropped", "a crash"])
def test_verdicts(change: str, tmp_path: Path) -> None:
    versions = candidate.get(version("6.12")), candidate.get(other(change, tmp_path))
    programs = drawn(5)
    alone = Differential(*versions, features=True)
    expected = []
    for number, program in enumerate(programs):
        alone.measure = number % 3 == 0
        expected.append(told(alone.run(program)))
    beside = Overlap(Differential(*versions, features=True))
    assert beside.room == TREES
    found: list[tuple[object, ...]] = []
    left = list(enumerate(programs))
    while len(found) < len(programs):
        while left and len(beside.under_way) < beside.room:
            number, program = left.pop(0)
            beside.differential.measure = number % 3 == 0
            beside.add(program)
        found.append(told(beside.take()))
    assert found == expected
    assert any(each[0] for each in found)
    assert MEANWHILE.turn is None


def messages(unit: Unit) -> list[tuple[object, ...]]:
    """The findings that a unit tells of, in order, and its last state."""
    told: list[Message] = []
    run_here(unit, told.append)
    found: list[tuple[object, ...]] = [
        (each.finding.title, each.program, each.number) for each in told if isinstance(each, FindingRecord)
    ]
    state = [each for each in told if isinstance(each, UnitState)][-1]
    return [*found, (state.programs, state.operations, state.counts, state.refused, state.costs)]


@pytest.mark.parametrize("until", [False, True])
def test_unit(until: bool, tmp_path: Path) -> None:
    """A unit tells of the same, whether programs are judged beside each other or not; so does one that ends early."""
    unit = Unit("random", version("6.12"), other("a put dropped", tmp_path), 4, programs=PROGRAMS)
    expected = messages(replace(unit, alone=True))
    assert len(expected) > 1
    if until:
        unit = replace(unit, until=str(expected[0][0]))
        before = ran(pool.counts())
        expected = messages(replace(unit, alone=True))
        between = ran(pool.counts())
        assert messages(unit) == expected
        # What was begun behind the finding counts for nothing.
        assert grown(between, ran(pool.counts())) == grown(before, between)
    else:
        assert messages(unit) == expected


def grown(before: dict[str, bytes], after: dict[str, bytes]) -> dict[str, list[int]]:
    """Return the growth of the counters of code, by library."""
    return {
        library: [
            now - then
            for now, then in zip(
                memoryview(counters).cast("Q"),
                memoryview(before.get(library, bytes(len(counters)))).cast("Q"),
                strict=True,
            )
        ]
        for library, counters in after.items()
    }


def test_counts_of_those_under_way() -> None:
    """Programs that are over count while their process serves another one."""
    tree = candidate.get(version("6.12"))
    beside = Overlap(Differential(tree, tree))
    programs = drawn(6)
    for processes_start in (True, False):
        first = last = all_counts()
        told, left = 0, programs.copy()
        while left or beside.under_way:
            while left and len(beside.under_way) < beside.room:
                beside.add(left.pop(0))
            told += sum(map(total, ran(beside.take().counts).values()))
            # Some may be of the next program, which is over too.
            assert all_counts() >= last
            last = all_counts()
        # Those of their start count too.
        assert processes_start or last - first == told > 0


def all_counts() -> int:
    """All counters of all trees together."""
    return sum(map(total, ran(pool.counts()).values()))


def total(counters: bytes) -> int:
    """All counters together."""
    return sum(memoryview(counters).cast("Q"))


def test_error() -> None:
    """An error of one program is raised when that is taken, and is no other's."""
    tree = candidate.get(version("6.12"))
    beside = Overlap(Differential(tree, tree))
    program = drawn(6)[0]
    broken = replace(program, operations=(*program.operations, None))  # type: ignore[arg-type]
    for each in (program, broken):
        beside.add(each)
    assert not beside.take().findings
    with pytest.raises(Exception, match="None"):
        beside.take()
    beside.add(program)
    assert not beside.take().findings
