# SPDX-License-Identifier: GPL-2.0-only
"""Random programs that ask for capabilities, where both versions have them."""

import random
from dataclasses import replace
from typing import Any, Final, NamedTuple

from ..language.bounds import MAX_SLOT_SIZE, outside
from ..language.operations import ClearLog, GuestOutside, Operation, SetLog, SlotCreate
from ..language.program import HUGE_SHIFT, KIB, MEMFD, RING_SIZES, SPLIT_SIZES, TAGLESS, Program
from .capping import WHOLE, splits_long
from .legal import alone, legal_part

# Of a hundred programs.
_SPLIT: Final = 25
# Of a hundred operations that split blocks.
_SPLIT_FAILS: Final = 15
_RING: Final = 20
_GRACE: Final = 6
# As soon as the readers have left, during a later call, or only when the VM is gone.
_GRACES: Final = (1, 1, 3, 4, 6, 99)
_MEMFD: Final = 15
_MTE: Final = 15
_WIDE: Final = 12
# Bits of a guest address then, by page size: those of the program (0), or more. Some kernels free the tables of a VM
# block by block of its whole address space, which takes them long where that has many.
_WIDE_IPA: Final[dict[int, tuple[int, ...]]] = {
    4 * KIB: (0, 0, 0, 49, 50, 51, 52, 52, 52),
    16 * KIB: (0,),
    64 * KIB: (0, 0, 49, 50),
}
# Where a kernel does that, most programs have so many bits at most, by page size; one in ten of the others does not.
_NARROW_IPA: Final = {4 * KIB: 44, 16 * KIB: 44, 64 * KIB: 46}
_STAYS_WIDE: Final = 10


class Offers(NamedTuple):
    """The capabilities that programs may ask for.

    :param split: eager splitting
    :param ring: dirty rings
    :param grace: RCU, whose grace periods programs may end
    :param memfd: slots whose memory is a guest_memfd
    :param par: blocks in which several vCPUs are at work
    :param lpa2: physical addresses of 52 bits
    :param mte: memory with tags; *tagged_hugetlb*: that of hugetlb too
    :param narrow: a VM with many bits of a guest address takes long to end
    """

    split: bool = False
    ring: bool = False
    grace: bool = False
    memfd: bool = False
    par: bool = False
    lpa2: bool = False
    narrow: bool = False
    mte: bool = False
    tagged_hugetlb: bool = False


def equipped(program: Program, offers: Offers, source: random.Random) -> Program:
    """The program, now and then on VMs for which user space asks for what is offered.

    :param program: a valid one, as the result is
    :param source: where the choices come from; nothing is drawn where nothing is offered
    """
    vm = program.vm
    if offers.split and source.randrange(100) < _SPLIT:
        split = source.choice(SPLIT_SIZES[vm.granule])
        if not splits_long(program, split) or source.randrange(WHOLE) == 0:
            vm = replace(vm, split=split)
            program = failing_splits(program, source)
    # Rings without bitmaps lose pages in all kernels that have them: such a program is written by hand.
    if offers.ring and vm.manual == "off" and source.randrange(100) < _RING:
        vm = replace(vm, ring=max(RING_SIZES[0], vm.granule))
    if offers.grace and source.randrange(100) < _GRACE:
        vm = replace(vm, grace=source.choice(_GRACES))
    program = program if vm == program.vm else replace(program, vm=vm)
    if offers.mte and source.randrange(100) < _MTE:
        program = with_tags(program, offers.tagged_hugetlb)
    elif offers.memfd and source.randrange(100) < _MEMFD:
        program = on_memfd(program, source)
    if offers.lpa2 and source.randrange(100) < _WIDE:
        bits = source.choice(_WIDE_IPA[vm.granule])
        program = widened(program, 0 if offers.narrow and bits and source.randrange(_STAYS_WIDE) else bits)
    return narrowed(program, source) if offers.narrow else program


def with_tags(program: Program, hugetlb: bool) -> Program:
    """Return the program on VMs with MTE, and slots whose memory has no tags over other memory.

    :param hugetlb: that of hugetlb has tags
    """
    slots = tuple(
        replace(slot, backing="anon")
        if slot.backing in TAGLESS
        else replace(slot, backing="thp")
        if slot.backing in HUGE_SHIFT and not hugetlb
        else slot
        for slot in program.slots
    )
    return replace(program, vm=replace(program.vm, mte=True), slots=slots)


def narrowed(program: Program, source: random.Random) -> Program:
    """The program on VMs with fewer bits of a guest address, mostly, where its slots need no more."""
    vm, bits = program.vm, _NARROW_IPA[program.vm.granule]
    if vm.ipa <= bits or source.randrange(_STAYS_WIDE) == 0:
        return program
    places: list[Any] = [*program.slots, *program.operations]
    top = max((where for each in places if (where := getattr(each, "ipa", None)) is not None), default=0)
    return program if top + MAX_SLOT_SIZE > 1 << bits else replace(program, vm=replace(vm, ipa=bits))


def failing_splits(program: Program, source: random.Random) -> Program:
    """The program, in which now and then there is no memory to split blocks with when logging begins, or goes on."""

    def failing(operation: Operation) -> Operation:
        if (isinstance(operation, SetLog) and operation.on) or isinstance(operation, ClearLog):
            if source.randrange(100) < _SPLIT_FAILS:
                return replace(operation, fail=source.choice((1, 2)))
        return operation

    return replace(program, operations=tuple(map(failing, program.operations)))


def with_lpa(program: Program, source: random.Random) -> Program:
    """The program, now and then with physical addresses of 52 bits where that is FEAT_LPA: with 64K pages.

    No version lacks it, so nobody has to offer it.
    """
    vm = program.vm
    if vm.granule != 64 * KIB or vm.pa == 52 or source.randrange(100) >= _WIDE:
        return program
    return widened(program, source.choice(_WIDE_IPA[vm.granule]))


def widened(program: Program, ipa: int) -> Program:
    """Return the program with physical addresses of 52 bits.

    :param ipa: bits of a guest address, to whose end all slots move together; 0: as before. With 52 of them nothing
        lies behind
    """
    vm = program.vm
    if ipa <= vm.ipa:
        return replace(program, vm=replace(vm, pa=52))
    by = (1 << ipa) - (1 << vm.ipa)
    wide = replace(vm, ipa=ipa, pa=52)
    behind = outside(wide)

    def moved(operation: Operation) -> Operation:
        each: Any = operation
        if isinstance(operation, GuestOutside) and operation.ipa in behind:
            return operation
        where = getattr(each, "ipa", None)
        changed: Operation = operation if where is None else replace(each, ipa=where + by)
        return changed

    slots = tuple(replace(slot, ipa=slot.ipa + by) for slot in program.slots)
    kept = [each for each in program.operations if behind or not isinstance(each, GuestOutside)]
    return Program(wide, slots, tuple(map(moved, kept)))


def on_memfd(program: Program, source: random.Random) -> Program:
    """The program with a guest_memfd for one of its slots; operations that this cannot have are left out."""
    fit = [slot for slot in alone(program) if slot.backing in ("anon", "thp")]
    if not fit:
        return program
    chosen = source.choice(fit)
    memfd = replace(chosen, backing=MEMFD, log=False, ro=False)
    slots = tuple(memfd if slot is chosen else slot for slot in program.slots)

    def unlogged(operation: Operation) -> Operation:
        if isinstance(operation, SlotCreate) and operation.slot == memfd.name:
            return replace(operation, log=False, ro=False)
        return operation

    return legal_part(replace(program, slots=slots), map(unlogged, program.operations))
