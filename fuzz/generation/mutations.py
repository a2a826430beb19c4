# SPDX-License-Identifier: GPL-2.0-only
"""Changes of programs that keep their meaning by and large: one operation, operand or setting at a time.

What is not legal afterwards is repaired (`fuzz.language.repair`), never refused.
"""

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any, Final

from ..language.operands import FIELDS
from ..language.operations import ACCESS_KINDS, HYP_PROTS, OPERATIONS, PROTS, GuestMove, HypMap, OnCpu, Operation
from ..language.program import Program
from . import setting_mutations as settings
from .disturbances import DISTURBANCES
from .editor import ProgramEditor
from .generator import noise
from .motifs import MOTIFS

# So many operations a result has at most.
LIMIT: Final = 200
# How many changes at a time: one looks closer, many find more that is new.
_CHANGES: Final = (1, 1, 2, 2, 3, 4, 6, 8, 12)
# What is longer is shortened most of the time: what comes late in a program often only
# follows from what went wrong before, and counts for nothing.
_LONG: Final = 20
# How often another change is tried where one changed nothing.
_TRIES: Final = 8

Mutation = Callable[[ProgramEditor], None]


def insert(sketch: ProgramEditor) -> None:
    """One more operation, most often near where others are."""
    at = sketch.position()
    draft = sketch.draft(at)
    for _ in range(_TRIES):
        slot, offset = draft.place()
        if draft.chance(40):
            draft.access(slot, offset)
        else:
            draft.random.choice(DISTURBANCES)(draft, slot, offset)
        if len(draft.operations) > at:
            break
    sketch.operations[at:at] = draft.operations[at:]


def insert_motif(sketch: ProgramEditor) -> None:
    """One of the generator's motifs, or some of its noise."""
    at = sketch.position()
    draft = sketch.draft(at)
    if draft.chance(15):
        noise(draft, draft.random.randrange(2, 6))
    else:
        draft.random.choice(MOTIFS)(draft, draft.last[0] if draft.chance(60) else draft.pick_slot())
    sketch.operations[at:at] = draft.operations[at:]


def delete(sketch: ProgramEditor) -> None:
    """An operation less, or a few in a row."""
    start, end = sketch.run(1 if sketch.chance(60) else 8)
    del sketch.operations[start:end]


def duplicate(sketch: ProgramEditor) -> None:
    """A few operations once more, right behind or anywhere."""
    start, end = sketch.run()
    at = end if sketch.chance(40) else sketch.position()
    sketch.operations[at:at] = sketch.operations[start:end]


def swap(sketch: ProgramEditor) -> None:
    """Two operations change places, neighbours most often."""
    if len(sketch.operations) > 1:
        a = sketch.random.randrange(len(sketch.operations) - 1)
        b = a + 1 if sketch.chance(60) else sketch.random.randrange(len(sketch.operations))
        sketch.operations[a], sketch.operations[b] = sketch.operations[b], sketch.operations[a]


def move(sketch: ProgramEditor) -> None:
    """A few operations go elsewhere."""
    start, end = sketch.run(4)
    moved = sketch.operations[start:end]
    del sketch.operations[start:end]
    at = sketch.position()
    sketch.operations[at:at] = moved


def repeat_elsewhere(sketch: ProgramEditor) -> None:
    """Another vCPU does the same, at once or a little later."""
    at = sketch.pick(OnCpu)
    if at >= 0:
        operation: Any = sketch.operations[at]
        behind = min(at + sketch.random.choice((1, 1, 2, 4)), len(sketch.operations))
        sketch.operations.insert(behind, replace(operation, cpu=sketch.another_cpu(operation)))


def change_slot(sketch: ProgramEditor) -> None:
    """An operation, or a few in a row, on another slot."""
    at = sketch.pick_with("slot")
    if at < 0:
        return
    slot = sketch.slot_of(sketch.operations[at])
    other = sketch.other(sketch.slots, slot)
    for near in range(at, at + sketch.random.choice((1, 1, 3))):
        if near < len(sketch.operations) and "slot" in FIELDS[type(sketch.operations[near])]:
            sketch.change(near, slot=other.name)


def change_page(sketch: ProgramEditor) -> None:
    """An operation begins at, before or behind something that is there already; a range may keep its end."""
    at = sketch.pick_with("offset")
    slot = sketch.slot_of(sketch.operations[at]) if at >= 0 else None
    if slot is None:
        return
    operation: Any = sketch.operations[at]
    offset = sketch.step(operation.offset) if sketch.chance(50) else sketch.near_boundary(slot)
    offset = min(offset, slot.size - 1)
    sketch.change(at, offset=offset)
    if "size" in FIELDS[type(operation)] and sketch.chance(50):
        sketch.change(at, size=max(1, operation.offset + operation.size - offset))


def change_size(sketch: ProgramEditor) -> None:
    """A range ends at, before or behind something that is there already."""
    at = sketch.pick_with("size")
    if at < 0:
        return
    operation: Any = sketch.operations[at]
    slot = sketch.slot_of(operation)
    if slot is None or sketch.chance(50):
        sketch.change(at, size=max(1, sketch.step(operation.size)))
    else:
        sketch.change(at, size=max(1, sketch.near_boundary(slot) - operation.offset))


