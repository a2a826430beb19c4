# SPDX-License-Identifier: GPL-2.0-only
"""The binary form of programs, for engines that mutate bytes: records of 32 bytes.

The first record is the machine, then come its slots (the first record holds
their number), then the operations. Every byte string is a program:
`fuzz.language.repair` repairs meaningless fields and leaves valid ones alone.
`encode` writes every valid program so that nothing needs repair.

Numbers are little endian. Choices are indices, in the order of the types in
`fuzz.language.program` and `fuzz.language.operations`, modulo the number of choices. An
address, offset or size is a number of pages. Where it need not be a multiple of
the page size, its top 16 bits hold the remaining bytes: small values mean
the first pages, and one byte changes either page or place within it.

An operation with `BEGINS` in byte 6 begins a par block. The following operations with `WITHIN` belong to the block. The
lower half of that byte is the number of the thread (``host1``) that runs the operation. Records with `SWITCH` there
are the switches of the preceding block: byte 0 is the point, byte 1 the actor that gives way, byte 2 the one that
continues, byte 3 before or after, the number from byte 8 on the count, and the number from byte 16 on ``fault=``.

======  ==========================  =================================  ========================
byte    machine                     slot                               operation
======  ==========================  =================================  ========================
0       page size                   backing; `MEMFD_MARK`: memfd       kind
1       bits of an address, -32     bit 0 log, bit 1 ro                vCPU
2       cpus, -1                    VM                                 slot
3       vms, -1                     alias: 0 none, else slot, +1       access, prot, CPU or VM
4       bits 0-4: fwb, dic, ttl,    `LARGE`: over `large_size`         bit 0 mmu, on, flush or
        range, haf                                                     log, bit 1 ro, bit 2 ipa=
5       manual                      `MEMFD_MARK`, with byte 0          fail, 0 none
6       slots, -1                   unused                             of a par block: see above
7       fail, 0 none                unused                             `OPTIONAL_MARK`: optional
8       resched, 0 none             name, 8 bytes, ends with           offset, ipa or va, 8 bytes
                                    the first 0
9       `RARE`: split, which size   see 8                              see 8
10      `RARE`: ring, which size    see 8                              see 8
        (`BARE`: without bitmap)
11      contended, 0 none           see 8                              see 8
12      grace, 0 none               see 8                              see 8
13      `RARE`: pa, 52 bits         see 8                              see 8
14      `RARE`: mte                 see 8                              see 8
15      `RARE`: bbm                 see 8                              see 8
16      `RARE`: nested, bit 0       see 8                              see 8
        stage2
17-23   unused                      ipa                                size
24-31   unused                      size and offset, 4 bytes each      pa
======  ==========================  =================================  ========================
"""

import struct
from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import Final

from .block_repair import RECORDS, RawSwitch, repair_block
from .bounds import CPUS, MANUAL, MAX_OPERATIONS, MAX_SLOTS, PA_BITS, VMS, ipa_bits
from .lock_rules import MAX_ACCESSES
from .operands import FIELDS, PAGE_BITS, RawOperation
from .operations import (
    ACCESS_KINDS,
    HYP_PROTS,
    MOMENTS,
    OPERATIONS,
    OPTIONAL,
    POINTS,
    PROTS,
    Concurrent,
    HypMap,
    Operation,
    Par,
    Switch,
    actors_of,
    declaration_of,
    plain,
)
from .program import BACKINGS, GRANULES, MEMFD, RING_SIZES, SPLIT_SIZES, Program, Slot, Vm
from .repair import BARE, LARGE, MEMFD_MARK, OPTIONAL_MARK, RARE, RawSlot, RawVm, Repair, large_size, repair_vm

RECORD_SIZE: Final = 32
_UPPER: Final = 0xF0
_VM: Final = struct.Struct("<17B15x")
_SLOT: Final = struct.Struct("<6B2x8sQII")
_OPERATION: Final = struct.Struct("<8BQQQ")
_VM_FLAGS: Final = ("fwb", "dic", "ttl", "range", "haf")
_KIND: Final[dict[type, int]] = {make: declaration_of(make).position for make in (*OPERATIONS, *OPTIONAL)}


class RecordMark(IntEnum):
    """The upper half of byte 6, in the records of a par block."""

    WITHIN = 0xB0
    BEGINS = 0xC0
    SWITCH = 0xD0


def decode(data: bytes) -> Program:
    """Return the valid program that *data* encodes. Raises no exceptions.

    An incomplete record is padded with zeros. Operations beyond `MAX_OPERATIONS` are left out.
    """
    data = data[: (1 + MAX_SLOTS + MAX_OPERATIONS * RECORDS) * RECORD_SIZE]
    data = data.ljust(2 * RECORD_SIZE, b"\0")
    data += bytes(-len(data) % RECORD_SIZE)
    vm, slots = repair_vm(RawVm(*_VM.unpack_from(data)))
    repair = Repair(vm)
    at = RECORD_SIZE
    end = min(len(data), at + slots * RECORD_SIZE)
    while at < end:
        repair.slot(RawSlot(*_SLOT.unpack_from(data, at)))
        at += RECORD_SIZE
    operations: list[Operation] = []
    for together, switches in _statements(data[at:]):
        operations += repair_block(repair, together, switches)
        if len(operations) >= MAX_OPERATIONS:
            break
    return Program(vm, tuple(repair.slots), tuple(operations[:MAX_OPERATIONS]))


