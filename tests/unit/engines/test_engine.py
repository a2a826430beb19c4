# SPDX-License-Identifier: GPL-2.0-only
"""The random engine: it is repeatable, reports each finding once with its smallest program, and survives failures."""

from pathlib import Path

import pytest

from candidate.tree.runtime.errors import TreeNotStartedError
from fuzz.engines.summary import Summary
from fuzz.engines.unit import Message, Unit, UnitState
from fuzz.engines.unit_run import UnitRun
from fuzz.findings.finding_files import UNREPLAYED
from fuzz.findings.record import FindingRecord
from fuzz.findings.severity import weight
from fuzz.generation.capabilities import Offers
from fuzz.generation.generator import Generator
from fuzz.judging.differential import CLASSES, Differential, Finding, Verdict
from fuzz.language.program import Program
from fuzz.language.text import load, parse, print_program
from fuzz.reports.report import no_verdict, refused_lines
from fuzz.sides.side import Side

from ..run_here import run_here
from .random_session import EMPTY, ORIGINAL, PROGRAMS, RFC_V1, session


def comparable(summary: Summary) -> list[tuple[str, str, str, int, int, str]]:
    return [(f.kind, f.signature, f.reason, f.number, f.count, print_program(f.program)) for f in summary.findings]


def test_same_seed_same_findings(kept: Summary) -> None:
    assert comparable(session()) == comparable(kept)


def test_another_seed_other_programs(kept: Summary) -> None:
    assert comparable(session(seed=2)) != comparable(kept)


def test_findings_are_distinct_and_in_order_of_weight(kept: Summary) -> None:
    keys = [(CLASSES.index(found.kind), weight(found.signature), found.signature) for found in kept.findings]
    assert keys == sorted(set(keys))
    assert kept.failed


def test_counts_and_smallest_programs_are_those_of_the_programs(kept: Summary) -> None:
    generator = Generator(1, offers=Offers(par=True))
    differential = Differential(ORIGINAL, RFC_V1)
    shown: dict[tuple[str, str], set[tuple[bool, Program]]] = {}
    operations = 0
    for _ in range(PROGRAMS):
        program = generator.next()
        operations += len(program.operations)
        for finding in differential.run(program).findings:
            shown.setdefault(finding.key, set()).add((bool(finding.known), program))
    assert {(found.kind, found.signature): found.count for found in kept.findings} == {
        key: len({program for _, program in programs}) for key, programs in shown.items()
    }
    for found in kept.findings:
        programs = shown[found.finding.key]
        sizes = [(explained, len(p.operations), len(print_program(p))) for explained, p in programs]
        assert found.size() == min(sizes)
    assert (kept.programs, kept.operations) == (PROGRAMS, operations)


def test_a_program_that_no_known_bug_explains_comes_first() -> None:
    """Check that a shorter program that a known bug explains does not hide it."""
    told: list[Message] = []
    unit_run = UnitRun(Unit("random", "original", "rfc-v1", 1, 1), told.append)
    text = print_program(EMPTY)
    unknown, explained = Finding("common", "a: b: c", "why", 0), Finding("common", "a: b: c", "why", 0, "B05")
    for count, findings in ((1, [explained]), (9, [explained, unknown]), (2, [explained])):
        verdict = Verdict()
        verdict.findings += findings
        unit_run.record_verdict(verdict, parse(text + "cpu0 read a+0\n" * count))
    records = [each for each in told if isinstance(each, FindingRecord)]
    assert [(each.finding, each.operations) for each in records] == [(explained, 1), (unknown, 9)]
    assert min(records, key=FindingRecord.size).finding == unknown
    assert unit_run.state.counts == {"common a: b: c": 3}


def test_time_ends_a_session() -> None:
    told: list[Message] = []
    run_here(Unit("random", "original", "rfc-v1", 1, seconds=1e-9), told.append)
    assert isinstance(told[-1], UnitState)
    assert told[-1].programs == 0
    assert told[-1].ended


def test_an_internal_crash_keeps_the_program_and_the_session_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = Differential.run

    def sometimes(self: Differential, program: Program) -> Verdict:
        if len(program.operations) % 2:
            raise IndexError("on purpose")
        return good(self, program)

    monkeypatch.setattr(Differential, "run", sometimes)
    monkeypatch.delenv("S2FUZZ_DEBUG", raising=False)
    summary = session(out=tmp_path)
    assert summary.programs == PROGRAMS
    assert summary.findings
    (crash,) = summary.crashes
    assert "IndexError: on purpose" in crash.reason
    assert crash.path is not None
    assert len(load(crash.path).operations) % 2 == 1


def test_a_crash_of_the_generator_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Generator) -> Program:
        raise RuntimeError("no program")

    monkeypatch.setattr(Generator, "next", fail)
    summary = session(out=tmp_path, programs=2)
    # Replaying the program does not show it again.
    (crash,) = summary.unreplayed
    assert (crash.kind, crash.count, crash.number) == ("crash", 2, 1)
    assert crash.path is not None
    assert crash.path.parent.name == UNREPLAYED
    assert "# seed: 1, program 1" in crash.path.read_text()


def test_a_tree_whose_process_cannot_be_started_gives_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that a limit of the system is neither a finding nor a mistake of s2fuzz."""

    def limited(_: Side) -> int:
        raise TreeNotStartedError("Too many open files")

    monkeypatch.setattr(Side, "create", limited)
    summary = session()
    assert summary.crashes == []
    assert summary.programs == PROGRAMS
    assert summary.refused == {"a process of the kernel tree cannot be started: Too many open files": PROGRAMS}
    assert summary.unknown
    assert no_verdict(summary.programs, summary.refused) == (
        "no verdict: 15 of 15 programs could not be judged; no process of a kernel tree could be started"
    )
    lines = "15 programs without a verdict; a process of the kernel tree cannot be started: Too many open files"
    assert list(refused_lines(summary.refused)) == [lines]
