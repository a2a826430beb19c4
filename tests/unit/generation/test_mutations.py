# SPDX-License-Identifier: GPL-2.0-only
"""Mutations: their results are valid, each kind changes something, and places next to boundaries are reached."""

import hashlib
import os
import subprocess
import sys
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest

from fuzz.generation import operand_mutations, setting_mutations
from fuzz.generation.editor import ProgramEditor
from fuzz.generation.generator import Generator
from fuzz.generation.mutations import BLOCK_MUTATIONS, LIMIT, MUTATIONS, Mutation, crossover, mutate, repeat_elsewhere
from fuzz.language.operations import OPERATIONS, GuestAccess, HostDiscard, OnCpu, Par
from fuzz.language.program import KIB, MIB, Program, Vm
from fuzz.language.text import load, parse, print_program
from fuzz.language.validate import validate

ROOT = Path(__file__).parents[3]
PAGE = 4 * KIB
KINDS = list(dict.fromkeys((*MUTATIONS, *BLOCK_MUTATIONS)))
RICH = """s2fuzz 1
vm cpus=2 vms=2 manual=on
slot a size=4M backing=thp log=on
slot b size=2M backing=anon vm=1
slot c size=64K backing=device
slot d size=1M backing=thp alias=a
host write a+2M 64K
cpu0 read a+4K
cpu2 write b+8K mmu=off fail=2
cpu1 fetch a+2M
par
  cpu0 write a+8K
  host0 discard a+8K 4K
  cpu1 read a+12K
  switch cpu0 to host0 after lookup 1
  switch host0 to cpu1 after change 1
end
log a get
log a clear 0 256K
log a off
slot b delete
slot b create ipa=8G ro=on
slot c move 16G
cpu1 move 0
table map a+0x1008 100K rw
table relax a+8K rx
hyp map 0 1M 64K rw
host age d+4K 8K flush=off
"""


def program(text: str) -> Program:
    return parse("s2fuzz 1\n" + text)


@pytest.fixture(scope="module")
def programs() -> list[Program]:
    """Return all programs of corpus/ and some of the generator."""
    generator = Generator(7)
    files = sorted((ROOT / "corpus").glob("*/*.s2"))
    assert len(files) > 80
    return [load(path) for path in files] + [generator.next() for _ in range(60)]


def changed(mutation: Mutation, before: Program, seed: int, limit: int = LIMIT) -> Program:
    """Return a program after one mutation."""
    editor = ProgramEditor(before, Random(seed))
    mutation(editor)
    return editor.program(limit)


def test_an_editor_that_changes_nothing(programs: list[Program]) -> None:
    for before in programs:
        limit = max(LIMIT, len(before.operations))
        assert ProgramEditor(before, Random(0)).program(limit) == before


def test_a_slot_larger_than_the_new_address_space_becomes_smaller() -> None:
    editor = ProgramEditor(program("vm ipa=40\nslot a size=16G backing=anon\ncpu0 read a+0\n"), Random(0))
    editor.vm = replace(editor.vm, ipa=32)
    result = editor.program(LIMIT)
    validate(result)
    assert [slot.size <= 1 << 32 for slot in result.slots] == [True]


def test_results_are_valid(programs: list[Program]) -> None:
    random = Random(1)
    for _ in range(2000):
        result = mutate(random.choice(programs), random)
        validate(result)
        assert parse(print_program(result)) == result
    for _ in range(700):
        result = crossover(random.choice(programs), random.choice(programs), random)
        validate(result)


def test_results_of_results_are_valid(programs: list[Program]) -> None:
    random = Random(2)
    for before in programs[::12]:
        result = before
        for _ in range(60):
            result = mutate(result, random)
            validate(result)


@pytest.mark.parametrize("mutation", KINDS, ids=[mutation.__name__ for mutation in KINDS])
def test_every_kind_is_valid_and_changes_something(mutation: Mutation, programs: list[Program]) -> None:
    before = parse(RICH)
    results = [changed(mutation, before, seed) for seed in range(30)]
    results += [changed(mutation, each, seed) for seed, each in enumerate(programs)]
    for result in results:
        validate(result)
    assert sum(result != before for result in results[:30]) >= 10


def test_a_mutation_almost_always_changes_the_program(programs: list[Program]) -> None:
    random = Random(3)
    same = 0
    for _ in range(300):
        before = random.choice(programs)
        same += mutate(before, random) == before
    assert same <= 3


def test_a_program_without_operations() -> None:
    bare = program("vm\nslot a size=4K backing=device\n")
    for seed in range(200):
        validate(mutate(bare, Random(seed)))
        validate(crossover(bare, bare, Random(seed)))
    assert any(mutate(bare, Random(seed)).operations for seed in range(20))


def sequence(seed: int) -> str:
    """Return a hash over the results of many mutations in a row."""
    random = Random(seed)
    whole = hashlib.sha256()
    result, other = parse(RICH), Generator(9).next()
    for _ in range(60):
        result = crossover(mutate(result, random), other, random)
        whole.update(print_program(result).encode())
    return whole.hexdigest()


def test_the_same_random_state_has_the_same_results() -> None:
    assert sequence(1) == sequence(1) != sequence(2)
    for hash_seed in ("0", "1"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "tests.unit.generation.test_mutations"]
        run = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, check=True, text=True)
        assert run.stdout.strip() == sequence(1)


