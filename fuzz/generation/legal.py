# SPDX-License-Identifier: GPL-2.0-only
"""The part of a changed program that is legal still."""

from collections.abc import Iterable
from dataclasses import replace

from ..language.operations import Operation
from ..language.program import Program, ProgramError, Slot
from ..language.validation_state import ValidationState


def alone(program: Program) -> list[Slot]:
    """The slots that share no host memory with another."""
    shared = {slot.alias for slot in program.slots}
    return [slot for slot in program.slots if not slot.alias and slot.name not in shared]


def legal_part(program: Program, operations: Iterable[Operation]) -> Program:
    """The program with other operations, but for those that are not legal where they stand.

    :param program: with legal slots
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
