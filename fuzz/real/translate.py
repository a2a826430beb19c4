# SPDX-License-Identifier: GPL-2.0-only
"""A program as user space can play it: the part of it that a real kernel runs, and the lines that /init plays.

What no user space can cause is left out, of what the model runs too, and told of: contents of caches, speculation,
eviction, failures that are injected, ageing, direct calls of pgtable.c.
"""

from dataclasses import dataclass, replace
from typing import Final

from ..language.operations import (
    ClearLog,
    Evict,
    GetLog,
    GuestAccess,
    GuestCache,
    GuestExternalAbort,
    GuestMove,
    GuestReset,
    GuestSetWay,
    HostAge,
    HostCollapse,
    HostDiscard,
    HostMerge,
    HostMigrate,
    HostPoison,
    HostShare,
    HostSplit,
    HostTestAge,
    HostUnmap,
    HostWrite,
    HostWriteback,
    HypMap,
    OnSlot,
    Operation,
    SetLog,
    SlotCreate,
    SlotDelete,
    SlotMove,
    SlotPlace,
    SlotRange,
    Speculate,
    TablePlace,
    TableRange,
)
from ..language.program import GIB, HUGE_SHIFT, MEMFD, MIB, Program, Slot, Vm, has_blocks, sequential, show_bytes
from ..language.text import headings
from ..sides.guest import MANUAL_LOG
from ..sides.side import HVA_BASE, HVA_STEP
from .errors import UnplayableError

# Operations that are left out, each with the reason.
LEFT_OUT: Final[tuple[tuple[type, str], ...]] = (
    (Speculate, "speculation is the CPU's own affair"),
    (Evict, "what a TLB loses is the CPU's own affair"),
    (HostWriteback, "when caches write back is the CPU's own affair"),
    (GuestExternalAbort, "memory of the emulated machine does not fail"),
    (HostAge, "user space cannot have pages aged at will"),
    (HostTestAge, "user space cannot have pages aged at will"),
    (HostMerge, "when pages are merged is the kernel's own affair"),
    (TableRange, "user space cannot call pgtable.c"),
    (TablePlace, "user space cannot call pgtable.c"),
    (HypMap, "user space cannot map memory of the hypervisor"),
)
ACCESSES: Final = {"read": "R", "write": "W", "fetch": "F"}
HOST_CODES: Final = {
    HostWrite: "H",
    HostMigrate: "G",
    HostDiscard: "D",
    HostUnmap: "U",
    HostShare: "V",
    HostCollapse: "K",
    HostSplit: "S",
    HostPoison: "P",
}
# The most memory of each backing: what the pools of the emulated machine have, and what it populates in a second.
MOST: Final = {
    "anon": 512 * MIB,
    "thp": 512 * MIB,
    "device": 96 * MIB,
    "hugetlb64k": 4 * MIB,
    "hugetlb2m": 72 * MIB,
    "hugetlb32m": 96 * MIB,
    "hugetlb1g": GIB,
}
# Without LPA2.
MOST_ADDRESS_BITS: Final = 48
# Room in the guest's address space for our own code, and for what it reports to.
WINDOW: Final = 4 * MIB
FIRST_WINDOW: Final = 128 * MIB
WINDOW_STEP: Final = 32 * MIB
_READ_ONLY: Final = 2


@dataclass(frozen=True)
class Played:
    """The part of a program that a real kernel plays.

    :param program: for the model
    :param lines: for /init, one operation each behind the machine and its slots
    :param left_out: the operations, and settings, of the original that are not played, each with the reason
    :param places: of each operation that is played, its index in the original
    """

    program: Program
    lines: tuple[str, ...]
    left_out: tuple[str, ...]
    places: tuple[int, ...]


