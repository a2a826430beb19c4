# SPDX-License-Identifier: GPL-2.0-only
"""Random programs in which VMIDs run out: mostly of two VMs, whose slots then often lie at the same guest addresses."""

import random
from dataclasses import replace
from typing import Final

from ..language.operations import GuestAccess, Operation, VmidRollover
from ..language.program import GIB, Program, ProgramError, Slot, Vm
from ..language.validation_state import ValidationState
from .legal import legal_part

# Percentage of programs of several VMs, and of programs of one; percentage of those of several that share addresses;
# and percentage of cases in which other vCPUs are entered first.
_SEVERAL: Final = 50
_ONE: Final = 2
_IN_COMMON: Final = 70
_OTHERS: Final = 80


def with_rollover(program: Program, source: random.Random) -> Program:
    """Return the program, sometimes as `rolled_over` changes it.

    :param program: a valid program, like the result
    """
    return rolled_over(program, source) if source.randrange(100) < how_often(program.vm) else program


def how_often(vm: Vm) -> int:
    """Return the percentage of programs in which VMIDs run out."""
    return _SEVERAL if vm.vms > 1 else _ONE


def rolled_over(program: Program, source: random.Random) -> Program:
    """Return the program with one or two points at which VMIDs run out, if it has operations.

    :param program: a valid program, like the result
    """
    vm = program.vm
    if not program.operations:
        return program
    if vm.vms > 1 and source.randrange(100) < _IN_COMMON:
        program = at_common_addresses(program)
    # A TLB has entries only after the guest has run.
    accesses = [each for each in program.operations if isinstance(each, GuestAccess)]
    operations = list(program.operations)
    for _ in range(source.choice((1, 1, 2))):
        at = source.randrange(1, len(operations) + 1)
        more: list[Operation] = [VmidRollover(source.randrange(vm.cpus * vm.vms))]
        if accesses and source.randrange(100) < _OTHERS:
            more += [replace(source.choice(accesses), fail=None) for _ in range(source.choice((1, 2, 3)))]
        operations[at:at] = more
    return legal_part(program, operations)


def at_common_addresses(program: Program) -> Program:
    """Move the slots of each VM to the gigabyte at which those of the first VM begin, if possible."""
    first: dict[int, int] = {}
    for slot in program.slots:
        first[slot.vm] = min(first.get(slot.vm, slot.ipa), slot.ipa)
    start = first[min(first)]

    def moved(slot: Slot) -> Slot:
        return replace(slot, ipa=slot.ipa + (start // GIB - first[slot.vm] // GIB) * GIB)

    slots = tuple(moved(slot) for slot in program.slots)
    return replace(program, slots=slots) if fit(program.vm, slots) else program


def fit(vm: Vm, slots: tuple[Slot, ...]) -> bool:
    """Tell whether slots are legal together."""
    state = ValidationState(vm)
    try:
        for slot in slots:
            state.declare(slot)
    except ProgramError:
        return False
    return True
