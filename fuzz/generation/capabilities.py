# SPDX-License-Identifier: GPL-2.0-only
"""Random programs that ask for capabilities, where both versions have them."""

import random
from dataclasses import replace
from typing import Final, NamedTuple

from ..language.program import RING_SIZES, SPLIT_SIZES, Program

# Of a hundred programs.
_SPLIT: Final = 25
_RING: Final = 20
_GRACE: Final = 6
# As soon as the readers have left, during a later call, or only when the VM is gone.
_GRACES: Final = (1, 1, 3, 4, 6, 99)


class Offers(NamedTuple):
    """The capabilities that programs may ask for.

    :param split: eager splitting
    :param ring: dirty rings
    :param grace: RCU, whose grace periods programs may end
    """

    split: bool = False
    ring: bool = False
    grace: bool = False


def equipped(program: Program, offers: Offers, source: random.Random) -> Program:
    """The program, now and then on VMs for which user space asks for what is offered.

    :param program: a valid one, as the result is
    :param source: where the choices come from; nothing is drawn where nothing is offered
    """
    vm = program.vm
    if offers.split and source.randrange(100) < _SPLIT:
        vm = replace(vm, split=source.choice(SPLIT_SIZES[vm.granule]))
    # Rings without bitmaps lose pages in all kernels that have them: such a program is written by hand.
    if offers.ring and vm.manual == "off" and source.randrange(100) < _RING:
        vm = replace(vm, ring=max(RING_SIZES[0], vm.granule))
    if offers.grace and source.randrange(100) < _GRACE:
        vm = replace(vm, grace=source.choice(_GRACES))
    return program if vm is program.vm else replace(program, vm=vm)
