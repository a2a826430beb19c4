# SPDX-License-Identifier: GPL-2.0-only
"""Changes of programs that mostly keep their meaning: one operation, operand or setting at a time.

A result that is not legal is repaired (`fuzz.language.repair`), never refused.
"""

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any, Final

from ..language.inside import changed_in, renumbered
from ..language.operands import FIELDS
from ..language.operations import GuestMove, OnCpu, Operation, VmEnd
from ..language.program import Program, has_blocks
from . import block_mutations as blocks
from . import operand_mutations as operands
from . import setting_mutations as settings
from .editor import ProgramEditor
from .generator import noise
from .motifs import MOTIFS

# Maximum number of operations of a result.
LIMIT: Final = 200
# The number of changes at a time: one stays closer to the program, many find more new features.
_CHANGES: Final = (1, 1, 2, 2, 3, 4, 6, 8, 12)
# Longer programs are shortened most of the time: a violation late in a program often
# follows from an earlier one, and then does not count.
_LONG: Final = 20
# Percentage of changes of a program with par blocks that change a block.
_OF_BLOCKS: Final = 50
# Number of attempts where a change has no effect.
_TRIES: Final = 8

Mutation = Callable[[ProgramEditor], None]


def insert(editor: ProgramEditor) -> None:
    """Insert an operation, most often near the places of others."""
    at = editor.position()
    builder = editor.builder(at)
    for _ in range(_TRIES):
        noise(builder, 1, 40)
        if len(builder.operations) > at:
            break
    editor.operations[at:at] = builder.operations[at:]


def insert_motif(editor: ProgramEditor) -> None:
    """Insert one of the generator's motifs, or some of its noise."""
    at = editor.position()
    builder = editor.builder(at)
    if builder.chance(15):
        noise(builder, builder.random.randrange(2, 6))
    else:
        builder.random.choice(MOTIFS)(builder, builder.last[0] if builder.chance(60) else builder.pick_slot())
    editor.operations[at:at] = builder.operations[at:]


def delete(editor: ProgramEditor) -> None:
    """Delete an operation, or a few consecutive ones."""
    start, end = editor.consecutive(1 if editor.chance(60) else 8)
    del editor.operations[start:end]


def duplicate(editor: ProgramEditor) -> None:
    """Repeat a few operations, right after themselves or anywhere."""
    start, end = editor.consecutive()
    at = end if editor.chance(40) else editor.position()
    editor.operations[at:at] = editor.operations[start:end]


def swap(editor: ProgramEditor) -> None:
    """Swap two operations, neighbours most often."""
    if len(editor.operations) > 1:
        a = editor.random.randrange(len(editor.operations) - 1)
        b = a + 1 if editor.chance(60) else editor.random.randrange(len(editor.operations))
        editor.operations[a], editor.operations[b] = editor.operations[b], editor.operations[a]


def move(editor: ProgramEditor) -> None:
    """Move a few operations elsewhere."""
    start, end = editor.consecutive(4)
    moved = editor.operations[start:end]
    del editor.operations[start:end]
    at = editor.position()
    editor.operations[at:at] = moved


def end_vm(editor: ProgramEditor) -> None:
    """End one of several VMs, while others continue."""
    if editor.vm.vms > 1:
        editor.operations.insert(editor.position(), VmEnd(editor.random.randrange(editor.vm.vms)))


def repeat_elsewhere(editor: ProgramEditor) -> None:
    """Let another vCPU run the same operation, immediately or a little later."""
    at = editor.pick(OnCpu)
    if at >= 0:
        operation: Any = editor.operations[at]
        later = min(at + editor.random.choice((1, 1, 2, 4)), len(editor.operations))
        editor.operations.insert(later, replace(operation, cpu=editor.another_cpu(operation)))


def other_operations(editor: ProgramEditor, donor: Program) -> list[Operation]:
    """Return the operations of another program, on the slots and vCPUs of this one."""
    names = {slot.name: editor.slots[at % len(editor.slots)].name for at, slot in enumerate(donor.slots)}
    vm = editor.vm

    def number_of(cpu: int) -> int:
        return cpu % (vm.cpus * vm.vms)

    def taken(operation: Operation) -> Operation:
        changed: Any = operation
        if "slot" in FIELDS[type(operation)]:
            changed = replace(changed, slot=names[changed.slot])
        if isinstance(operation, OnCpu):
            changed = replace(changed, cpu=number_of(operation.cpu))
        if isinstance(operation, GuestMove):
            changed = replace(changed, to=operation.to % vm.cpus)
        same: Operation = changed
        return same

    return [renumbered(each, number_of) for each in changed_in(donor.operations, taken)]


MUTATIONS: Final[tuple[Mutation, ...]] = (
    *(insert, operands.change_page, operands.change_page, operands.change_operand) * 3,
    *(insert_motif,) * 4,
    *(delete, duplicate, swap, repeat_elsewhere) * 2,
    *(operands.change_kind, operands.same_place, operands.change_size) * 2,
    *(blocks.add_block,) * 3,
    blocks.gather,
    move,
    end_vm,
    operands.change_slot,
    settings.change_vm,
    settings.change_vm,
    settings.change_slot,
    settings.add_slot,
    settings.drop_slot,
)
# Mutations of a program with par blocks.
BLOCK_MUTATIONS: Final[tuple[Mutation, ...]] = (*(blocks.change_block,) * 15, blocks.take_apart)
# Mutations that need a valid program.
_DRAFTING: Final = (insert, insert_motif, blocks.add_block, blocks.change_block)


def mutate(program: Program, random: Random, limit: int = LIMIT) -> Program:
    """Return another valid program, after one change or a few.

    :param program: a valid program
    :param random: the same state makes the same changes
    :param limit: maximum number of operations of the result
    """
    result = program
    for _try in range(_TRIES):
        editor = ProgramEditor(program, random)
        valid = True
        if len(program.operations) > _LONG and random.randrange(4):
            shorten(editor)
            valid = False
        for _ in range(random.choice(_CHANGES)):
            of_block = has_blocks(program) and random.randrange(100) < _OF_BLOCKS
            mutation = random.choice(BLOCK_MUTATIONS if of_block else MUTATIONS)
            if mutation in _DRAFTING and not valid:
                editor = ProgramEditor(editor.program(limit), random)
            mutation(editor)
            valid = False
        result = editor.program(limit)
        if result != program:
            break
    return result


def shorten(editor: ProgramEditor) -> None:
    """Keep about half of the operations: consecutive ones, or each with its own chance."""
    operations = editor.operations
    half = len(operations) // 2
    if editor.chance(50):
        start = editor.random.randrange(half + 1)
        editor.operations = operations[start : start + half]
    else:
        editor.operations = [operation for operation in operations if editor.chance(50)]


def crossover(a: Program, b: Program, random: Random, limit: int = LIMIT) -> Program:
    """Return a valid program on the machine of *a*: the beginning of its operations, some of *b*, and perhaps its end.

    :param a: a valid program, like *b*
    :param random: the same state makes the same result
    :param limit: maximum number of operations of the result
    """
    editor = ProgramEditor(a, random)
    if random.randrange(3) == 0:
        settings.take_slots(editor, b)
    mine, theirs = editor.operations, other_operations(editor, b)
    cut = random.randrange(len(mine) + 1)
    start = random.randrange(len(theirs) + 1)
    end = random.randrange(start, len(theirs) + 1) if random.randrange(2) else len(theirs)
    rest = mine[cut:] if random.randrange(2) else []
    editor.operations = mine[:cut] + theirs[start:end] + rest
    return editor.program(limit)