def same_place(sketch: ProgramEditor) -> None:
    """An operation where another one is."""
    at, model = sketch.pick_with("offset"), sketch.pick_with("offset")
    if at >= 0:
        there: Any = sketch.operations[model]
        sketch.change(at, slot=there.slot, offset=there.offset)
        if "size" in FIELDS[type(sketch.operations[at])]:
            sketch.change(at, size=getattr(there, "size", sketch.page))


def change_operand(sketch: ProgramEditor) -> None:
    """Another vCPU, access, permission, flag, failure or address."""
    at = sketch.pick()
    if at < 0:
        return
    operation = sketch.operations[at]
    names = [name for name in FIELDS[type(operation)] if name not in ("slot", "offset", "size")]
    if names:
        name = sketch.random.choice(names)
        sketch.change(at, **{name: value(sketch, type(operation), name, getattr(operation, name))})


def change_kind(sketch: ProgramEditor) -> None:
    """Another operation at the same place."""
    at = sketch.pick()
    if at < 0:
        return
    old = sketch.operations[at]
    make: Any = sketch.other(OPERATIONS, type(old))
    values: dict[str, Any] = {}
    for name in FIELDS[make]:
        kept = getattr(old, name, None) if name not in ("prot", "kind") else None
        values[name] = value(sketch, make, name, None) if kept is None else kept
    sketch.put(at, make(**values))


def value(sketch: ProgramEditor, make: type, name: str, old: Any) -> Any:
    """Another value for a field of a kind of operation; *old* None: any."""
    random, vm = sketch.random, sketch.vm
    if name == "cpu":
        return sketch.other(range(vm.cpus * vm.vms), old)
    if name == "to":
        return sketch.other(range(vm.cpus), old)
    if name in ("kind", "prot"):
        return sketch.other(ACCESS_KINDS if name == "kind" else HYP_PROTS if make is HypMap else PROTS, old)
    if name == "slot":
        return random.choice(sketch.slots).name
    if name == "offset":
        return sketch.near_boundary(random.choice(sketch.slots))
    if name == "size":
        return random.choice((sketch.page, 3 * sketch.page, sketch.block))
    if name == "fail":
        return random.randrange(1, 4) if old is None and sketch.chance(50) else None
    if name == "ipa":
        slot = random.choice(sketch.slots)
        return sketch.step(slot.ipa + random.choice((0, slot.size)) if old is None or sketch.chance(30) else old)
    if name in ("va", "pa"):
        others = [getattr(operation, name) for operation in sketch.operations if isinstance(operation, HypMap)]
        return sketch.step(random.choice(others) if others else 0)
    # All others are flags.
    return random.random() < 0.5 if old is None else not old


def other_operations(sketch: ProgramEditor, donor: Program) -> list[Operation]:
    """The operations of another program, on the slots and vCPUs of this one."""
    names = {slot.name: sketch.slots[at % len(sketch.slots)].name for at, slot in enumerate(donor.slots)}
    found: list[Operation] = []
    for operation in donor.operations:
        changed: Any = operation
        if "slot" in FIELDS[type(operation)]:
            changed = replace(changed, slot=names[changed.slot])
        if isinstance(operation, OnCpu):
            changed = replace(changed, cpu=operation.cpu % (sketch.vm.cpus * sketch.vm.vms))
        if isinstance(operation, GuestMove):
            changed = replace(changed, to=operation.to % sketch.vm.cpus)
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
# Those that need a valid sketch.
_DRAFTING: Final = (insert, insert_motif)


def mutate(program: Program, random: Random, limit: int = LIMIT) -> Program:
    """Another valid program, by one change or a few.

    :param program: a valid one
    :param random: the same state makes the same changes
    :param limit: so many operations the result has at most
    """
    result = program
    for _try in range(_TRIES):
        sketch = ProgramEditor(program, random)
        valid = True
        if len(program.operations) > _LONG and random.randrange(4):
            shorten(sketch)
            valid = False
        for _ in range(random.choice(_CHANGES)):
            mutation = random.choice(MUTATIONS)
            if mutation in _DRAFTING and not valid:
                sketch = ProgramEditor(sketch.program(limit), random)
            mutation(sketch)
            valid = False
        result = sketch.program(limit)
        if result != program:
            break
    return result


def shorten(sketch: ProgramEditor) -> None:
    """Leave about half of the operations: some in a row, or each with a chance of its own."""
    operations = sketch.operations
    half = len(operations) // 2
    if sketch.chance(50):
        start = sketch.random.randrange(half + 1)
        sketch.operations = operations[start : start + half]
    else:
        sketch.operations = [operation for operation in operations if sketch.chance(50)]


def crossover(a: Program, b: Program, random: Random, limit: int = LIMIT) -> Program:
    """A valid program on the machine of *a*: the beginning of its operations, some of *b*, and perhaps its end.

    :param a: a valid program, as *b* is
    :param random: the same state makes the same result
    :param limit: so many operations the result has at most
    """
    sketch = ProgramEditor(a, random)
    if random.randrange(3) == 0:
        settings.take_slots(sketch, b)
    mine, theirs = sketch.operations, other_operations(sketch, b)
    cut = random.randrange(len(mine) + 1)
    start = random.randrange(len(theirs) + 1)
    end = random.randrange(start, len(theirs) + 1) if random.randrange(2) else len(theirs)
    rest = mine[cut:] if random.randrange(2) else []
    sketch.operations = mine[:cut] + theirs[start:end] + rest
    return sketch.program(limit)
