# SPDX-License-Identifier: GPL-2.0-only
"""A pair of trees judged once where both behave identically gets the same verdicts as when both are judged."""

from pathlib import Path

import pytest

import candidate
from candidate.tree.building.source import KVM_MAIN, MMU, PGTABLE
from candidate.tree.runtime import records
from candidate.tree.runtime.pool import POOL
from candidate.tree.runtime.versions import TreePgtable
from fuzz.generation.generator import Generator
from fuzz.judging.differential import Differential
from fuzz.judging.once import judge_once
from fuzz.judging.verdict import Verdict
from fuzz.language.program import Program

from .test_planted import PLANTED
from .trees import planted, version

PROGRAMS = 40
MISTAKES = ("a put dropped", "a clean dropped", "an off-by-one")
UPDATE = "\tif (!stage2_pte_needs_update(ctx->old, new))"
SPLIT = "\t\t.arg\t= mc,\n\t};\n\tint ret;\n\n\tret = kvm_pgtable_walk(pgt, addr, size, &walker);\n\tdsb(ishst);\n"
# Changes that do not affect the behaviour of a tree: in code that programs run, in code that none runs, in no code.
HARMLESS = {
    "code that runs": (PGTABLE, UPDATE, "\tif (ctx->level > 9 || !stage2_pte_needs_update(ctx->old, new))"),
    # Eager splitting, which these programs do not use.
    "code that is idle": (PGTABLE, SPLIT, SPLIT + "\tdsb(ishst);\n"),
    "lines": (MMU, "static int user_mem_abort(", "\n/* Lower. */\n\nstatic int user_mem_abort("),
}


def told(verdict: Verdict) -> tuple[object, ...]:
    """Return the contents of a verdict."""
    findings = [(each.kind, each.signature, each.reason, each.at) for each in verdict.findings]
    return findings, len(verdict.consequences), verdict.costs, verdict.features, verdict.refused


@pytest.mark.parametrize("change", [*MISTAKES, *HARMLESS, ""])
def test_verdicts(change: str, tmp_path: Path) -> None:
    reference = other = candidate.get(version("6.12"))
    if change:
        planting = HARMLESS.get(change) or PLANTED[change][:3]
        other = candidate.get(planted("6.12", tmp_path / "tree", *planting))
    once, twice = (Differential(reference, other, measure=True, features=True) for _ in range(2))
    assert once.once
    twice.once = False
    generator, failed = Generator(3), 0
    for _ in range(PROGRAMS):
        program = generator.next()
        verdict = once.run(program)
        failed += verdict.failed
        assert told(verdict) == told(twice.run(program))
    assert bool(failed) == (change in MISTAKES)
    assert (once.again > 0) == (change in MISTAKES)


def calm(program: Program) -> bool:
    """Return whether a program shows nothing on the tree alone."""
    tree = candidate.get(version("6.12"))
    verdict = judge_once(tree, tree, program, False, False)
    return verdict is not None and not verdict.findings


@pytest.mark.parametrize(
    ("file", "text", "instead"),
    [
        (
            PGTABLE,
            UPDATE,
            "\tdsb(ishst);\n\tif (!stage2_pte_needs_update(ctx->old, new))",
        ),
        # User space receives this value, but no record has it.
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


@pytest.mark.parametrize(("change", "runs"), [("code that runs", True), ("code that is idle", False), ("lines", False)])
def test_a_twin_runs_where_its_code_may_differ(change: str, runs: bool, tmp_path: Path) -> None:
    tree = candidate.get(version("6.12"))
    other = candidate.get(planted("6.12", tmp_path / "tree", *HARMLESS[change]))
    generator = Generator(3)
    programs = [program for program in (generator.next() for _ in range(PROGRAMS)) if calm(program)]
    # Other tests have run the same libraries.
    POOL.forget()
    for program in programs:
        assert judge_once(tree, other, program, False, False) is not None
    assert issubclass(other.pgtable, TreePgtable)
    names = {str(other.pgtable.library(granule)) for granule in (12, 14, 16)}
    twins = [each for each in POOL.idle() if str(each.library) in names]
    assert twins
    assert any(each.totals() != each.began for each in twins) == runs


@pytest.mark.parametrize("mistake", ["a put dropped", ""])
def test_what_ran_is_counted_once(mistake: str, tmp_path: Path) -> None:
    """A program that is judged again in full counts as one that is judged in full at once."""
    reference = candidate.get(version("6.12"))
    other = candidate.get(planted("6.12", tmp_path / "tree", *PLANTED[mistake][:3])) if mistake else reference
    generator, differential = Generator(3), Differential(reference, other)
    programs = [generator.next() for _ in range(PROGRAMS // 4)]
    counted, failed = [], 0
    # In the first round, starting processes adds counts.
    for once in (False, False, True):
        differential.once = once
        before = POOL.counts()
        failed = sum(differential.run(program).failed for program in programs)
        counted.append(POOL.counts())
        counted[-1].take_away(before)
    assert counted[1].by_library == counted[2].by_library
    assert any(any(counters) for counters in counted[2].by_library.values())
    assert bool(failed) == bool(mistake)


def test_a_full_script_begins_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """This runs in plain Python only, since compiled code has fixed bounds of a script."""
    tree = candidate.get(version("6.12"))
    other = candidate.get(planted("6.12", tmp_path / "tree", *HARMLESS["code that runs"]))
    monkeypatch.setattr(records, "SCRIPT_END", records.STEPS_AT + 20 * records.STEP_BYTES)
    once, twice = (Differential(tree, other, measure=True, features=True) for _ in range(2))
    twice.once = False
    generator = Generator(5)
    for program in [generator.next() for _ in range(6)]:
        assert told(once.run(program)) == told(twice.run(program))
    assert not once.again
