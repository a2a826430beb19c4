# SPDX-License-Identifier: GPL-2.0-only
"""Hard programs are minimised, with few runs, to what a person would have written."""

from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any, Final

import pytest

import candidate
from fuzz.generation.generator import Generator
from fuzz.judging.finding import Key
from fuzz.language.program import Program
from fuzz.language.text import print_program
from fuzz.language.validate import validate
from fuzz.minimizing.legal import legal
from fuzz.minimizing.measure import measure
from fuzz.minimizing.minimize import minimized
from fuzz.minimizing.minimizer import Judge, judge_here

ORIGINAL: Final = candidate.get("original")
LONG: Final = 100
# Upper bound on the programs searched for a finding; the rarest one here took 68.
ENOUGH: Final = 300
# Of nineteen long programs tried, the one that took the most needed 149 runs.
RUNS: Final = 500
COALESCING: Final = "regression dcache: stage2_map_walker: table->block after a translation fault, not cleaned"
# Two reads and logging turned off between them; two operations where a direct call mapped the first page.
SMALLEST: Final = 3
VM: Final = ["s2fuzz 1", "vm cpus=1"]
SLOT: Final = "slot a ipa=1G size=2M backing=thp"


def keys(judge: Judge, program: Program) -> set[Key]:
    return {(each.kind, each.signature) for each in judge(program)}


def shows(judge: Judge, generator: Generator, wanted: str) -> tuple[Program, Key]:
    """Return the next program that shows a finding whose title begins with a text, and the finding's key."""
    for _ in range(ENOUGH):
        program = generator.next()
        for key in sorted(keys(judge, program)):
            if " ".join(key).startswith(wanted):
                return program, key
    raise AssertionError(f"no {wanted} in {ENOUGH} programs")


def pieces(generator: Generator, random: Random, program: Program) -> Iterator[list[Any]]:
    """Yield some operations of other programs, on the slots and vCPUs of this one."""
    names = [slot.name for slot in program.slots]
    while True:
        other = generator.next().operations
        start = random.randrange(len(other))
        piece: list[Any] = []
        for operation in other[start : start + 20]:
            each: Any = operation
            if hasattr(each, "slot"):
                each = replace(each, slot=random.choice(names))
            if hasattr(each, "cpu"):
                each = replace(each, cpu=random.randrange(program.vm.cpus * program.vm.vms))
            piece.append(each)
        yield piece


def long_program(judge: Judge, wanted: str, seed: int) -> tuple[Program, Key]:
    """Return a program of `LONG` operations that shows a finding somewhere, and the finding's key."""
    generator, random = Generator(seed), Random(seed)
    program, key = shows(judge, generator, wanted)
    for piece in pieces(generator, random, program):
        at = random.randrange(len(program.operations) + 1)
        operations = [*program.operations[:at], *piece, *program.operations[at:]][:LONG]
        longer = legal(replace(program, operations=tuple(operations)))
        assert longer is not None
        if len(longer.operations) > len(program.operations) and key in keys(judge, longer):
            program = longer
        if len(program.operations) == LONG:
            break
    return program, key


@pytest.mark.parametrize("seed", [1, 4, 7])
def test_the_coalescing_finding_shrinks_to_three_operations_at_most(seed: int) -> None:
    judge = judge_here(ORIGINAL, candidate.get("rfc-v1"))
    program, key = long_program(judge, COALESCING, seed)
    assert len(program.operations) == LONG
    result = minimized(program, key, judge, seconds=None, runs=RUNS)
    assert result.finished
    lines = print_program(result.program).splitlines()
    assert lines[:2] == VM
    assert lines[2].removesuffix(" log=on") == SLOT
    assert len(result.program.operations) <= SMALLEST
    assert key in keys(judge, result.program)


@pytest.mark.parametrize(
    ("name", "wanted", "most"),
    [
        ("rfc-v1", "regression locking: kvm_mmu_topup", 1),
        ("rfc-v1-1", "regression icache: stage2_map_walker: invalidated before the data side", 1),
        ("rfc-v2", "regression icache: stage2_map_walker: executable, not invalidated", 3),
        ("rfc-v1", "common translation: stage2_unmap_walker: still mapped", 2),
        ("v5.14", "common contract: kvm_age_hva_handler: WARN", 1),
        ("v5.14", "common lifetime: stage2_unmap_walker: freed before the flush", 2),
        ("v5.12.9", "cured translation: ", 3),
        ("rfc-v1", "cured memcache: ", 3),
    ],
)
def test_findings_of_random_programs_shrink_to_a_few_operations(name: str, wanted: str, most: int) -> None:
    judge = judge_here(ORIGINAL, candidate.get(name))
    program, key = shows(judge, Generator(3), wanted)
    result = minimized(program, key, judge, seconds=None, runs=RUNS)
    assert result.finished
    small = result.program
    validate(small)
    assert key in keys(judge, small)
    assert len(small.operations) <= most
    assert len(small.slots) == 1
    assert measure(small) < measure(program)
    # Minimising it again changes nothing.
    assert minimized(small, key, judge, seconds=None).program == small
