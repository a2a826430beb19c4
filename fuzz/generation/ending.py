# SPDX-License-Identifier: GPL-2.0-only
"""Random programs in which a VM ends while others continue."""

import random
from typing import Final

from ..language.operations import VmEnd
from ..language.program import Program
from . import disturbances as do
from .builder import ProgramBuilder
from .capping import shortened

# Percentage of programs with several VMs.
ENDS: Final = 30
# Operations on the memory that is left, which other VMs may share.
_HOST: Final = (do.host_write, do.discard, do.migrate, do.share, do.age, do.test_age)


def ending(program: Program, source: random.Random) -> Program:
    """Return the program, sometimes as `ended` changes it.

    :param program: a valid program, like the result
    :param source: the source of choices
    """
    several = program.vm.vms > 1
    return ended(program, source) if several and source.randrange(100) < ENDS else program


def ended(program: Program, source: random.Random) -> Program:
    """Return the program with the end of a VM, if possible, and operations that check that the others are unharmed.

    Its other operations stay, except those of that VM.

    :param program: a valid program of several VMs, like the result
    :param source: the source of choices
    """
    vm = program.vm
    at = source.randrange(len(program.operations) + 1)
    builder = ProgramBuilder(source, 0, Program(vm, program.slots, program.operations[:at]))
    builder.add(VmEnd(source.randrange(vm.vms)))
    if len(builder.operations) == at:
        return program
    others = [slot for slot in program.slots if builder.state.runs(slot.vm)]
    for _ in range(source.randrange(4)):
        if builder.chance(40):
            slot = builder.pick_slot()
            source.choice(_HOST)(builder, slot, builder.page_in(slot, builder.block_of(slot)))
        else:
            slot = source.choice(others)
            builder.access(slot, builder.page_in(slot, builder.block_of(slot)))
    # The other operations are capped already.
    slots = {slot.name: slot for slot in program.slots}
    builder.operations[at:] = [shortened(each, slots, vm.granule) for each in builder.operations[at:]]
    builder.add(*program.operations[at:])
    return builder.program()
