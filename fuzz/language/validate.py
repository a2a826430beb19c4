# SPDX-License-Identifier: GPL-2.0-only
"""The check that a program is legal: all values in bounds, no statements that contradict each other."""

from collections.abc import Mapping, Sequence
from typing import Final

from .bounds import MAX_OPERATIONS, MAX_SLOTS, check_vm, require
from .operations import Par
from .program import Program, ProgramError
from .validation_state import ValidationState

_NO_LINES: Final[Mapping[int, Sequence[int]]] = {}


def validate(
    program: Program,
    file: str = "<program>",
    lines: Sequence[int] = (),
    inner: Mapping[int, Sequence[int]] = _NO_LINES,
) -> None:
    """Check that all values are in bounds and that no statements contradict each other.

    :param file: the file name in errors
    :param lines: the line of the vm, of each slot and of each operation; default: those
        of the canonical text
    :param inner: the lines within a block, keyed by its index in *lines*
    :raises ProgramError: the first mistake, in the order of lines
    """
    slots = program.slots
    state = ValidationState(program.vm)
    # Index of the statement being checked. The vm is the first.
    at = 0
    try:
        check_vm(program.vm)
        for slot in slots:
            at += 1
            state.declare(slot)
        require(slots, "no slot", f"1 to {MAX_SLOTS}, right after vm")
        for operation in program.operations:
            at += 1
            require(at <= len(slots) + MAX_OPERATIONS, "too many operations", f"0 to {MAX_OPERATIONS}")
            state.check(operation)
    except ProgramError as error:
        # For a block, the error gives the line within the block.
        line = lines[at] if lines else first_line(program, at)
        if error.line:
            line = inner[at][error.line - 1] if at in inner else line + error.line
        raise ProgramError(file, line, error.message) from None


def first_line(program: Program, at: int) -> int:
    """Return the line of the canonical text at which a statement begins. The vm is number 0."""
    before = program.operations[: max(0, at - 1 - len(program.slots))]
    return at + 2 + sum(1 + len(each.operations) + len(each.switches) for each in before if isinstance(each, Par))
