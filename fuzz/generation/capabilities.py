# SPDX-License-Identifier: GPL-2.0-only
"""Random programs that request capabilities, where both versions have them."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, NamedTuple

from ..language.bounds import MAX_SLOT_SIZE, outside
from ..language.operations import ClearLog, GuestOutside, Operation, SetLog, SlotCreate
from ..language.program import (
    CACHED,
    HUGE_SHIFT,
    KIB,
    MEMFD,
    RING_SIZES,
    SPLIT_SIZES,
    TAGLESS,
    UNCACHED,
    Backing,
    Program,
    Vm,
)
from .capping import may_split
from .legal import alone, legal_part

# Percentages of programs.
_SPLIT: Final = 25
# Percentage of operations that split blocks.
_SPLIT_FAILS: Final = 15
_RING: Final = 20
_GRACE: Final = 6
# Points at which grace periods end: as soon as the readers have left, during a later call, or only after the VM is
# gone.
_GRACES: Final = (1, 1, 3, 4, 6, 99)
_MEMFD: Final = 15
_MTE: Final = 15
_BBM: Final = 50
_NESTED: Final = 12
# Percentage of these whose guest hypervisor has enabled its stage 2.
_STAGE2: Final = 50
# Most guest address bits then.
_NESTED_IPA: Final = 36
# Percentage of programs with a device that set a memory type for it; percentage without caches; percentage without, or
# with caches on a machine that can cache such memory.
_TYPES: Final = 50
_UNCACHED: Final = 30
_CACHED: Final = 46
_WIDE: Final = 12
# Guest address bits then, by page size: those of the program (0), or more.
_WIDE_IPA: Final[dict[int, tuple[int, ...]]] = {
    4 * KIB: (0, 0, 0, 49, 50, 51, 52, 52, 52),
    16 * KIB: (0,),
    64 * KIB: (0, 0, 49, 50),
}
# Some kernels free the tables of a VM block by block over its whole address space. _BLOCK: address bits within a block
# of the largest size, by page size. _BLOCKS: log2 of the number of blocks that costs less than the rest of a program.
_BLOCK: Final = {4 * KIB: 30, 16 * KIB: 25, 64 * KIB: 29}
_BLOCKS: Final = 14


class Offers(NamedTuple):
    """The capabilities that programs may request.

    :param split: eager splitting
    :param ring: dirty rings
    :param grace: RCU, whose grace periods programs may end
    :param memfd: slots whose memory is a guest_memfd
    :param par: par blocks
    :param lpa2: physical addresses of 52 bits
    :param mte: memory with tags; *tagged_hugetlb*: also memory of hugetlb
    :param nested: vCPUs with EL2
    :param types: a version may ask how a driver maps frames of its device
    :param narrow: a VM with many guest address bits takes long to end
    :param bbm: FEAT_BBM, for which a version asks
    :param overtaken: operations of host and user space whose walks a vCPU may overtake
    :param prefault: KVM_PRE_FAULT_MEMORY, which one of the versions has
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
    nested: bool = False
    types: bool = False
    bbm: bool = False
    overtaken: frozenset[type] = frozenset()
    prefault: bool = False


def equipped(program: Program, offers: Offers, source: random.Random) -> Program:
    """Return the program, sometimes on VMs for which user space requests offered capabilities.

    :param program: a valid program, like the result
    :param source: the source of choices; nothing is drawn where nothing is offered
    """
    vm = program.vm
    if offers.split and source.randrange(100) < _SPLIT:
        split = source.choice(SPLIT_SIZES[vm.granule])
        if may_split(program, split, source):
            vm = replace(vm, split=split)
            program = failing_splits(program, source)
    # In all kernels that have them, rings without bitmaps lose pages. Programs with them are written by hand.
    if offers.ring and vm.manual == "off" and source.randrange(100) < _RING:
        vm = replace(vm, ring=max(RING_SIZES[0], vm.granule))
    if offers.grace and source.randrange(100) < _GRACE:
        vm = replace(vm, grace=source.choice(_GRACES))
    if offers.bbm and source.randrange(100) < _BBM:
        vm = replace(vm, bbm=True)
    program = program if vm == program.vm else replace(program, vm=vm)
    if offers.mte and source.randrange(100) < _MTE:
        program = with_tags(program, offers.tagged_hugetlb)
    elif offers.memfd and source.randrange(100) < _MEMFD:
        program = on_memfd(program, source)
    if offers.types and any(slot.backing == "device" for slot in program.slots):
        program = with_types(program, source)
    if offers.nested and source.randrange(100) < _NESTED:
        program = nested(program, source.randrange(100) < _STAGE2)
    elif offers.lpa2 and source.randrange(100) < _WIDE:
        program = widened(program, wide_bits(vm.granule, offers.narrow, source))
    return narrowed(program, source) if offers.narrow else program