def played(program: Program, page_size: int, synchronous: bool = False) -> Played:
    """Make of a program what user space can play.

    :param page_size: of the kernel, in bytes
    :param synchronous: the machine waits after each operation, for somebody to look at its tables
    :raises UnplayableError: nothing of it, or it needs what the emulated machine does not have
    """
    if program.vm.granule != page_size:
        sizes = f"pages of {show_bytes(program.vm.granule)}, and the kernel has pages of {show_bytes(page_size)}"
        raise UnplayableError(f"the program has {sizes}")
    left_out: list[str] = []
    if has_blocks(program):
        left_out.append("par blocks: their operations are played one after the other, for no user space can steer them")
        program = sequential(program)
    names = headings(program)
    kept: list[Operation] = []
    places: list[int] = []
    for at, op in enumerate(program.operations):
        reason = reason_for_leaving_out(op)
        if reason:
            left_out.append(f"{names[at + 1]}: {reason}")
            continue
        plain = without_failure(op)
        if plain != op:
            left_out.append(f"{names[at + 1]}: played without fail=, for user space cannot make allocations fail")
        kept.append(cached(plain))
        places.append(at)
    if not kept:
        raise UnplayableError("it has no operation that user space can cause")
    vm, changes = emulated(program.vm)
    left_out += changes
    plain_program = replace(program, vm=vm, operations=tuple(kept))
    lines = (*machine_lines(plain_program, synchronous), *map(PlayedLines(plain_program).line, kept))
    return Played(plain_program, lines, tuple(left_out), tuple(places))


def reason_for_leaving_out(op: Operation) -> str:
    """The reason why user space cannot cause an operation; "": it can."""
    for kind, reason in LEFT_OUT:
        if isinstance(op, kind):
            return reason
    if isinstance(op, GuestAccess) and op.kind not in ACCESSES:
        return f"our code in the guest knows no {op.kind}"
    return ""


def without_failure(op: Operation) -> Operation:
    """The operation with no allocation that is made to fail."""
    if isinstance(op, GuestAccess | SlotCreate | SlotMove) and op.fail is not None:
        return replace(op, fail=None)
    return op


def cached(op: Operation) -> Operation:
    """The operation with the guest's MMU on: the emulated machine has no caches that an access could bypass."""
    return replace(op, mmu=True) if isinstance(op, GuestAccess) and not op.mmu else op


def emulated(vm: Vm) -> tuple[Vm, list[str]]:
    """The settings that the emulated machine has, and what is told of those that the program asks for.

    :raises UnplayableError: a capability of the kernel that /init does not use
    """
    if vm.ring:
        raise UnplayableError("it asks for dirty rings (ring=), which /init does not read")
    if vm.pa > MOST_ADDRESS_BITS:
        raise UnplayableError(f"it has addresses of {vm.pa} bits (pa=), and the emulated CPU has {MOST_ADDRESS_BITS}")
    changes = [f"vm {name}=: {reason}" for name, reason in SETTINGS.items() if getattr(vm, name)]
    # The CPU of `fuzz.real.machine.CPU`.
    real = replace(vm, fwb=True, dic=False, haf=False, ttl=True, range=True, fail=None, resched=None, contended=None)
    return replace(real, grace=None), changes


SETTINGS: Final = {
    "fail": "user space cannot make allocations fail",
    "resched": "who waits for the mmu lock is the kernel's own affair",
    "contended": "who waits for the mmu lock is the kernel's own affair",
    "grace": "when a grace period ends is the kernel's own affair",
    "haf": "the emulated CPU does not set access flags",
    "dic": "the emulated CPU asks for maintenance of the instruction cache",
}


def free_windows(program: Program) -> tuple[int, int]:
    """Two places in the guest's address space that no slot ever uses.

    :raises UnplayableError: there is no room
    """
    sizes = {slot.name: slot.size for slot in program.slots}
    used = [(slot.ipa, slot.ipa + slot.size) for slot in program.slots]
    moves = [op for op in program.operations if isinstance(op, SlotMove | SlotCreate)]
    used += [(op.ipa, op.ipa + sizes[op.slot]) for op in moves if op.ipa is not None]
    found: list[int] = []
    for at in range(FIRST_WINDOW, 1 << program.vm.ipa, WINDOW_STEP):
        if all(at + WINDOW <= start or end <= at for start, end in used):
            found.append(at)
            if len(found) == 2:
                return found[0], found[1]
    raise UnplayableError("its slots leave no room for our code in the guest")


