# SPDX-License-Identifier: GPL-2.0-only
"""Mutations of par blocks: always valid, and aimed at places where actors conflict."""

from random import Random
from typing import Final

import pytest

from fuzz.generation import block_mutations as blocks
from fuzz.generation import schedule_mutations as schedules
from fuzz.generation.block_mutations import CHANGES, Change
from fuzz.generation.editor import ProgramEditor
from fuzz.generation.mutations import crossover, mutate
from fuzz.generation.schedule_mutations import AIMED, RESCHEDULED, neighbour
from fuzz.language.operations import HOSTS, Par, Switch, plain
from fuzz.language.program import Program, has_blocks, sequential
from fuzz.language.text import parse
from fuzz.language.validate import validate
from fuzz.scheduling.steps import STEPS

TRIES: Final = 200
PROGRAM: Final = parse("""s2fuzz 1
vm cpus=3
slot a size=4M backing=anon log=on
cpu0 read a+0
par
  cpu0 write a+0
  host0 discard a+0 4K
  cpu1 read a+4K
  switch cpu0 to host0 after lookup 1
  switch host0 to cpu1 after change 1
end
log a get
""")
KINDS: Final = list(dict.fromkeys(CHANGES))


def block_of(program: Program) -> Par:
    return next(each for each in program.operations if isinstance(each, Par))


BLOCK: Final = block_of(PROGRAM)


def changed(change: Change, seed: int) -> Program:
    """Return the program after one change of its block and repair."""
    editor = ProgramEditor(PROGRAM, Random(seed))
    made = change(editor, BLOCK)
    if made is not None:
        editor.operations[1] = made
    return editor.program(100)


def made_by(change: Change) -> list[Par]:
    """Return the blocks that a change makes from the block, after repair."""
    programs = [changed(change, seed) for seed in range(TRIES)]
    return [block_of(each) for each in programs if has_blocks(each)]


@pytest.mark.parametrize("change", KINDS, ids=[each.__name__ for each in KINDS])
def test_every_change_is_valid_and_changes_something(change: Change) -> None:
    results = [changed(change, seed) for seed in range(TRIES)]
    for result in results:
        validate(result)
    assert sum(result != PROGRAM for result in results) > TRIES // 4
    assert sum(has_blocks(result) for result in results) > TRIES * 9 // 10


def test_a_switch_moves_by_one_place() -> None:
    at = next(at for at, step in enumerate(STEPS) if (step.when, step.point) == ("after", "lookup"))
    moved = {each.switches[0] for each in made_by(schedules.move_switch)}
    switch = BLOCK.switches[0]
    assert {STEPS[at + by].switch(0, HOSTS[0], 1) for by in (-1, 1)} <= moved
    assert Switch(0, HOSTS[0], "after", "lookup", 2) in moved
    for by in (-1, 1):
        assert neighbour(neighbour(switch, by, False), -by, False) == switch


def test_switches_are_put_where_faults_conflict() -> None:
    found = {
        (each.when, each.point, each.count)
        for block in made_by(schedules.aim)
        for each in block.switches
        if each.cpu < 2
    }
    assert {(step.when, step.point, step.number) for step in AIMED} <= found
    of_host = {
        (each.when, each.point) for block in made_by(schedules.aim) for each in block.switches if each.cpu == HOSTS[0]
    }
    assert {("after", "start"), ("after", "change"), ("after", "unlock")} <= of_host


def test_threads_yield_around_a_reschedule() -> None:
    programs = [changed(schedules.aim_at_a_reschedule, seed) for seed in range(TRIES)]
    assert all(each.vm.resched for each in programs)
    found = {(each.when, each.point, each.count) for program in programs for each in block_of(program).switches}
    assert {(step.when, step.point, step.number) for step in RESCHEDULED} <= found


def test_actors_are_added_dropped_and_changed() -> None:
    assert {len(each.actors) for each in made_by(blocks.drop_actor)} == {2}
    assert {3, 4} <= {len(each.actors) for each in made_by(blocks.add_operation)}
    actors = {each.actors for each in made_by(blocks.change_actor)}
    assert {(2, HOSTS[0], 1), (0, HOSTS[1], 1), (0, HOSTS[0], 2)} <= actors
    assert {each.actors[0] for each in made_by(blocks.begin_with_another)} == {0, 1, HOSTS[0]}
    targets = {switch.to for each in made_by(blocks.change_actor) for switch in each.switches if switch.cpu == 0}
    assert targets >= {1, HOSTS[0]}


def test_blocks_are_made_and_dissolved() -> None:
    flat = sequential(PROGRAM)
    for mutation in (blocks.add_block, blocks.gather):
        results = []
        for seed in range(TRIES):
            editor = ProgramEditor(flat, Random(seed))
            mutation(editor)
            results.append(editor.program(100))
            validate(results[-1])
        assert sum(map(has_blocks, results)) > TRIES // 4, mutation.__name__
    editor = ProgramEditor(PROGRAM, Random(1))
    blocks.take_apart(editor)
    assert editor.program(100) == flat


def test_mutation_and_crossover_keep_blocks() -> None:
    random = Random(1)
    kept = crossed = 0
    for _ in range(TRIES):
        made = mutate(PROGRAM, random)
        validate(made)
        kept += has_blocks(made)
        made = crossover(flat_of_two(), PROGRAM, random)
        validate(made)
        crossed += has_blocks(made)
    assert kept > TRIES // 2
    assert crossed > TRIES // 4


def flat_of_two() -> Program:
    """Return another program, of two vCPUs, without a block."""
    return parse("s2fuzz 1\nvm\nslot b size=2M backing=thp\ncpu0 read b+0\ncpu1 write b+0\n")


def test_a_block_moved_to_another_slot_stays_a_block() -> None:
    """Remove the slot of a block: its operations move to the first remaining slot, with the same schedule."""
    editor = ProgramEditor(PROGRAM, Random(1))
    editor.slots = [parse("s2fuzz 1\nvm\nslot b size=4M backing=anon log=on\n").slots[0]]
    block = block_of(editor.program(100))
    assert [plain(each).slot for each in block.operations] == ["b"] * 3
    assert block.switches == BLOCK.switches