@pytest.mark.parametrize("limit", [1, 20, LIMIT])
def test_results_respect_the_limit(limit: int) -> None:
    access = GuestAccess(0, "read", "a", 0)
    before = Program(Vm(), parse(RICH).slots[:1], (access,) * 500)
    random = Random(4)
    for _ in range(30):
        assert len(mutate(before, random, limit).operations) <= limit
        assert len(crossover(before, before, random, limit).operations) <= limit


def test_every_operation_and_setting_is_reached() -> None:
    random = Random(5)
    kinds: set[type] = set()
    values: dict[str, set[Any]] = {field.name: set() for field in fields(Vm)}
    before = program("vm\nslot a size=4M backing=thp log=on\ncpu0 read a+0\n")
    for _ in range(300):
        result = before
        for _ in range(10):
            result = mutate(result, random)
            kinds.update(type(operation) for operation in result.operations)
            for name, seen in values.items():
                seen.add(getattr(result.vm, name))
    assert kinds == {*OPERATIONS, Par}
    assert len(values.pop("ipa")) > 5
    assert len(values.pop("contended")) > 3
    assert {name: len(seen) for name, seen in values.items()} == {
        "granule": 3, "cpus": 3, "vms": 2, "fwb": 2, "dic": 2, "ttl": 2, "range": 2, "haf": 2, "manual": 3, "fail": 4,
        "resched": 4,
        # Only some versions have these settings; mutations do not change them.
        "split": 1, "ring": 1, "bitmap": 1, "grace": 1, "pa": 1, "mte": 1, "bbm": 1, "nested": 1, "stage2": 1,
    }  # fmt: skip


def offsets(before: Program, mutation: Mutation, rounds: int = 400) -> set[int]:
    """Return the offsets of the results' accesses."""
    found: set[int] = set()
    for seed in range(rounds):
        for operation in changed(mutation, before, seed).operations:
            if isinstance(operation, GuestAccess):
                found.add(operation.offset)
    return found


def test_the_pages_before_and_after() -> None:
    found = offsets(program("vm\nslot a size=4M backing=thp\ncpu0 read a+700K\n"), operand_mutations.change_page)
    assert {700 * KIB - PAGE, 700 * KIB + PAGE} <= found


def test_the_pages_around_every_boundary() -> None:
    """Check the ends of ranges and the edges of the slot and of blocks, in guest and in host addresses."""
    before = program(
        "vm\nslot a ipa=0x40180000 size=4M backing=thp offset=256K\nhost discard a+800K 100K\ncpu0 read a+2048K\n"
    )
    found = offsets(before, operand_mutations.change_page, 2500)
    edges = [0, 800 * KIB, 900 * KIB, 4 * MIB, 512 * KIB, 2 * MIB + 512 * KIB, 2 * MIB - 256 * KIB]
    for edge in edges:
        for place in (edge - PAGE, edge, edge + PAGE):
            if 0 <= place < 4 * MIB:
                assert place in found, (edge, place)


def test_ranges_end_around_every_boundary() -> None:
    before = program("vm\nslot a size=4M backing=thp\nhost discard a+400K 100K\ncpu0 read a+2M\n")
    ends = set()
    for seed in range(1500):
        operation = changed(operand_mutations.change_size, before, seed).operations[0]
        assert isinstance(operation, HostDiscard)
        assert operation.offset == 400 * KIB
        ends.add(operation.offset + operation.size)
    for edge in (500 * KIB, 2 * MIB, 4 * MIB):
        assert {place for place in (edge - PAGE, edge, edge + PAGE) if place <= 4 * MIB} <= ends


def test_another_vcpu_of_the_same_vm_repeats() -> None:
    before = program("vm cpus=2 vms=2\nslot a size=4M backing=thp vm=1\ncpu3 write a+8K\n")
    for seed in range(10):
        first, second = changed(repeat_elsewhere, before, seed).operations
        assert isinstance(first, OnCpu)
        assert isinstance(second, OnCpu)
        assert (first.cpu, second.cpu) == (3, 2)
        assert first != second


def test_operations_on_a_dropped_slot_move_to_another() -> None:
    before = program("vm\nslot a size=4M backing=thp\nslot b size=1M backing=thp alias=a\ncpu0 read a+4K\n")
    for seed in range(10):
        after = changed(setting_mutations.drop_slot, before, seed)
        assert [slot.alias for slot in after.slots] == [""]
        assert len(after.operations) == 1


def test_crossover_mixes_both_programs() -> None:
    a = program("vm cpus=1\nslot a size=4M backing=thp\n" + "cpu0 read a+0\n" * 10)
    b = program("vm cpus=3\nslot x size=2M backing=anon\n" + "cpu2 write x+1M\n" * 10)
    results = [crossover(a, b, Random(seed)) for seed in range(50)]
    kinds = [
        [operation.kind for operation in result.operations if isinstance(operation, GuestAccess)] for result in results
    ]
    assert any(set(each) == {"read", "write"} for each in kinds)
    # The second program is spliced in, followed by the end of the first one.
    assert any(pair == ("write", "read") for each in kinds for pair in pairwise(each))
    assert all(result.vm == a.vm and result.slots[0] == a.slots[0] for result in results)


def test_crossover_includes_the_slots() -> None:
    a, b = program("vm\nslot a size=4M backing=thp\n"), parse(RICH)
    assert {len(crossover(a, b, Random(seed)).slots) for seed in range(50)} == {1, 4}


if __name__ == "__main__":
    print(sequence(1))
