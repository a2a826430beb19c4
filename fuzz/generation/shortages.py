# SPDX-License-Identifier: GPL-2.0-only
"""Random programs in which KVM gets too little memory to create a VM, to change a slot, or to begin a dirty log.

The call must then leave everything as it was, and free what it has allocated.
"""

import random
from dataclasses import replace
from typing import Final

from ..language.bounds import VM_FAILS
from ..language.operations import Operation, SetLog, SlotCreate, SlotMove
from ..language.program import Program

# Percentage of programs.
_SHORT: Final = 5
# Numbers of the allocation that fails: those of a slot, of its bitmap, of a slot that stands for a removed one.
_ALLOCATIONS: Final = (1, 2, 2, 3)
# Percentage of programs in which the first VM cannot be created at first.
_UNCREATED: Final = 1


def with_shortage(program: Program, source: random.Random) -> Program:
    """Return the program, sometimes with a call that gets too little memory.

    :param program: a valid program without `par` blocks, like the result
    """
    if source.randrange(100) >= _SHORT:
        return program
    places = [at for at, each in enumerate(program.operations) if may_fail(each)]
    return shortened(program, source.choice(places), source.choice(_ALLOCATIONS)) if places else program


def with_failed_creation(program: Program, source: random.Random) -> Program:
    """Return the program, sometimes with a failed attempt to create its first VM. The next attempt succeeds."""
    if source.randrange(100) >= _UNCREATED:
        return program
    return replace(program, vm=replace(program.vm, fail=source.choice(VM_FAILS)))


def may_fail(operation: Operation) -> bool:
    """Return whether an operation makes a call that allocates memory, and gets all of it so far."""
    if isinstance(operation, SetLog):
        return operation.on and operation.fail is None
    return isinstance(operation, SlotCreate | SlotMove) and operation.fail is None


def shortened(program: Program, at: int, fail: int) -> Program:
    """Return the program with an allocation that fails.

    :param at: index of the operation, as `may_fail` requires
    :param fail: number of the allocation
    """
    operations = list(program.operations)
    operation = operations[at]
    assert isinstance(operation, SetLog | SlotCreate | SlotMove)
    operations[at] = replace(operation, fail=fail)
    return replace(program, operations=tuple(operations))
