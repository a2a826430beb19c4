# SPDX-License-Identifier: GPL-2.0-only
"""The binary form of programs, for engines that mutate bytes: records of 32 bytes.

The first record is the machine, then come its slots (as many as the first
says), then the operations. Every byte string is a program: `fuzz.language.repair`
repairs a field without a meaning and leaves valid ones alone; `encode`
writes every valid program so that nothing needs repair.

Numbers are little endian. Choices are indices, in the order of the types in
`fuzz.language.program` and `fuzz.language.operations`, and count modulo the number of choices. An
address, offset or size is a number of pages; where it need not be a multiple of
the page size, the bytes left over are in its top 16 bits: small values mean
the first pages, and one byte changes either page or place within it.

======  ==========================  =================================  ========================
byte    machine                     slot                               operation
======  ==========================  =================================  ========================
0       page size                   backing; `MEMFD_MARK`: memfd       kind
1       bits of an address, -32     bit 0 log, bit 1 ro                vCPU
2       cpus, -1                    VM                                 slot
3       vms, -1                     alias: 0 none, else slot, +1       access, prot or CPU
4       bits 0-4: fwb, dic, ttl,    `LARGE`: over `large_size`         bit 0 mmu, on, flush or
        range, haf                                                     log, bit 1 ro, bit 2 ipa=
5       manual                      `MEMFD_MARK`, with byte 0          fail, 0 none
6       slots, -1                   unused                             unused
7       fail, 0 none                unused                             unused
8       resched, 0 none             name, 8 bytes, ends with           offset, ipa or va, 8 bytes
                                    the first 0
9       `RARE`: split, which size   see 8                              see 8
10      `RARE`: ring, which size    see 8                              see 8
        (`BARE`: without bitmap)
11      contended, 0 none           see 8                              see 8
12      grace, 0 none               see 8                              see 8
13      `RARE`: pa, 52 bits         see 8                              see 8
14-15   unused                      see 8                              see 8
16-23   unused                      ipa                                size
24-31   unused                      size and offset, 4 bytes each      pa
======  ==========================  =================================  ========================
"""

import struct
from typing import Final

from .operands import FIELDS, PAGE_BITS, RawOperation
from .operations import ACCESS_KINDS, HYP_PROTS, OPERATIONS, PROTS, HypMap, Operation
from .program import BACKINGS, GRANULES, MEMFD, RING_SIZES, SPLIT_SIZES, Program, Slot, Vm, has_blocks, refusal
from .repair import BARE, LARGE, MEMFD_MARK, RARE, RawSlot, RawVm, Repair, large_size, repair_vm
from .validate import CPUS, MANUAL, MAX_OPERATIONS, MAX_SLOTS, PA_BITS, VMS, ipa_bits

RECORD_SIZE: Final = 32
_VM: Final = struct.Struct("<14B18x")
_SLOT: Final = struct.Struct("<6B2x8sQII")
_OPERATION: Final = struct.Struct("<6B2xQQQ")
_VM_FLAGS: Final = ("fwb", "dic", "ttl", "range", "haf")
_KIND: Final[dict[type, int]] = {make: kind for kind, make in enumerate(OPERATIONS)}


def decode(data: bytes) -> Program:
    """The program that *data* stands for, a valid one; no exceptions.

    An incomplete record ends in zeros; more than `MAX_OPERATIONS` are left out.
    """
    data = data[: (1 + MAX_SLOTS + MAX_OPERATIONS) * RECORD_SIZE]
    data = data.ljust(2 * RECORD_SIZE, b"\0")
    data += bytes(-len(data) % RECORD_SIZE)
    vm, slots = repair_vm(RawVm(*_VM.unpack_from(data)))
    repair = Repair(vm)
    at = RECORD_SIZE
    end = min(len(data), at + slots * RECORD_SIZE)
    while at < end:
        repair.slot(RawSlot(*_SLOT.unpack_from(data, at)))
        at += RECORD_SIZE
    end = min(len(data), at + MAX_OPERATIONS * RECORD_SIZE)
    operations: list[Operation] = []
    while at < end:
        operations.append(repair.operation(RawOperation(*_OPERATION.unpack_from(data, at))))
        at += RECORD_SIZE
    return Program(vm, tuple(repair.slots), tuple(operations))


def encode(program: Program) -> bytes:
    """The records of a valid program: `decode` gives the same again.

    :raises ProgramError: it has a par block, for which there is no record
    """
    if has_blocks(program):
        raise refusal("a par block has no binary form", "programs without par blocks")
    vm, page = program.vm, program.vm.granule
    index = {slot.name: at for at, slot in enumerate(program.slots)}
    records = [_encode_vm(vm, len(program.slots))]
    records += [_SLOT.pack(*raw_slot(slot, index, page)) for slot in program.slots]
    records += [_OPERATION.pack(*raw_operation(operation, index, page)) for operation in program.operations]
    return b"".join(records)


def _encode_vm(vm: Vm, slots: int) -> bytes:
    flags = sum(getattr(vm, name) << bit for bit, name in enumerate(_VM_FLAGS))
    choices = GRANULES.index(vm.granule), vm.ipa - ipa_bits(vm.pa)[0], vm.cpus - CPUS[0], vm.vms - VMS[0]
    split = RARE | SPLIT_SIZES[vm.granule].index(vm.split) if vm.split else 0
    ring = (RARE if vm.bitmap else BARE) | RING_SIZES.index(vm.ring) if vm.ring else 0
    asked = vm.resched or 0, split, ring, vm.contended or 0, vm.grace or 0, RARE if vm.pa != PA_BITS[0] else 0
    return _VM.pack(*choices, flags, MANUAL.index(vm.manual), slots - 1, vm.fail or 0, *asked)


def raw_slot(slot: Slot, index: dict[str, int], page: int) -> RawSlot:
    """A slot in numbers.

    :param index: of each slot, by its name
    :param page: page size in bytes
    """
    alias = index[slot.alias] + 1 if slot.alias else 0
    memfd = MEMFD_MARK if slot.backing == MEMFD else 0
    choices = memfd or BACKINGS.index(slot.backing), slot.log | slot.ro << 1, slot.vm, alias
    large = LARGE if slot.size > large_size(page) else 0
    return RawSlot(*choices, large, memfd, slot.name.encode(), slot.ipa // page, slot.size // page, slot.offset // page)


def raw_operation(operation: Operation, index: dict[str, int], page: int) -> RawOperation:
    """An operation in numbers; the parameters are those of `raw_slot`."""
    cpu = slot = choice = flags = fail = 0
    numbers = [0, 0, 0]
    for name in FIELDS[type(operation)]:
        value = getattr(operation, name)
        if name == "cpu":
            cpu = value
        elif name == "slot":
            slot = index[value]
        elif name == "to":
            choice = value
        elif name == "kind":
            choice = ACCESS_KINDS.index(value)
        elif name == "prot":
            choice = (HYP_PROTS if isinstance(operation, HypMap) else PROTS).index(value)
        elif name == "fail":
            fail = value or 0
        elif name == "ro":
            flags |= value << 1
        elif isinstance(value, bool):
            flags |= value
        elif value is not None:
            flags |= (name == "ipa") << 2
            at = 1 if name == "size" else 2 if name == "pa" else 0
            numbers[at] = value // page | value % page << PAGE_BITS
    return RawOperation(_KIND[type(operation)], cpu, slot, choice, flags, fail, *numbers)
