# SPDX-License-Identifier: GPL-2.0-only
"""The lines that /init plays: one for the machine, one for each slot, and one for each operation."""

from typing import Final

from ..language import operations as ops
from ..language.program import CACHED, GIB, HUGE_SHIFT, MEMFD, MIB, UNCACHED, Program, Slot, show_bytes
from ..sides.guest import MANUAL_LOG
from ..sides.side import HVA_BASE, host_room
from .errors import UnplayableError
from .left_out import ACCESSES

HOST_CODES: Final = {
    ops.HostWrite: "H",
    ops.HostMigrate: "G",
    ops.HostDiscard: "D",
    ops.HostUnmap: "U",
    ops.HostProtect: "A",
    ops.HostShare: "V",
    ops.HostCollapse: "K",
    ops.HostSplit: "S",
    ops.HostPoison: "P",
}
SLOT_CODES: Final[dict[type, str]] = {
    ops.SetLog: "L",
    ops.GetLog: "g",
    ops.ClearLog: "c",
    ops.SlotDelete: "X",
    ops.SlotMove: "m",
    ops.SlotCreate: "N",
}
# Upper bound of memory per backing: the size of the machine's pools, and what the machine populates in a second.
MAX_BACKED: Final = {
    "anon": 512 * MIB,
    "thp": 512 * MIB,
    "device": 96 * MIB,
    "hugetlb64k": 4 * MIB,
    "hugetlb2m": 72 * MIB,
    "hugetlb32m": 96 * MIB,
    "hugetlb1g": GIB,
}
# Space in the guest's address space for our own code, and for the MMIO area that it reports to.
WINDOW: Final = 4 * MIB
FIRST_WINDOW: Final = 128 * MIB
WINDOW_STEP: Final = 32 * MIB
_READ_ONLY: Final = 2


def free_windows(program: Program) -> tuple[int, int]:
    """Return two places in the guest's address space that no slot ever uses.

    :raises UnplayableError: there is no room
    """
    sizes = {slot.name: slot.size for slot in program.slots}
    used = [(slot.ipa, slot.ipa + slot.size) for slot in program.slots]
    moves = [op for op in program.operations if isinstance(op, ops.SlotMove | ops.SlotCreate)]
    used += [(op.ipa, op.ipa + sizes[op.slot]) for op in moves if op.ipa is not None]
    found: list[int] = []
    for at in range(FIRST_WINDOW, 1 << program.vm.ipa, WINDOW_STEP):
        if all(at + WINDOW <= start or end <= at for start, end in used):
            found.append(at)
            if len(found) == 2:
                return found[0], found[1]
    raise UnplayableError("its slots leave no room for our code in the guest")


def machine_lines(program: Program, synchronous: bool) -> list[str]:
    """Return the lines that create VMs and slots.

    :raises UnplayableError: the emulated machine does not have the memory
    """
    vm = program.vm
    stub, mmio = free_windows(program)
    head = f"v {vm.ipa} {vm.cpus} {vm.vms} {MANUAL_LOG[vm.manual]} {vm.split} {stub:#x} {mmio:#x}"
    lines = [f"{head} {int(synchronous)} {int(vm.mte)}"]
    total: dict[str, int] = {}
    numbers = {slot.name: number for number, slot in enumerate(program.slots)}
    addresses = host_addresses(program)
    for number, slot in enumerate(program.slots):
        if slot.backing not in MAX_BACKED:
            blocks = "device memory that user space maps by blocks"
            names = {
                MEMFD: "a guest_memfd",
                "devicehuge": blocks,
                UNCACHED: "device memory that a guest may use as memory without caches",
                CACHED: "memory of a device, with caches",
            }
            what = names.get(slot.backing, f"pages of {slot.backing}")
            raise UnplayableError(f"slot {slot.name} is {what}, which the emulated machine does not have")
        if not slot.alias:
            total[slot.backing] = total.get(slot.backing, 0) + backing_size(slot, addresses[slot.name])
        flags = int(slot.log) | _READ_ONLY * slot.ro
        alias = numbers[slot.alias] if slot.alias else -1
        place = f"{slot.ipa:#x} {slot.size:#x} {addresses[slot.name]:#x}"
        huge = HUGE_SHIFT.get(slot.backing, 0)
        lines.append(f"s {number} {slot.vm} {place} {huge} {alias} {flags} {slot.backing}")
    for backing, size in total.items():
        if size > MAX_BACKED[backing]:
            most = f"the emulated machine has {show_bytes(MAX_BACKED[backing])}"
            raise UnplayableError(f"its slots have {show_bytes(size)} of {backing} memory, and {most}")
    return lines


