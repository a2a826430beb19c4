# SPDX-License-Identifier: GPL-2.0-only
"""Changes of programs that keep their meaning by and large: one operation, operand or setting at a time.

A result that is not legal is repaired (`fuzz.language.repair`), never refused.
"""

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any, Final

from ..language.operands import FIELDS
from ..language.operations import ACCESS_KINDS, HYP_PROTS, OPERATIONS, PROTS, GuestMove, HypMap, OnCpu, Operation
from ..language.program import Program, sequential
from . import setting_mutations as settings
from .editor import ProgramEditor
from .generator import noise
from .motifs import MOTIFS

# So many operations a result has at most.
LIMIT: Final = 200
# The number of changes at a time: one looks closer, many find more new features.
_CHANGES: Final = (1, 1, 2, 2, 3, 4, 6, 8, 12)
# Longer programs are shortened most of the time: a violation late in a program often only
# follows from an earlier one, and counts for nothing.
_LONG: Final = 20
# The number of attempts where a change changed nothing.
_TRIES: Final = 8

Mutation = Callable[[ProgramEditor], None]


def insert(editor: ProgramEditor) -> None:
    """One more operation, most often near where others are."""
    at = editor.position()
    builder = editor.builder(at)
    for _ in range(_TRIES):
        noise(builder, 1, 40)
        if len(builder.operations) > at:
            break
    editor.operations[at:at] = builder.operations[at:]


def insert_motif(editor: ProgramEditor) -> None:
    """One of the generator's motifs, or some of its noise."""
    at = editor.position()
    builder = editor.builder(at)
    if builder.chance(15):
        noise(builder, builder.random.randrange(2, 6))
    else:
        builder.random.choice(MOTIFS)(builder, builder.last[0] if builder.chance(60) else builder.pick_slot())
    editor.operations[at:at] = builder.operations[at:]


def delete(editor: ProgramEditor) -> None:
    """An operation less, or a few in a row."""
    start, end = editor.run(1 if editor.chance(60) else 8)
    del editor.operations[start:end]


def duplicate(editor: ProgramEditor) -> None:
    """A few operations once more, right behind or anywhere."""
    start, end = editor.run()
    at = end if editor.chance(40) else editor.position()
    editor.operations[at:at] = editor.operations[start:end]


def swap(editor: ProgramEditor) -> None:
    """Two operations change places, neighbours most often."""
    if len(editor.operations) > 1:
        a = editor.random.randrange(len(editor.operations) - 1)
        b = a + 1 if editor.chance(60) else editor.random.randrange(len(editor.operations))
        editor.operations[a], editor.operations[b] = editor.operations[b], editor.operations[a]


def move(editor: ProgramEditor) -> None:
    """A few operations go elsewhere."""
    start, end = editor.run(4)
    moved = editor.operations[start:end]
    del editor.operations[start:end]
    at = editor.position()
    editor.operations[at:at] = moved


def repeat_elsewhere(editor: ProgramEditor) -> None:
    """Another vCPU does the same, at once or a little later."""
    at = editor.pick(OnCpu)
    if at >= 0:
        operation: Any = editor.operations[at]
        behind = min(at + editor.random.choice((1, 1, 2, 4)), len(editor.operations))
        editor.operations.insert(behind, replace(operation, cpu=editor.another_cpu(operation)))


def change_slot(editor: ProgramEditor) -> None:
    """An operation, or a few in a row, on another slot."""
    at = editor.pick_with("slot")
    if at < 0:
        return
    slot = editor.slot_of(editor.operations[at])
    other = editor.other(editor.slots, slot)
    for near in range(at, at + editor.random.choice((1, 1, 3))):
        if near < len(editor.operations) and "slot" in FIELDS[type(editor.operations[near])]:
            editor.change(near, slot=other.name)


def change_page(editor: ProgramEditor) -> None:
    """An operation begins at, before or behind something that is there already; a range may keep its end."""
    at = editor.pick_with("offset")
    slot = editor.slot_of(editor.operations[at]) if at >= 0 else None
    if slot is None:
        return
    operation: Any = editor.operations[at]
    offset = editor.step(operation.offset) if editor.chance(50) else editor.near_boundary(slot)
    offset = min(offset, slot.size - 1)
    editor.change(at, offset=offset)
    if "size" in FIELDS[type(operation)] and editor.chance(50):
        editor.change(at, size=max(1, operation.offset + operation.size - offset))


def change_size(editor: ProgramEditor) -> None:
    """A range ends at, before or behind something that is there already."""
    at = editor.pick_with("size")
    if at < 0:
        return
    operation: Any = editor.operations[at]
    slot = editor.slot_of(operation)
    if slot is None or editor.chance(50):
        editor.change(at, size=max(1, editor.step(operation.size)))
    else:
        editor.change(at, size=max(1, editor.near_boundary(slot) - operation.offset))


def same_place(editor: ProgramEditor) -> None:
    """An operation where another one is."""
    at, model = editor.pick_with("offset"), editor.pick_with("offset")
    if at >= 0:
        there: Any = editor.operations[model]
        editor.change(at, slot=there.slot, offset=there.offset)
        if "size" in FIELDS[type(editor.operations[at])]:
            editor.change(at, size=getattr(there, "size", editor.page))


