# SPDX-License-Identifier: GPL-2.0-only
"""The generator: its programs are valid and reach important states, by count."""

from collections import Counter

import pytest

import candidate
from fuzz.checkers.checker import GuestChecker
from fuzz.execution.executor import Executor
from fuzz.generation.generator import Generator
from fuzz.language.bounds import MANUAL
from fuzz.language.operations import OPERATIONS, GuestAccess, SlotRange
from fuzz.language.program import BACKINGS, CACHED, GRANULES, UNCACHED, Program
from fuzz.language.text import parse, print_program
from fuzz.language.validate import validate
from reference.machine.descriptor import KIND_NAMES, kind
from reference.machine.walk import FAULT_NAMES, Walk

PROGRAMS = 300


class Reached(GuestChecker):
    """Counts transitions of entries and faults of accesses."""

    counts: Counter[str]

    def changed(self, ipa: int, level: int, ptep: int, old: int, new: int) -> None:
        before, after = (KIND_NAMES[kind(entry, level, self.granule)] for entry in (old, new))
        if before == "invalid" and old:
            before = "was " + KIND_NAMES[kind(old | 1, level, self.granule)]
        self.counts[f"{before}->{after} L{level}"] += 1

    def translated(self, cpu: int, access: int, ipa: int, walk: Walk) -> None:
        self.counts[f"{FAULT_NAMES[walk.fault]} L{walk.level}"] += 1


@pytest.fixture(scope="module")
def programs() -> list[Program]:
    generator = Generator(1)
    return [generator.next() for _ in range(PROGRAMS)]


@pytest.fixture(scope="module")
def reached(programs: list[Program]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for program in programs:
        executor = Executor(candidate.get("original"), program)
        watcher = Reached(executor.side.guests[0])
        watcher.counts = counts
        executor.checkers.shadows[0].observe(watcher)
        executor.checkers.on_translated[0].append(watcher)
        executor.create()
        for at in range(len(program.operations)):
            executor.step(at)
    return counts


def test_programs_are_valid_and_survive_printing(programs: list[Program]) -> None:
    for program in programs:
        validate(program)
        assert parse(print_program(program)) == program


def test_a_seed_determines_the_programs() -> None:
    first, second, other = Generator(3), Generator(3), Generator(4)
    assert [first.next() for _ in range(5)] == [second.next() for _ in range(5)]
    assert Generator(3).next() != other.next()


def test_every_operation_backing_and_setting(programs: list[Program]) -> None:
    operations = Counter(type(op).__name__ for program in programs for op in program.operations)
    assert set(operations) == {kind.__name__ for kind in OPERATIONS}
    assert min(operations.values()) >= 5, operations
    backings = Counter(slot.backing for program in programs for slot in program.slots)
    # Types of device memory are only drawn if a version is a kernel tree.
    assert set(backings) == set(BACKINGS) - {UNCACHED, CACHED}
    for setting in ("fwb", "dic", "ttl", "range", "haf"):
        assert {getattr(program.vm, setting) for program in programs} == {False, True}
    assert len({program.vm.ipa for program in programs}) >= 12
    assert {program.vm.granule for program in programs} == set(GRANULES)
    assert {program.vm.manual for program in programs} == set(MANUAL)
    assert {program.vm.vms for program in programs} == {1, 2}
    assert {program.vm.resched for program in programs} == {None, 1, 2, 3}
    assert len({program.vm.contended for program in programs}) > 3
    assert any(slot.alias for program in programs for slot in program.slots)
    assert any(isinstance(op, GuestAccess) and op.fail for program in programs for op in program.operations)


@pytest.mark.parametrize("granule", GRANULES)
def test_one_granule(granule: int) -> None:
    generator = Generator(1, granule)
    assert {generator.next().vm.granule for _ in range(20)} == {granule}


def test_aligned_and_skewed_slots(programs: list[Program]) -> None:
    slots = [slot for program in programs for slot in program.slots]
    block = 2 << 20
    assert any(slot.ipa % block == slot.offset % block == 0 for slot in slots)
    assert any(slot.ipa % block == slot.offset % block != 0 for slot in slots)
    assert any(slot.ipa % block != slot.offset % block for slot in slots)
    assert any(slot.size % block for slot in slots)


def test_ranges_aligned_and_misaligned(programs: list[Program]) -> None:
    ranges = [op for program in programs for op in program.operations if isinstance(op, SlotRange)]
    block = 2 << 20
    assert any(op.offset % block == 0 and op.size == block for op in ranges)
    assert any(op.offset % block and op.size > block // 2 for op in ranges)


@pytest.mark.parametrize(
    ("what", "least"),
    [
        ("was table->leaf L2", 30),
        ("was leaf->table L2", 20),
        ("was table->leaf L1", 1),
        ("leaf->invalid L3", 100),
        ("leaf->leaf L2", 10),
        ("leaf->leaf L3", 100),
        ("table->invalid L2", 50),
        ("permission L2", 30),
        ("permission L3", 100),
        ("translation L1", 100),
        ("translation L2", 50),
        ("translation L3", 200),
        ("access L3", 20),
    ],
)
def test_important_states_are_reached(reached: Counter[str], what: str, least: int) -> None:
    assert reached[what] >= least, sorted(reached.items())
