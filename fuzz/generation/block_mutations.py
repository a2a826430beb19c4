# SPDX-License-Identifier: GPL-2.0-only
"""Changes of par blocks: of their actors and operations. `fuzz.generation.schedule_mutations` has the other changes.

Where a program has no block, a change does nothing, unless it makes a block.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from ..language.block_repair import by_actor
from ..language.inside import by_same_actor, of_block
from ..language.lock_rules import MAX_ACCESSES
from ..language.operations import (
    HARDWARE,
    HOSTS,
    Concurrent,
    GuestAccess,
    Operation,
    Par,
    Threaded,
    plain,
)
from ..language.program import Program
from ..scheduling.strategies import any_strategy
from .builder import KINDS
from .editor import ProgramEditor
from .operand_mutations import change_operand, change_page, change_size, same_place
from .racing import may_race, race
from .schedule_mutations import (
    aim,
    aim_at_a_reschedule,
    another_schedule,
    drop_switch,
    move_switch,
    other_fault,
    with_switch,
    without,
)
from .threads import other_actors

# Changes of an operation within a block.
_INSIDE: Final = (change_page, change_page, change_operand, change_operand, same_place, change_size)

# Returns a changed block; None: the block stays the same.
Change = Callable[[ProgramEditor, Par], Par | None]


# Blocks as a whole.


def add_block(editor: ProgramEditor) -> None:
    """Add a block, and the operations that it needs before it. The program must be valid."""
    if not may_race(editor.vm, editor.slots):
        return
    at = editor.position()
    builder = editor.builder(at)
    race(builder, builder.last[0] if builder.chance(60) else builder.pick_slot())
    editor.operations[at:at] = builder.operations[at:]


def gather(editor: ProgramEditor) -> None:
    """Turn a few consecutive operations into a block. If they have only one actor, add a vCPU."""
    able = [at for at, each in enumerate(editor.operations) if by_actor(each, 0) is not None]
    if not able:
        return
    start = editor.random.choice(able)
    end = start + editor.random.randint(1, 4)
    taken: list[Concurrent] = []
    rest: list[Operation] = []
    for operation in editor.operations[start:end]:
        each = by_actor(operation, editor.random.randrange(2))
        if each is None:
            rest.append(operation)
        else:
            taken.append(each)
    if len({each.cpu for each in taken}) == 1:
        first: Any = plain(taken[0])
        slot = editor.slot_of(first)
        if isinstance(first, GuestAccess):
            taken.append(replace(first, cpu=editor.another_cpu(first)))
        elif slot is not None:
            cpu = slot.vm * editor.vm.cpus + editor.random.randrange(editor.vm.cpus)
            kind = editor.random.choice(KINDS)
            taken.insert(0, GuestAccess(cpu, kind, slot.name, getattr(first, "offset", 0)))
    if len({each.cpu for each in taken}) > 1:
        editor.operations[start:end] = [*rest, any_strategy(Par(tuple(taken)), editor.random)]


def take_apart(editor: ProgramEditor) -> None:
    """Replace a block by its operations, one after the other."""
    at = editor.pick(Par)
    if at >= 0:
        block = editor.operations[at]
        assert isinstance(block, Par)
        editor.operations[at : at + 1] = map(plain, block.operations)


# Actors and their operations.


def change_actor(editor: ProgramEditor, block: Par) -> Par | None:
    """Let another actor run an operation, or continue after a switch."""
    if block.switches and editor.chance(40):
        at = editor.random.randrange(len(block.switches))
        switch = block.switches[at]
        others = [each for each in block.actors if each != switch.cpu]
        return with_switch(block, at, replace(switch, to=editor.other(others, switch.to)))
    at = editor.random.randrange(len(block.operations))
    each = block.operations[at]
    if isinstance(each, GuestAccess):
        return with_operation(block, at, replace(each, cpu=editor.another_cpu(each)))
    kind = HARDWARE if each.cpu in HARDWARE else HOSTS
    return with_operation(block, at, replace(each, cpu=editor.other(kind[:2], each.cpu))) if each.cpu in kind else None


def begin_with_another(editor: ProgramEditor, block: Par) -> Par | None:
    """Change the order in which the actors begin. Switches stay."""
    cpus = list(block.actors)
    editor.random.shuffle(cpus)
    return replace(block.in_order(cpus), switches=block.switches)


def add_operation(editor: ProgramEditor, block: Par) -> Par | None:
    """Add an operation at the place of another: an access, or an operation of a thread. The program must be valid."""
    if len(block.operations) == MAX_ACCESSES:
        return None
    model = editor.random.choice(block.operations)
    done: Any = plain(model)
    accesses = [each for each in block.operations if isinstance(each, GuestAccess)]
    made: Concurrent
    if accesses and editor.chance(50):
        access = editor.random.choice(accesses)
        offset: int = getattr(done, "offset", access.offset)
        made = replace(access, cpu=editor.another_cpu(access), kind=editor.random.choice(KINDS), offset=offset)
    else:
        slot = editor.slot_of(done)
        at = editor.operations.index(block)
        threads: list[Threaded] = []
        if slot is not None:
            offset = getattr(done, "offset", 0) // editor.page * editor.page
            threads = other_actors(editor.builder(at), slot, (offset,))
        if not threads:
            return None
        made = threads[0]
    operations = list(block.operations)
    operations.insert(editor.random.randrange(len(operations) + 1), made)
    return replace(block, operations=tuple(operations))


def drop_operation(editor: ProgramEditor, block: Par) -> Par | None:
    """Drop an operation."""
    return of_block(block, without(block.operations, editor.random.randrange(len(block.operations))))


def drop_actor(editor: ProgramEditor, block: Par) -> Par | None:
    """Drop an actor, of three or more."""
    if len(block.actors) < 3:
        return None
    gone = editor.random.choice(block.actors)
    return of_block(block, [each for each in block.operations if each.cpu != gone])


def change_inside(editor: ProgramEditor, block: Par) -> Par | None:
    """Change an operand of an operation of the block."""
    alone = Program(editor.vm, tuple(editor.slots), tuple(map(plain, block.operations)))
    inner = ProgramEditor(alone, editor.random)
    editor.random.choice(_INSIDE)(inner)
    changed = zip(block.operations, inner.operations, strict=True)
    return replace(block, operations=tuple(by_same_actor(each, other) for each, other in changed))


def with_operation(block: Par, at: int, operation: Concurrent) -> Par:
    """Replace an operation of a block. Keep the switches between its remaining actors."""
    return of_block(block, (*block.operations[:at], operation, *block.operations[at + 1 :]))


CHANGES: Final[tuple[Change, ...]] = (
    *(aim, move_switch, change_inside) * 4,
    *(change_actor, add_operation, drop_switch, another_schedule) * 2,
    other_fault,
    aim_at_a_reschedule,
    begin_with_another,
    drop_operation,
    drop_actor,
)


def change_block(editor: ProgramEditor) -> None:
    """Change one block. The program must be valid."""
    at = editor.pick(Par)
    if at < 0:
        return
    block = editor.operations[at]
    assert isinstance(block, Par)
    changed = editor.random.choice(CHANGES)(editor, block)
    if changed is not None:
        editor.operations[at] = changed
