# SPDX-License-Identifier: GPL-2.0-only
"""Situations that single bugs need: the generator makes them, counted over few programs."""

from itertools import pairwise
from typing import Final

import pytest

import candidate
from fuzz.execution.executor import Executor
from fuzz.generation.generator import Generator
from fuzz.language.operations import HypMap, TableMap
from fuzz.language.program import DEVICES, GIB, KIB, Program
from reference.services.errors import ENOMEM
from reference.tlbflush import MAX_TLBI_RANGE_PAGES

PROGRAMS: Final = 600


@pytest.fixture(scope="module")
def programs() -> list[Program]:
    generator = Generator(5)
    return [generator.next() for _ in range(PROGRAMS)]


def count(programs: list[Program], what: str) -> int:
    return sum(what in situations(program) for program in programs)


def situations(program: Program) -> set[str]:
    """Return the names of the situations that the text of a program shows."""
    vm = program.vm
    block = vm.granule * vm.granule // 8
    found: set[str] = set()
    for slot in program.slots:
        if slot.ipa + slot.size == 1 << vm.ipa:
            found.add("a slot that ends with the guest's address space")
        if slot.backing in DEVICES and slot.size >= block:
            found.add("device memory as large as a block")
            found.add(f"such, {'aligned' if slot.ipa % block == slot.offset % block else 'skewed'}")
        if slot.backing == "hugetlb1g" and slot.size >= GIB and slot.ipa % GIB == slot.offset % GIB == 0:
            found.add("memory for a block of 1G")
            found |= {"such, with level hints"} if vm.ttl else set()
        pages = slot.size // vm.granule
        if pages in (64, 2048, 65536):
            found.add("a slot of as many pages as a flush takes")
        if pages in (63, 65, 2047, 2049, 65535, 65537):
            found.add("a page beside that")
        if pages >= MAX_TLBI_RANGE_PAGES:
            found.add("a slot of the most pages that a flush takes, or more")
            found |= {"such, with ranges"} if vm.range else set()
    hyp = [op for op in program.operations if isinstance(op, HypMap)]
    if len(set(hyp)) < len(hyp):
        found.add("the same call for the hypervisor's tables twice")
    maps = [op for op in program.operations if isinstance(op, TableMap)]
    for first, second in pairwise(maps):
        if (first.slot, first.offset, first.size) == (second.slot, second.offset, second.size):
            found.add("a leaf over a leaf" if first.fail is None else "a map that failed, again")
    return found


@pytest.mark.parametrize(
    ("what", "least"),
    [
        ("a slot that ends with the guest's address space", 15),
        ("device memory as large as a block", 8),
        ("such, aligned", 3),
        ("such, skewed", 2),
        ("memory for a block of 1G", 8),
        ("such, with level hints", 2),
        ("a slot of as many pages as a flush takes", 3),
        ("a page beside that", 5),
        ("a slot of the most pages that a flush takes, or more", 4),
        ("such, with ranges", 2),
        ("the same call for the hypervisor's tables twice", 12),
        ("a leaf over a leaf", 30),
        ("a map that failed, again", 30),
    ],
)
def test_situations_are_generated(programs: list[Program], what: str, least: int) -> None:
    assert count(programs, what) >= least


def test_a_map_fails_inside_its_walk_at_several_steps(programs: list[Program]) -> None:
    """Check that a map fails where it needs a table that is missing: at once, or after existing leaves."""
    first = later = 0
    for program in programs:
        if program.vm.granule != 4 * KIB or not any(isinstance(op, TableMap) and op.fail for op in program.operations):
            continue
        executor = Executor(candidate.get("v5.14"), program)
        executor.create()
        for at, op in enumerate(program.operations):
            if executor.dead:
                break
            outcome, _ = executor.step(at)
            if isinstance(op, TableMap) and op.fail and outcome.value == -ENOMEM:
                layout = executor.side.by_name[op.slot]
                start = layout.ipa + op.offset & -program.vm.granule
                mapped = executor.checkers.shadows[layout.slot.vm].leaves_in(start, start + program.vm.granule)
                later += bool(mapped)
                first += not mapped
    assert first >= 5
    assert later >= 2
