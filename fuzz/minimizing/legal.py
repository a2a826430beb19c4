# SPDX-License-Identifier: GPL-2.0-only
"""The legal rest of a program that lost a part: everything that contradicts the rest is removed, too."""

from dataclasses import replace

from ..language.bounds import check_vm
from ..language.operations import Operation
from ..language.program import Program, ProgramError, each_of
from ..language.validation_state import ValidationState


def legal(program: Program) -> Program | None:
    """Return the program without operations that are illegal in their position; None: vm or slots are illegal.

    Where a slot was deleted or its log turned off, later operations that need it are removed too, and so on.
    """
    state = ValidationState(program.vm)
    try:
        check_vm(program.vm)
        for slot in program.slots:
            state.declare(slot)
    except ProgramError:
        return None
    if not program.slots:
        return None
    kept: list[Operation] = []
    for operation in program.operations:
        try:
            state.check(operation)
        except ProgramError:
            continue
        kept.append(operation)
    return program if len(kept) == len(program.operations) else replace(program, operations=tuple(kept))


def slots_used(program: Program) -> set[str]:
    """Return the names of the slots that operations name, and of the slots whose memory they share."""
    names = {name for name in (slot_of(operation) for operation in each_of(program.operations)) if name}
    return names | {slot.alias for slot in program.slots if slot.name in names and slot.alias}


def slot_of(operation: Operation) -> str:
    """Return the slot that an operation names; "" if it names none."""
    name = getattr(operation, "slot", "")
    assert isinstance(name, str)
    return name