def backing_size(slot: Slot, start: int) -> int:
    """Return the bytes that back a slot at host address *start*: for hugetlb, including the whole pages around it."""
    page = 1 << HUGE_SHIFT.get(slot.backing, 0)
    return -(-(start + slot.size) // page) * page - start // page * page


def host_addresses(program: Program) -> dict[str, int]:
    """Return the host address of each slot, in the model's layout."""
    found: dict[str, int] = {}
    free = HVA_BASE
    for slot in program.slots:
        found[slot.name] = (found[slot.alias] if slot.alias else free) + slot.offset
        free += host_room(slot)
    return found


class PlayedLines:
    """Converts operations to lines.

    :param program: the program that contains them
    """

    def __init__(self, program: Program) -> None:
        self.numbers = {slot.name: number for number, slot in enumerate(program.slots)}
        self.shifts = {slot.name: HUGE_SHIFT.get(slot.backing, 0) for slot in program.slots}
        self.addresses = host_addresses(program)
        self.vm = program.vm

    def line(self, op: ops.Operation) -> str:
        """Return the line of one operation."""
        if isinstance(op, ops.GuestAccess):
            return f"{ACCESSES[op.kind]} {op.cpu} {self.numbers[op.slot]} {op.offset:#x}"
        if isinstance(op, ops.GuestOutside):
            return f"O {op.cpu} {ACCESSES[op.kind]} {op.ipa:#x} {int(op.mmu)}"
        if isinstance(op, ops.GuestCache):
            return f"C {op.cpu} {'on' if op.on else 'off'}"
        if isinstance(op, ops.GuestSetWay):
            return f"C {op.cpu} way"
        if isinstance(op, ops.GuestReset):
            return f"I {op.cpu}"
        if isinstance(op, ops.GuestMove):
            # The emulated machine has one CPU.
            return "Z"
        assert isinstance(op, ops.OnSlot | ops.SlotPlace)
        number = self.numbers[op.slot]
        if isinstance(op, ops.SlotPlace) and type(op) in HOST_CODES:
            return self.host_line(op, HOST_CODES[type(op)], number)
        return f"{SLOT_CODES[type(op)]} {number}{slot_values(op)}"

    def host_line(self, op: ops.SlotPlace, code: str, number: int) -> str:
        """Return the line of an operation of the host on a place or a range."""
        if not isinstance(op, ops.SlotRange):
            return f"{code} {number} {op.offset:#x}"
        offset, size = op.offset, op.size
        shift = self.shifts[op.slot]
        if shift and isinstance(op, ops.HostDiscard | ops.HostUnmap | ops.HostProtect):
            # Of hugetlb, only whole pages are affected.
            start = self.addresses[op.slot] + offset
            first, last = -(-start >> shift) << shift, (start + size) >> shift << shift
            if first >= last:
                return "Z"
            offset, size = first - self.addresses[op.slot], last - first
        if isinstance(op, ops.HostProtect):
            code = "A" if op.on else "a"
        return f"{code} {number} {offset:#x} {size:#x}"


def slot_values(op: ops.Operation) -> str:
    """Return the rest of the line of an operation on a slot."""
    if isinstance(op, ops.SlotCreate):
        place = "-" if op.ipa is None else f"{op.ipa:#x}"
        return f" {place} {int(op.log) | _READ_ONLY * op.ro}"
    if isinstance(op, ops.SetLog):
        return " on" if op.on else " off"
    if isinstance(op, ops.ClearLog):
        return f" {op.offset:#x} {op.size:#x}"
    return f" {op.ipa:#x}" if isinstance(op, ops.SlotMove) else ""
