# SPDX-License-Identifier: GPL-2.0-only
"""Judging two trees once, where they do the same, gives the verdicts of judging both."""

from pathlib import Path

import pytest

import candidate
from candidate.tree.building.source import KVM_MAIN, PGTABLE
from candidate.tree.runtime import process, records
from fuzz.generation.generator import Generator
from fuzz.judging.differential import Differential
from fuzz.judging.once import judge_once
from fuzz.judging.verdict import Verdict
from fuzz.language.program import Program

from .test_planted import PLANTED
from .trees import planted, version

PROGRAMS = 40
MISTAKES = ("a put dropped", "a clean dropped", "an off-by-one")


def told(verdict: Verdict) -> tuple[object, ...]:
    """Everything that a verdict says."""
    findings = [(each.kind, each.signature, each.reason, each.at) for each in verdict.findings]
    return findings, len(verdict.consequences), verdict.costs, verdict.features, verdict.refused


@pytest.mark.parametrize("mistake", [*MISTAKES, ""])
def test_verdicts(mistake: str, tmp_path: Path) -> None:
    reference = candidate.get(version("6.12"))
    other = candidate.get(planted("6.12", tmp_path / "tree", *PLANTED[mistake][:3])) if mistake else reference
    once, twice = (Differential(reference, other, measure=True, features=True) for _ in range(2))
    assert once.once
    twice.once = False
    generator, failed = Generator(3), 0
    for _ in range(PROGRAMS):
        program = generator.next()
        verdict = once.run(program)
        failed += verdict.failed
        assert told(verdict) == told(twice.run(program))
    assert bool(failed) == bool(mistake)


def calm(program: Program) -> bool:
    """Return whether a program shows nothing on the tree alone."""
    tree = candidate.get(version("6.12"))
    return judge_once(tree, tree, program, False, False) is not None


@pytest.mark.parametrize(
    ("file", "text", "instead"),
    [
        (
            PGTABLE,
            "\tif (!stage2_pte_needs_update(ctx->old, new))",
            "\tdsb(ishst);\n\tif (!stage2_pte_needs_update(ctx->old, new))",
        ),
        # User space is told this, and no record has it.
        (KVM_MAIN, "dirty_bitmap_buffer[i] = mask;", "dirty_bitmap_buffer[i] = mask | 1UL << 63;"),
    ],
    ids=["record", "dirty log"],
)
def test_difference_is_seen(file: str, text: str, instead: str, tmp_path: Path) -> None:
    """Every difference ends the judging of one side alone."""
    tree, other = candidate.get(version("6.12")), candidate.get(planted("6.12", tmp_path / "tree", file, text, instead))
    generator = Generator(3)
    programs = [program for program in (generator.next() for _ in range(4 * PROGRAMS)) if calm(program)]
    assert len(programs) > PROGRAMS
    assert any(judge_once(tree, other, program, False, False) is None for program in programs)


@pytest.mark.parametrize("mistake", ["a put dropped", ""])
def test_what_ran_is_counted_once(mistake: str, tmp_path: Path) -> None:
    """A program that is judged again in full counts as one that is judged in full at once."""
    reference = candidate.get(version("6.12"))
    other = candidate.get(planted("6.12", tmp_path / "tree", *PLANTED[mistake][:3])) if mistake else reference
    generator, differential = Generator(3), Differential(reference, other)
    programs = [generator.next() for _ in range(PROGRAMS // 4)]
    counted, failed = [], 0
    # In the first turn processes start, which counts too.
    for once in (False, False, True):
        differential.once = once
        before = process.counts()
        failed = sum(differential.run(program).failed for program in programs)
        counted.append(process.counts())
        counted[-1].take_away(before)
    assert counted[1].by_library == counted[2].by_library
    assert any(any(counters) for counters in counted[2].by_library.values())
    assert bool(failed) == bool(mistake)


def test_a_script_begins_anew_where_it_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """In plain Python; compiled code has the bounds of a script built in."""
    tree = candidate.get(version("6.12"))
    monkeypatch.setattr(records, "SHARED_BYTES", records.STEPS_AT + 20 * records.STEP_BYTES)
    once, twice = (Differential(tree, tree, measure=True, features=True) for _ in range(2))
    twice.once = False
    generator = Generator(5)
    for program in [generator.next() for _ in range(6)]:
        assert told(once.run(program)) == told(twice.run(program))
    assert once.again < 6
