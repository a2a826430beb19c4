# SPDX-License-Identifier: GPL-2.0-only
"""Random programs in which a VM ends while others go on."""

import random
from typing import Final

from ..language.operations import VmEnd
from ..language.program import Program
from . import disturbances as do
from .builder import ProgramBuilder
from .capping import shortened

# Of a hundred programs with several VMs.
ENDS: Final = 30
# What happens to the memory that is left, and may be that of others too.
_HOST: Final = (do.host_write, do.discard, do.migrate, do.share, do.age, do.test_age)


def ending(program: Program, source: random.Random) -> Program:
    """The program, now and then as `ended` makes it.

    :param program: a valid one, as the result is
    :param source: where the choices come from
    """
    several = program.vm.vms > 1
    return ended(program, source) if several and source.randrange(100) < ENDS else program


def ended(program: Program, source: random.Random) -> Program:
    """The program with the end of a VM in it, if that can be, and with what shows that the others are unharmed.

    Its other operations stay, but for those of that VM.

    :param program: a valid one of several VMs, as the result is
    :param source: where the choices come from
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
    # The rest is capped already.
    slots = {slot.name: slot for slot in program.slots}
    builder.operations[at:] = [shortened(each, slots, vm.granule) for each in builder.operations[at:]]
    builder.add(*program.operations[at:])
    return builder.program()