def change_operand(editor: ProgramEditor) -> None:
    """Another vCPU, access, permission, flag, failure or address."""
    at = editor.pick()
    if at < 0:
        return
    operation = editor.operations[at]
    names = [name for name in FIELDS[type(operation)] if name not in ("slot", "offset", "size")]
    if names:
        name = editor.random.choice(names)
        editor.change(at, **{name: value(editor, type(operation), name, getattr(operation, name))})


def change_kind(editor: ProgramEditor) -> None:
    """Another operation at the same place."""
    at = editor.pick()
    if at < 0:
        return
    old = editor.operations[at]
    make: Any = editor.other(OPERATIONS, type(old))
    values: dict[str, Any] = {}
    for name in FIELDS[make]:
        kept = getattr(old, name, None) if name not in ("prot", "kind") else None
        values[name] = value(editor, make, name, None) if kept is None else kept
    editor.put(at, make(**values))


def value(editor: ProgramEditor, make: type, name: str, old: Any) -> Any:
    """Another value for a field of a kind of operation; *old* None: any."""
    random, vm = editor.random, editor.vm
    if name == "cpu":
        return editor.other(range(vm.cpus * vm.vms), old)
    if name == "to":
        return editor.other(range(vm.cpus), old)
    if name in ("kind", "prot"):
        return editor.other(ACCESS_KINDS if name == "kind" else HYP_PROTS if make is HypMap else PROTS, old)
    if name == "slot":
        return random.choice(editor.slots).name
    if name == "offset":
        return editor.near_boundary(random.choice(editor.slots))
    if name == "size":
        return random.choice((editor.page, 3 * editor.page, editor.block))
    if name == "fail":
        return random.randrange(1, 4) if old is None and editor.chance(50) else None
    if name == "ipa":
        slot = random.choice(editor.slots)
        return editor.step(slot.ipa + random.choice((0, slot.size)) if old is None or editor.chance(30) else old)
    if name in ("va", "pa"):
        others = [getattr(operation, name) for operation in editor.operations if isinstance(operation, HypMap)]
        return editor.step(random.choice(others) if others else 0)
    # All others are flags.
    return random.random() < 0.5 if old is None else not old


def other_operations(editor: ProgramEditor, donor: Program) -> list[Operation]:
    """The operations of another program, on the slots and vCPUs of this one."""
    names = {slot.name: editor.slots[at % len(editor.slots)].name for at, slot in enumerate(donor.slots)}
    found: list[Operation] = []
    for operation in sequential(donor).operations:
        changed: Any = operation
        if "slot" in FIELDS[type(operation)]:
            changed = replace(changed, slot=names[changed.slot])
        if isinstance(operation, OnCpu):
            changed = replace(changed, cpu=operation.cpu % (editor.vm.cpus * editor.vm.vms))
        if isinstance(operation, GuestMove):
            changed = replace(changed, to=operation.to % editor.vm.cpus)
        found.append(changed)
    return found


MUTATIONS: Final[tuple[Mutation, ...]] = (
    *(insert, change_page, change_page, change_operand) * 3,
    *(insert_motif,) * 4,
    *(delete, duplicate, swap, change_kind, repeat_elsewhere, same_place, change_size) * 2,
    move,
    change_slot,
    settings.change_vm,
    settings.change_vm,
    settings.change_slot,
    settings.add_slot,
    settings.drop_slot,
)
# Those that need a valid program.
_DRAFTING: Final = (insert, insert_motif)


def mutate(program: Program, random: Random, limit: int = LIMIT) -> Program:
    """Another valid program, by one change or a few.

    :param program: a valid one
    :param random: the same state makes the same changes
    :param limit: so many operations the result has at most
    """
    result = program
    for _try in range(_TRIES):
        editor = ProgramEditor(program, random)
        valid = True
        if len(program.operations) > _LONG and random.randrange(4):
            shorten(editor)
            valid = False
        for _ in range(random.choice(_CHANGES)):
            mutation = random.choice(MUTATIONS)
            if mutation in _DRAFTING and not valid:
                editor = ProgramEditor(editor.program(limit), random)
            mutation(editor)
            valid = False
        result = editor.program(limit)
        if result != program:
            break
    return result


def shorten(editor: ProgramEditor) -> None:
    """Leave about half of the operations: some in a row, or each with a chance of its own."""
    operations = editor.operations
    half = len(operations) // 2
    if editor.chance(50):
        start = editor.random.randrange(half + 1)
        editor.operations = operations[start : start + half]
    else:
        editor.operations = [operation for operation in operations if editor.chance(50)]


def crossover(a: Program, b: Program, random: Random, limit: int = LIMIT) -> Program:
    """A valid program on the machine of *a*: the beginning of its operations, some of *b*, and perhaps its end.

    :param a: a valid program, as *b* is
    :param random: the same state makes the same result
    :param limit: so many operations the result has at most
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