def machine_lines(program: Program, synchronous: bool) -> list[str]:
    """The lines that make VMs and slots.

    :raises UnplayableError: the emulated machine has not so much memory
    """
    vm = program.vm
    stub, mmio = free_windows(program)
    head = f"v {vm.ipa} {vm.cpus} {vm.vms} {MANUAL_LOG[vm.manual]} {vm.split} {stub:#x} {mmio:#x} {int(synchronous)}"
    lines = [head]
    total: dict[str, int] = {}
    numbers = {slot.name: number for number, slot in enumerate(program.slots)}
    addresses = host_addresses(program)
    for number, slot in enumerate(program.slots):
        if slot.backing not in MOST:
            what = "a guest_memfd" if slot.backing == MEMFD else f"pages of {slot.backing}"
            raise UnplayableError(f"slot {slot.name} is {what}, which the emulated machine does not have")
        if not slot.alias:
            total[slot.backing] = total.get(slot.backing, 0) + room(slot, addresses[slot.name])
        flags = int(slot.log) | _READ_ONLY * slot.ro
        alias = numbers[slot.alias] if slot.alias else -1
        place = f"{slot.ipa:#x} {slot.size:#x} {addresses[slot.name]:#x}"
        huge = HUGE_SHIFT.get(slot.backing, 0)
        lines.append(f"s {number} {slot.vm} {place} {huge} {alias} {flags} {slot.backing}")
    for backing, size in total.items():
        if size > MOST[backing]:
            most = f"the emulated machine has {show_bytes(MOST[backing])}"
            raise UnplayableError(f"its slots have {show_bytes(size)} of {backing} memory, and {most}")
    return lines


def room(slot: Slot, start: int) -> int:
    """Bytes behind a slot at host address *start*: of hugetlb, whole pages around it."""
    page = 1 << HUGE_SHIFT.get(slot.backing, 0)
    return -(-(start + slot.size) // page) * page - start // page * page


def host_addresses(program: Program) -> dict[str, int]:
    """The host address of each slot, as the model lays them out."""
    found: dict[str, int] = {}
    for number, slot in enumerate(program.slots):
        base = found[slot.alias] if slot.alias else HVA_BASE + number * HVA_STEP
        found[slot.name] = base + slot.offset
    return found


class PlayedLines:
    """Operations as lines.

    :param program: that they are part of
    """

    def __init__(self, program: Program) -> None:
        self.numbers = {slot.name: number for number, slot in enumerate(program.slots)}
        self.shifts = {slot.name: HUGE_SHIFT.get(slot.backing, 0) for slot in program.slots}
        self.addresses = host_addresses(program)
        self.vm = program.vm

    def line(self, op: Operation) -> str:
        """The line of one operation."""
        if isinstance(op, GuestAccess):
            return f"{ACCESSES[op.kind]} {op.cpu} {self.numbers[op.slot]} {op.offset:#x}"
        if isinstance(op, GuestCache):
            return f"C {op.cpu} {'on' if op.on else 'off'}"
        if isinstance(op, GuestSetWay):
            return f"C {op.cpu} way"
        if isinstance(op, GuestReset):
            return f"I {op.cpu}"
        if isinstance(op, GuestMove):
            # The emulated machine has one CPU.
            return "Z"
        assert isinstance(op, OnSlot | SlotPlace)
        number = self.numbers[op.slot]
        if isinstance(op, SlotPlace) and type(op) in HOST_CODES:
            return self.host_line(op, HOST_CODES[type(op)], number)
        if isinstance(op, SetLog):
            return f"L {number} {'on' if op.on else 'off'}"
        if isinstance(op, GetLog):
            return f"g {number}"
        if isinstance(op, ClearLog):
            return f"c {number} {op.offset:#x} {op.size:#x}"
        if isinstance(op, SlotDelete):
            return f"X {number}"
        if isinstance(op, SlotMove):
            return f"m {number} {op.ipa:#x}"
        assert isinstance(op, SlotCreate)
        return f"N {number} {'-' if op.ipa is None else hex(op.ipa)} {int(op.log) | _READ_ONLY * op.ro}"

    def host_line(self, op: SlotPlace, code: str, number: int) -> str:
        """The line of an operation of the host on a place or a range."""
        if not isinstance(op, SlotRange):
            return f"{code} {number} {op.offset:#x}"
        offset, size = op.offset, op.size
        shift = self.shifts[op.slot]
        if shift and isinstance(op, HostDiscard | HostUnmap):
            # Of hugetlb only whole pages go.
            start = self.addresses[op.slot] + offset
            first, last = -(-start >> shift) << shift, (start + size) >> shift << shift
            if first >= last:
                return "Z"
            offset, size = first - self.addresses[op.slot], last - first
        return f"{code} {number} {offset:#x} {size:#x}"
