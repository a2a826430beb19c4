# SPDX-License-Identifier: GPL-2.0-only
"""A program: the settings of a VM, its slots, and what then happens to it.

Addresses, sizes and offsets are in bytes; `fuzz.text` has the written form.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

KIB: Final = 1 << 10
MIB: Final = 1 << 20
GIB: Final = 1 << 30

# The one place that says which page sizes a program may ask for.
GRANULES: Final = (4 * KIB,)
IPA_BITS: Final = range(32, 49)
CPUS: Final = range(1, 9)
FAILS: Final = range(1, 100)
MAX_SLOTS: Final = 8
MAX_SLOT_SIZE: Final = 2 * GIB
MAX_OPERATIONS: Final = 10_000

AccessKind: TypeAlias = Literal["read", "write", "fetch"]
Backing: TypeAlias = Literal["anon", "thp", "hugetlb2m", "hugetlb1g", "device"]
ACCESS_KINDS: Final[tuple[str, ...]] = get_args(AccessKind)
BACKINGS: Final[tuple[str, ...]] = get_args(Backing)

_SLOT_NAME: Final = re.compile(r"(?!(?:host|log|vm|slot|cpu[0-9]+)\Z)[a-z][a-z0-9]{0,7}")
_NAME_RULE: Final = "a-z, then up to 7 of a-z and 0-9, but not host, log, vm, slot or cpuN"


class ProgramError(ValueError):
    """A program that is not valid, and where.

    :param file: name of the file; in angle brackets what is no file
    :param line: from 1, or 0 for the file as a whole
    :param message: what is wrong, and what is allowed
    """

    def __init__(self, file: str, line: int, message: str) -> None:
        super().__init__(file, line, message)
        self.file, self.line, self.message = file, line, message

    def __str__(self) -> str:
        line = f":{self.line}" if self.line else ""
        return f"{self.file}{line}: {self.message}"


def refusal(wrong: str, allowed: str) -> ProgramError:
    """The error of one statement; whoever knows its file and line adds them."""
    return ProgramError("", 0, f"{wrong}; allowed: {allowed}")


@dataclass(frozen=True, slots=True)
class Vm:
    """A VM: page size, bits of a guest address, vCPUs, features of the CPUs."""

    granule: int = 4 * KIB
    ipa: int = 40
    cpus: int = 2
    fwb: bool = False
    dic: bool = False
    ttl: bool = False


@dataclass(frozen=True, slots=True)
class Slot:
    """A memory slot; its host address lies *offset* behind a 1G boundary."""

    name: str
    ipa: int
    size: int
    backing: Backing
    offset: int = 0
    log: bool = False
    ro: bool = False


@dataclass(frozen=True, slots=True)
class GuestAccess:
    """vCPU *cpu* accesses one byte of a slot, its stage-1 MMU on or off.

    With *fail* (1 to 99) the refill of the memory cache during this access
    gets ``fail - 1`` pages and then fails.
    """

    cpu: int
    kind: AccessKind
    slot: str
    offset: int
    mmu: bool = True
    fail: int | None = None


@dataclass(frozen=True, slots=True)
class GuestCache:
    """The guest turns its stage-1 MMU and caches on or off."""

    cpu: int
    on: bool


@dataclass(frozen=True, slots=True)
class GuestSetWay:
    """The guest cleans the data cache by set/way."""

    cpu: int


@dataclass(frozen=True, slots=True)
class SlotPlace:
    """Base of what happens at one place of a slot."""

    slot: str
    offset: int


@dataclass(frozen=True, slots=True)
class SlotRange(SlotPlace):
    """Base of what happens to a range of a slot."""

    size: int


@dataclass(frozen=True, slots=True)
class HostWrite(SlotRange):
    """User space writes the range through its own mapping."""


@dataclass(frozen=True, slots=True)
class HostCollapse(SlotPlace):
    """khugepaged makes one huge page of the 2M host block around the place."""


@dataclass(frozen=True, slots=True)
class HostSplit(SlotPlace):
    """The huge page around the place is split."""


@dataclass(frozen=True, slots=True)
class HostMigrate(SlotRange):
    """The pages of the range move to other frames."""


@dataclass(frozen=True, slots=True)
class HostDiscard(SlotRange):
    """User space calls ``madvise(MADV_DONTNEED)`` on the range."""


@dataclass(frozen=True, slots=True)
class HostShare(SlotRange):
    """The pages of the range become copy-on-write, as after fork or KSM."""


@dataclass(frozen=True, slots=True)
class HostAge(SlotRange):
    """``clear_flush_young`` on the range; without *flush*, ``clear_young``."""

    flush: bool = True


@dataclass(frozen=True, slots=True)
class HostTestAge(SlotPlace):
    """``test_young``."""


@dataclass(frozen=True, slots=True)
class SetLog:
    """Dirty logging of a slot is turned on or off."""

    slot: str
    on: bool


@dataclass(frozen=True, slots=True)
class GetLog:
    """The dirty log of a slot is collected and cleared."""

    slot: str


Operation: TypeAlias = (
    GuestAccess
    | GuestCache
    | GuestSetWay
    | HostWrite
    | HostCollapse
    | HostSplit
    | HostMigrate
    | HostDiscard
    | HostShare
    | HostAge
    | HostTestAge
    | SetLog
    | GetLog
)

_PAGED: Final = ("anon", "thp")
_RAM: Final = (*_PAGED, "hugetlb2m", "hugetlb1g")
# The backings of a slot on which an operation makes sense, where not all do.
_WANTED: Final[dict[type, tuple[str, ...]]] = {
    HostWrite: _RAM,
    HostMigrate: _RAM,
    HostDiscard: _RAM,
    SetLog: _RAM,
    GetLog: _RAM,
    HostCollapse: _PAGED,
    HostSplit: _PAGED,
    HostShare: _PAGED,
}


@dataclass(frozen=True, slots=True)
class Program:
    """A whole program; `validate` says whether it is a legal one."""

    vm: Vm
    slots: tuple[Slot, ...]
    operations: tuple[Operation, ...] = ()


def show_bytes(value: int) -> str:
    """The canonical text of a number of bytes: ``0``, ``4K``, ``0x1008``."""
    for unit, suffix in (GIB, "G"), (MIB, "M"), (KIB, "K"):
        if value % unit == 0 and value:
            return f"{value // unit}{suffix}"
    return f"{value:#x}" if value else "0"


def _within(what: str, value: int, bounds: range, show: Callable[[int], str]) -> None:
    if value not in bounds:
        steps = f" in steps of {show(bounds.step)}" if bounds.step > 1 else ""
        raise refusal(what + show(value), f"{show(bounds[0])} to {show(bounds[-1])}{steps}")


def _require(fine: object, wrong: str, *allowed: str) -> None:
    if not fine:
        raise refusal(wrong, ", ".join(allowed))


def check_vm(vm: Vm) -> None:
    """The part of `validate` that needs no slot; raises a `refusal`."""
    granules = map(show_bytes, GRANULES)
    _require(vm.granule in GRANULES, f"granule={show_bytes(vm.granule)}", *granules)
    _within("ipa=", vm.ipa, IPA_BITS, str)
    _within("cpus=", vm.cpus, CPUS, str)


def _check_slot(vm: Vm, slot: Slot, before: Sequence[Slot]) -> None:
    name, page, limit = slot.name, vm.granule, 1 << vm.ipa
    _require(len(before) < MAX_SLOTS, "one slot too many", f"1 to {MAX_SLOTS}")
    _require(_SLOT_NAME.fullmatch(name), f"slot name {name[:40]!a}", _NAME_RULE)
    _within("ipa=", slot.ipa, range(0, limit, page), show_bytes)
    _within("size=", slot.size, range(page, MAX_SLOT_SIZE + 1, page), show_bytes)
    _require(slot.backing in BACKINGS, f"backing={slot.backing[:40]!a}", *BACKINGS)
    _within("offset=", slot.offset, range(0, GIB, page), show_bytes)
    end = slot.ipa + slot.size
    allowed = f"up to {show_bytes(limit)} with ipa={vm.ipa}"
    _require(end <= limit, f"slot {name} ends at {show_bytes(end)}", allowed)
    for other in before:
        _require(name != other.name, f"second slot {name}", "every name once")
        apart = end <= other.ipa or other.ipa + other.size <= slot.ipa
        _require(apart, f"slot {name} overlaps slot {other.name}", "slots that lie apart")
    fine = not slot.log or slot.backing != "device"
    _require(fine, "log=on with backing=device (-EINVAL)", "log=off")


def _check_operation(vm: Vm, slots: dict[str, Slot], logged: set[str], op: Operation) -> None:
    if isinstance(op, GuestAccess | GuestCache | GuestSetWay):
        _within("", op.cpu, range(vm.cpus), "cpu{}".format)
        if not isinstance(op, GuestAccess):
            return
    name, page = op.slot, vm.granule
    slot = slots.get(name)
    if slot is None:
        raise refusal(f"unknown slot {name[:40]!a}", ", ".join(slots))
    wanted = _WANTED.get(type(op), BACKINGS)
    _require(slot.backing in wanted, f"slot {name} has backing={slot.backing}", *wanted)
    if isinstance(op, GuestAccess):
        _require(op.kind in ACCESS_KINDS, f"{op.kind[:40]!a}", *ACCESS_KINDS)
        _within(f"no such place in slot {name}: {name}+", op.offset, range(slot.size), show_bytes)
        if op.fail is not None:
            _within("fail=", op.fail, FAILS, str)
    elif isinstance(op, SlotPlace):
        _within(f"no such place in slot {name}: {name}+", op.offset, range(0, slot.size, page), show_bytes)
        if isinstance(op, SlotRange):
            sizes = range(page, slot.size - op.offset + 1, page)
            _within("size ", op.size, sizes, show_bytes)
    elif isinstance(op, GetLog):
        _require(name in logged, f"log {name} is off here", f"get after log {name} on")
    else:
        (logged.add if op.on else logged.discard)(name)


def validate(program: Program, file: str = "<program>", lines: Sequence[int] = ()) -> None:
    """Check that all values are in bounds and nothing contradicts itself.

    :param file: what an error names as the file
    :param lines: the line of the vm, of each slot and of each operation; those
        of the canonical text where absent
    :raises ProgramError: the first thing that is wrong, in the order of lines
    """
    at, slots = 0, program.slots
    try:
        check_vm(program.vm)
        for at, slot in enumerate(slots, 1):
            _check_slot(program.vm, slot, slots[: at - 1])
        _require(slots, "no slot", f"1 to {MAX_SLOTS}, right after vm")
        names, last = {slot.name: slot for slot in slots}, len(slots) + MAX_OPERATIONS
        logged = {slot.name for slot in slots if slot.log}
        for at, operation in enumerate(program.operations, len(slots) + 1):
            _require(at <= last, "one operation too many", f"0 to {MAX_OPERATIONS}")
            _check_operation(program.vm, names, logged, operation)
    except ProgramError as error:
        raise ProgramError(file, lines[at] if lines else at + 2, error.message) from None
