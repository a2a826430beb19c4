# SPDX-License-Identifier: GPL-2.0-only
"""The part of a changed program that is still legal."""

from collections.abc import Iterable
from dataclasses import replace

from ..language.operations import Operation
from ..language.program import Program, ProgramError, Slot
from ..language.validation_state import ValidationState


def alone(program: Program) -> list[Slot]:
    """Return the slots that share no host memory with another one."""
    shared = {slot.alias for slot in program.slots}
    return [slot for slot in program.slots if not slot.alias and slot.name not in shared]


def legal_part(program: Program, operations: Iterable[Operation]) -> Program:
    """Return the program with other operations, except those that are not legal in their position.

    :param program: a program with legal slots
    """
    state = ValidationState(program.vm)
    for slot in program.slots:
        state.declare(slot)
    kept: list[Operation] = []
    for operation in operations:
        try:
            state.check(operation)
        except ProgramError:
            continue
        kept.append(operation)
    return replace(program, operations=tuple(kept))
