# SPDX-License-Identifier: GPL-2.0-only
"""The repair of programs, from any numbers to a valid one: each statement becomes the nearest legal one.

A legal statement stays the same. `fuzz.language.validation_state.ValidationState` decides what is legal.
This module only proposes statements, the nearest first.

* A choice is taken modulo the number of choices.
* A place in a slot is taken modulo its size, a size modulo the rest of the slot.
  Both are rounded down to the alignment of the operation.
* Random bytes should not take minutes: invalid sizes of slots and of
  hypervisor mappings become small ones. A large slot (some
  take many seconds) needs a mark in a second place, which one mutation rarely sets.
* A slot whose place is taken moves to the nearest end of another one. Where no place is
  free, it is left out.
* An operation goes to the next slot that has a suitable backing. The VM of the slot must not have ended, except for
  operations of the host. An operation that the state does not allow becomes one that makes it legal: a deleted slot is
  created again, logging is turned on. The last resort is a guest access, which is always legal.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from typing import Any, Final, NamedTuple

from . import operations as ops
from .bounds import (
    CPUS,
    GRACES,
    MANUAL,
    MAX_SLOT_SIZE,
    MAX_SLOTS,
    NESTED_IPA,
    PA_BITS,
    RESCHEDS,
    VM_FAILS,
    VMS,
    ipa_bits,
    ring_sizes,
    wanted_backings,
)
from .operands import FIELDS, Operands, RawOperation
from .operations import OPERATIONS, OPTIONAL, Operation, declaration_of
from .operations.declaration import DELETED, LOGGED, OPTIONAL_FROM
from .program import (
    BACKINGS,
    GIB,
    GRANULES,
    MEMFD,
    MIB,
    RING_SIZES,
    SPLIT_SIZES,
    TAGLESS,
    UNLOGGED,
    Backing,
    ManualLog,
    ProgramError,
    Slot,
    Vm,
    backings,
)
from .validation_state import SLOT_NAME, ValidationState

# The mark in the record of a slot that is to be larger than `large_size`.
LARGE: Final = 0xA5
# The upper half of a byte that requests a capability of few versions. Random bytes seldom have it. `BARE`: of a byte
# that requests a dirty ring without bitmaps.
RARE: Final = 0xA0
BARE: Final = 0xB0
_UPPER: Final = 0xF0
# The mark in two bytes of the record of a slot whose memory is a guest_memfd.
MEMFD_MARK: Final = 0xA6
# The mark in the record of an operation that only some versions know.
OPTIONAL_MARK: Final = 0xA7


def large_size(page: int) -> int:
    """Return the size in bytes beyond which a slot is large. *page* is the page size."""
    return min(16384 * page, 512 * MIB)


class RawVm(NamedTuple):
    """The machine as numbers; see `fuzz.language.binary`."""

    granule: int
    ipa: int
    cpus: int
    vms: int
    flags: int
    manual: int
    slots: int
    fail: int
    resched: int = 0
    split: int = 0
    ring: int = 0
    contended: int = 0
    grace: int = 0
    pa: int = 0
    mte: int = 0
    bbm: int = 0
    nested: int = 0


class RawSlot(NamedTuple):
    """A slot as numbers: *ipa*, *size* and *offset* in pages."""

    backing: int
    flags: int
    vm: int
    alias: int
    large: int
    memfd: int
    name: bytes
    ipa: int
    size: int
    offset: int


def repair_vm(raw: RawVm) -> tuple[Vm, int]:
    """Return the machine that *raw* encodes, and the number of slots that follow."""
    flags = raw.flags
    granule = GRANULES[raw.granule % len(GRANULES)]
    manual: ManualLog = MANUAL[raw.manual % len(MANUAL)]
    split = _marked(raw.split, RARE, SPLIT_SIZES[granule])
    bare = _marked(raw.ring, BARE, RING_SIZES)
    ring = bare or _marked(raw.ring, RARE, RING_SIZES)
    if manual != "off" or ring not in ring_sizes(granule):
        ring = 0
    pa = _marked(raw.pa, RARE, PA_BITS[1:]) or PA_BITS[0]
    ipas = ipa_bits(pa)
    vm = Vm(
        granule,
        ipas[raw.ipa % len(ipas)],
        CPUS[raw.cpus % len(CPUS)],
        VMS[raw.vms % len(VMS)],
        fwb=bool(flags & 1),
        dic=bool(flags & 2),
        ttl=bool(flags & 4),
        range=bool(flags & 8),
        haf=bool(flags & 16),
        manual=manual,
        fail=raw.fail if raw.fail in VM_FAILS else None,
        resched=raw.resched if raw.resched in RESCHEDS else None,
        contended=raw.contended if raw.contended in RESCHEDS else None,
        split=split,
        ring=ring,
        bitmap=not (ring and bare),
        grace=raw.grace if raw.grace in GRACES else None,
        pa=pa,
        mte=raw.mte & _UPPER == RARE,
        bbm=raw.bbm & _UPPER == RARE,
    )
    if raw.nested & _UPPER == RARE and vm.vms == 1 and pa == PA_BITS[0] and vm.ipa <= NESTED_IPA:
        vm = replace(vm, nested=True, stage2=bool(raw.nested & 1))
    return vm, raw.slots % MAX_SLOTS + 1


def _marked(byte: int, mark: int, sizes: tuple[int, ...]) -> int:
    """Return the size that a byte with this mark encodes; 0: it does not have the mark."""
    return sizes[(byte & ~_UPPER) % len(sizes)] if byte & _UPPER == mark else 0


class Repair:
    """Repairs the statements of a program one by one.

    :param vm: the machine
    """

    def __init__(self, vm: Vm) -> None:
        self.vm = vm
        self.state = ValidationState(vm)
        self.operands = Operands(vm)
        self.slots: list[Slot] = []

    def slot(self, raw: RawSlot) -> None:
        """Add one more slot, unless there is no place for it."""
        page = self.vm.granule
        allowed = backings(page)
        backing: Backing = BACKINGS[raw.backing % len(BACKINGS)]
        if raw.backing == raw.memfd == MEMFD_MARK:
            backing = MEMFD
        elif backing not in allowed:
            backing = allowed[raw.backing % len(allowed)]
        if self.vm.mte and backing in TAGLESS:
            backing = BACKINGS[0]
        alias, most = "", MAX_SLOT_SIZE
        if 0 < raw.alias <= len(self.slots):
            other = self.slots[raw.alias - 1]
            if other.alias:
                other = self.state.slots[other.alias]
            if MEMFD not in (other.backing, backing):
                alias, backing, most = other.name, other.backing, other.size
        size, large = raw.size * page, large_size(page)
        if not page <= size <= min(most, 1 << self.vm.ipa) or (size > large and raw.large != LARGE):
            size = min((raw.size % 4 + 1) * page * page // 8, large, most)
        offset = raw.offset * page
        if offset >= GIB or (alias and offset > most - size):
            offset = 0
        flags, vm = raw.flags, raw.vm % self.vm.vms
        log = bool(flags & 1) and backing not in UNLOGGED
        ro = bool(flags & 2) and backing != MEMFD
        slot = Slot(self.name(raw.name), 0, size, backing, offset, log, ro, vm, alias)
        for ipa in self.places(slot, raw.ipa * page):
            try:
                slot = replace(slot, ipa=ipa)
                self.state.declare(slot)
            except ProgramError:
                continue
            self.slots.append(slot)
            return

    def name(self, raw: bytes) -> str:
        """Return a name that no slot has yet: *raw* up to the first 0, or else s0, s1 ..."""
        name = raw.split(b"\0")[0].decode("latin-1")
        if SLOT_NAME.fullmatch(name) and name not in self.state.slots:
            return name
        return next(name for name in map("s{}".format, count()) if name not in self.state.slots)

    def places(self, slot: Slot, ipa: int) -> Iterator[int]:
        """Yield guest addresses where a slot may fit: *ipa*, then the ends of other slots of the VM, nearest first."""
        limit = 1 << self.vm.ipa
        if ipa + slot.size > limit:
            # Keep such slots apart and aligned, so that they can have blocks.
            ipa = ipa // self.vm.granule % (limit // GIB - 1) * GIB
        yield ipa
        state = self.state
        ends = [
            state.ipa[each.name] + each.size for each in self.slots if each.name in state.live and each.vm == slot.vm
        ]
        yield from sorted({0, *ends}, key=lambda end: (abs(end - ipa), end))

    def operation(self, raw: RawOperation) -> Operation:
        """Return the operation that *raw* encodes, or the nearest that is legal now."""
        for operation in self.attempts(raw):
            try:
                self.state.check(operation)
            except ProgramError:
                continue
            return operation
        raise AssertionError("a guest access is always legal")

    def attempts(self, raw: RawOperation) -> Iterator[Operation]:
        """Yield the operation that *raw* encodes, then those near it."""
        make = OPERATIONS[raw.kind % len(OPERATIONS)]
        if raw.optional == OPTIONAL_MARK and raw.kind - OPTIONAL_FROM in range(len(OPTIONAL)):
            make = OPTIONAL[raw.kind - OPTIONAL_FROM]
        at = raw.slot % len(self.slots)
        around = [*self.slots[at:], *self.slots[:at]]
        running = [each for each in around if self.state.runs(each.vm)] if self.state.ended else around
        slot = running[0]
        if "slot" in FIELDS[make]:
            wanted = wanted_backings(make, self.vm.granule)
            there = around if issubclass(make, ops.SlotPlace) and make is not ops.ClearLog else running
            slots = [each for each in there if each.backing in wanted]
            if slots:
                slot = slots[0]
                yield from self.on_slot(make, raw, slot)
        else:
            yield self.operands.build(make, raw, slot)
        # Memory outlives its VM. Its vCPUs do not.
        yield self.operands.build(ops.GuestAccess, raw, slot if self.state.runs(slot.vm) else running[0])

    def on_slot(self, make: type[Any], raw: RawOperation, slot: Slot) -> Iterator[Operation]:
        """Yield an operation on a slot, then operations that lead to a state in which it is legal."""
        name, needs = slot.name, declaration_of(make).needs
        operation = self.operands.build(make, raw, slot)
        yield operation
        if DELETED in needs and name in self.state.live:
            yield ops.SlotDelete(name)
        elif name not in self.state.live and DELETED not in needs:
            operation = self.operands.build(ops.SlotCreate, raw._replace(flags=raw.flags & 3), slot)
            yield operation
        elif LOGGED in needs:
            yield ops.GetLog(name)
            yield ops.SetLog(name, True)
        if isinstance(operation, ops.SlotCreate | ops.SlotMove):
            near = self.state.ipa[name] if operation.ipa is None else operation.ipa
            for ipa in self.places(slot, near):
                yield replace(operation, ipa=ipa)