def _statements(data: bytes) -> Iterator[tuple[list[RawOperation], list[RawSwitch]]]:
    """Yield single operations one by one, and the operations of a block together, with its switches."""
    together: list[RawOperation] = []
    switches: list[RawSwitch] = []
    open_ = False
    for kind, cpu, slot, choice, flags, fail, mark, optional, first, size, third in _OPERATION.iter_unpack(data):
        what = mark & _UPPER
        if what == RecordMark.SWITCH:
            # Without a block before it, a switch has no meaning.
            if open_:
                switches.append(RawSwitch(kind, cpu, slot, choice, first, size))
            continue
        if together and (what != RecordMark.WITHIN or not open_ or len(together) == MAX_ACCESSES):
            yield together, switches
            together, switches = [], []
        open_ = what in (RecordMark.BEGINS, RecordMark.WITHIN)
        together.append(
            RawOperation(kind, cpu, slot, choice, flags, fail, first, size, third, mark & ~_UPPER, optional)
        )
    if together:
        yield together, switches


def encode(program: Program) -> bytes:
    """Return the records of a valid program. `decode` returns the same program."""
    vm, page = program.vm, program.vm.granule
    index = {slot.name: at for at, slot in enumerate(program.slots)}
    records = [_encode_vm(vm, len(program.slots))]
    records += [_SLOT.pack(*raw_slot(slot, index, page)) for slot in program.slots]
    for operation in program.operations:
        if isinstance(operation, Par):
            mark = RecordMark.BEGINS
            for raw in raw_operations(operation, index, page):
                records.append(_pack(raw, mark))
                mark = RecordMark.WITHIN
            records += map(_pack_switch, raw_switches(operation.switches))
        else:
            records.append(_pack(raw_operation(operation, index, page), 0))
    return b"".join(records)


def _pack(raw: RawOperation, mark: int) -> bytes:
    """Return the record of an operation. *mark* gives its position in a block."""
    small = raw.kind, raw.cpu, raw.slot, raw.choice, raw.flags, raw.fail
    return _OPERATION.pack(*small, mark | raw.actor, raw.optional, raw.first, raw.size, raw.third)


def _pack_switch(raw: RawSwitch) -> bytes:
    return _OPERATION.pack(raw.point, raw.cpu, raw.to, raw.when, 0, 0, RecordMark.SWITCH, 0, raw.number, raw.fault, 0)


def raw_switches(switches: Iterable[Switch]) -> list[RawSwitch]:
    """Return switches as numbers."""
    return [
        RawSwitch(POINTS.index(each.point), each.cpu, each.to, MOMENTS.index(each.when), each.count, each.fault)
        for each in switches
    ]


def _encode_vm(vm: Vm, slots: int) -> bytes:
    flags = sum(getattr(vm, name) << bit for bit, name in enumerate(_VM_FLAGS))
    choices = GRANULES.index(vm.granule), vm.ipa - ipa_bits(vm.pa)[0], vm.cpus - CPUS[0], vm.vms - VMS[0]
    split = RARE | SPLIT_SIZES[vm.granule].index(vm.split) if vm.split else 0
    ring = (RARE if vm.bitmap else BARE) | RING_SIZES.index(vm.ring) if vm.ring else 0
    nested = RARE | vm.stage2 if vm.nested else 0
    rare = (RARE if each else 0 for each in (vm.pa != PA_BITS[0], vm.mte, vm.bbm))
    asked = vm.resched or 0, split, ring, vm.contended or 0, vm.grace or 0, *rare, nested
    return _VM.pack(*choices, flags, MANUAL.index(vm.manual), slots - 1, vm.fail or 0, *asked)


def raw_slot(slot: Slot, index: dict[str, int], page: int) -> RawSlot:
    """Return a slot as numbers.

    :param index: the index of each slot, keyed by its name
    :param page: page size in bytes
    """
    alias = index[slot.alias] + 1 if slot.alias else 0
    memfd = MEMFD_MARK if slot.backing == MEMFD else 0
    choices = memfd or BACKINGS.index(slot.backing), slot.log | slot.ro << 1, slot.vm, alias
    large = LARGE if slot.size > large_size(page) else 0
    return RawSlot(*choices, large, memfd, slot.name.encode(), slot.ipa // page, slot.size // page, slot.offset // page)


def raw_operations(block: Par, index: dict[str, int], page: int) -> list[RawOperation]:
    """Return the operations of a block as numbers. The parameters are those of `raw_slot`."""
    return [raw_operation(plain(each), index, page)._replace(actor=_number_of(each)) for each in block.operations]


def _number_of(each: Concurrent) -> int:
    """Return the number of the thread that runs an operation, among threads of its kind; 0: a vCPU runs it."""
    actors = actors_of(plain(each))
    return 0 if actors is None else actors.index(each.cpu)


def raw_operation(operation: Operation, index: dict[str, int], page: int) -> RawOperation:
    """Return an operation that is no block as numbers. The parameters are those of `raw_slot`."""
    cpu = slot = choice = flags = fail = 0
    numbers = [0, 0, 0]
    for name in FIELDS[type(operation)]:
        value = getattr(operation, name)
        if name == "cpu":
            cpu = value
        elif name == "slot":
            slot = index[value]
        elif name in ("to", "vm"):
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
    optional = OPTIONAL_MARK if type(operation) in OPTIONAL else 0
    raw = RawOperation(_KIND[type(operation)], cpu, slot, choice, flags, fail, *numbers)
    return raw._replace(optional=optional)