def with_tags(program: Program, hugetlb: bool) -> Program:
    """Return the program on VMs with MTE. Slots whose memory has no tags get other memory.

    :param hugetlb: whether memory of hugetlb has tags
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


def nested(program: Program, stage2: bool) -> Program:
    """Return the program on a VM whose vCPUs have EL2, if it is a program of one VM with two vCPUs or more.

    Each notification walks all of its address space, which therefore is small.

    :param stage2: whether the guest hypervisor has enabled its stage 2
    """
    vm = program.vm
    if vm.vms > 1 or vm.cpus == 1:
        return program
    small = with_bits(program, _NESTED_IPA)
    return program if small is None else replace(small, vm=replace(small.vm, nested=True, stage2=stage2))


def with_types(program: Program, source: random.Random) -> Program:
    """Return the program, sometimes with all its device frames of a type that a guest may use as memory."""
    vm, drawn = program.vm, source.randrange(100)
    if drawn >= _TYPES:
        return program
    backing: Backing = UNCACHED if drawn < _UNCACHED else CACHED
    # The rest of the machines may lack what these frames need: then some kernels refuse them.
    if backing == CACHED and drawn < _CACHED:
        vm = replace(vm, fwb=True, dic=True)
    slots = tuple(replace(slot, backing=backing) if slot.backing == "device" else slot for slot in program.slots)
    return replace(program, vm=vm, slots=slots)


def stays_wide(granule: int, ipa: int, source: random.Random) -> bool:
    """Decide whether a program keeps this many guest address bits: the longer its VM takes to end, the fewer do."""
    more = ipa - _BLOCK[granule] - _BLOCKS
    return more <= 0 or source.randrange(1 << more) == 0


def narrowed(program: Program, source: random.Random) -> Program:
    """Return the program on VMs with fewer guest address bits, mostly. Addresses near their end stay near the end."""
    if stays_wide(program.vm.granule, program.vm.ipa, source):
        return program
    return with_bits(program, _BLOCK[program.vm.granule] + _BLOCKS) or program


def with_bits(program: Program, bits: int) -> Program | None:
    """Return the program on VMs with at most this many guest address bits; None: its addresses do not allow it."""
    vm = program.vm
    if vm.ipa <= bits:
        return program
    end, narrow = 1 << vm.ipa, replace(vm, ipa=bits)
    half = 1 << (bits - 1)
    if any(half - MAX_SLOT_SIZE < where < end - half for where in addresses(program)):
        return None
    return relocated(program, narrow, lambda where: where if where < half else where - end + (1 << bits))


def addresses(program: Program) -> list[int]:
    """Return the guest addresses of slots and operations within the address space."""
    places: list[Any] = [*program.slots, *program.operations]
    found = [getattr(each, "ipa", None) for each in places]
    return [where for where in found if where is not None and where < 1 << program.vm.ipa]


def relocated(program: Program, vm: Vm, moved: Callable[[int], int]) -> Program:
    """Return the program on other VMs, with slots at other guest addresses. No address is beyond 52 bits.

    :param vm: the settings of the other VMs
    :param moved: maps an address; addresses beyond both address spaces stay
    """
    beyond = range(max(outside(vm).start, outside(program.vm).start), outside(vm).stop)

    def placed(operation: Operation) -> Operation:
        each: Any = operation
        where = getattr(each, "ipa", None)
        if where is None or (isinstance(operation, GuestOutside) and where in beyond):
            return operation
        changed: Operation = replace(each, ipa=moved(where))
        return changed

    slots = tuple(replace(slot, ipa=moved(slot.ipa)) for slot in program.slots)
    kept = [each for each in program.operations if beyond or not isinstance(each, GuestOutside)]
    return Program(vm, slots, tuple(map(placed, kept)))


def failing_splits(program: Program, source: random.Random) -> Program:
    """Return the program, sometimes without the memory to split blocks when logging begins or continues."""

    def failing(operation: Operation) -> Operation:
        if (isinstance(operation, SetLog) and operation.on) or isinstance(operation, ClearLog):
            if source.randrange(100) < _SPLIT_FAILS:
                return replace(operation, fail=source.choice((1, 2)))
        return operation

    return replace(program, operations=tuple(map(failing, program.operations)))


def with_lpa(program: Program, narrow: bool, source: random.Random) -> Program:
    """Return the program, sometimes with physical addresses of 52 bits where that is FEAT_LPA: with 64K pages.

    All versions have it, so nothing has to offer it.

    :param narrow: as in `Offers`
    """
    vm = program.vm
    if vm.granule != 64 * KIB or vm.pa == 52 or vm.nested or source.randrange(100) >= _WIDE:
        return program
    return widened(program, wide_bits(vm.granule, narrow, source))


def wide_bits(granule: int, narrow: bool, source: random.Random) -> int:
    """Draw the guest address bits where a physical address has 52; 0: those of the program.

    :param narrow: as in `Offers`
    """
    bits = source.choice(_WIDE_IPA[granule])
    return bits if not narrow or stays_wide(granule, bits, source) else 0


def widened(program: Program, ipa: int) -> Program:
    """Return the program with physical addresses of 52 bits.

    :param ipa: guest address bits; all slots move together to the end of that space; 0: as before. With 52 bits
        no address lies beyond
    """
    vm = program.vm
    if ipa <= vm.ipa:
        return replace(program, vm=replace(vm, pa=52))
    by = (1 << ipa) - (1 << vm.ipa)
    return relocated(program, replace(vm, ipa=ipa, pa=52), lambda where: where + by)


def on_memfd(program: Program, source: random.Random) -> Program:
    """Return the program with a guest_memfd for one of its slots, without operations that it does not support."""
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
