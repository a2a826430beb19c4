# SPDX-License-Identifier: GPL-2.0-only
"""The rules of legal programs: bounds, and statements that contradict each other."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, assert_never

from .beside import check_par
from .operations import (
    ACCESS_KINDS,
    HYP_PROTS,
    PROTS,
    GetLog,
    GuestAccess,
    GuestCache,
    GuestMove,
    GuestReset,
    GuestSetWay,
    HypMap,
    OnCpu,
    OnSlot,
    Operation,
    Par,
    SetLog,
    SlotChange,
    SlotCreate,
    SlotDelete,
    SlotMove,
    SlotPlace,
    SlotRange,
    TableMap,
    TablePlace,
    TableRange,
    TableRelax,
    declaration_of,
)
from .operations.declaration import BYTE, DELETED, LIVE, LOGGED, MAPPED, MEMORY, PAGED, RAM, WORD, Align, Declaration
from .program import (
    GIB,
    GRANULES,
    HUGE_PAGES,
    MEMFD,
    RING_SIZES,
    SPLIT_SIZES,
    UNLOGGED,
    ManualLog,
    Program,
    ProgramError,
    Slot,
    Vm,
    backings,
    refusal,
    show_bytes,
)

# Bits of a physical address: without FEAT_LPA and FEAT_LPA2, and with them.
PA_BITS: Final = (48, 52)
CPUS: Final = range(1, 9)
VMS: Final = range(1, 5)
MAX_VCPUS: Final = CPUS[-1] * VMS[-1]
FAILS: Final = range(1, 100)
# Allocations that make a VM.
VM_FAILS: Final = range(1, 4)
# The values of resched= and contended=: numbers of questions whether another task waits for the mmu lock.
RESCHEDS: Final = range(1, 100)
# The values of grace=: numbers of points at which a grace period of RCU could end.
GRACES: Final = range(1, 100)
MANUAL: Final[tuple[ManualLog, ...]] = ("off", "on", "set")
MAX_SLOTS: Final = 8
MAX_SLOT_SIZE: Final = 2 * GIB
MAX_OPERATIONS: Final = 10_000
# The most that one direct call maps, in blocks of level 2: the memory cache
# holds tables for no more.
MAX_MAP_BLOCKS: Final = 8
# KVM_CLEAR_DIRTY_LOG takes whole words of the bitmap.
CLEAR_PAGES: Final = 64
MAX_HYP_PAGES: Final = 4096

SLOT_NAME: Final = re.compile(r"(?!(?:host|log|vm|slot|table|hyp|cpu[0-9]+)\Z)[a-z][a-z0-9]{0,7}")
_NAME_RULE: Final = "a-z, then up to 7 of a-z and 0-9, but not host, log, vm, slot, table, hyp or cpuN"

_PAGED: Final = ("anon", "thp")
_NO_LINES: Final[Mapping[int, Sequence[int]]] = {}


def wanted_backings(op: type, granule: int) -> tuple[str, ...]:
    """The backings of a slot on which a kind of operation makes sense."""
    wanted = declaration_of(op).backings
    if wanted == PAGED:
        return _PAGED
    if wanted in (RAM, MEMORY):
        return (*_PAGED, *HUGE_PAGES[granule], *((MEMFD,) if wanted == MEMORY else ()))
    return backings(granule) if wanted == MAPPED else (*backings(granule), MEMFD)


def step_of(align: Align, page: int) -> int:
    """The number of bytes that offset and size of an operation are multiples of, with pages of so many bytes."""
    return 1 if align == BYTE else CLEAR_PAGES * page if align == WORD else page


def _within(what: str, value: int, bounds: range, show: Callable[[int], str]) -> None:
    if value not in bounds:
        if not bounds:
            raise refusal(what + show(value), "nothing here")
        steps = f" in steps of {show(bounds.step)}" if bounds.step > 1 else ""
        raise refusal(what + show(value), f"{show(bounds[0])} to {show(bounds[-1])}{steps}")


def _require(fine: object, wrong: str, *allowed: str) -> None:
    if not fine:
        raise refusal(wrong, ", ".join(allowed))


def check_vm(vm: Vm) -> None:
    """The part of `validate` that needs no slot; raises a `refusal`."""
    _require(vm.granule in GRANULES, f"granule={show_bytes(vm.granule)}", *map(show_bytes, GRANULES))
    _require(vm.pa in PA_BITS, f"pa={vm.pa}", *map(str, PA_BITS))
    _within("ipa=", vm.ipa, ipa_bits(vm.pa), str)
    _within("cpus=", vm.cpus, CPUS, str)
    _within("vms=", vm.vms, VMS, str)
    if vm.fail is not None:
        _within("fail=", vm.fail, VM_FAILS, str)
    if vm.resched is not None:
        _within("resched=", vm.resched, RESCHEDS, str)
    if vm.contended is not None:
        _within("contended=", vm.contended, RESCHEDS, str)
    if vm.grace is not None:
        _within("grace=", vm.grace, GRACES, str)
    _require(vm.manual in MANUAL, f"manual={vm.manual[:40]!a}", *MANUAL)
    splits = (0, *SPLIT_SIZES[vm.granule])
    _require(vm.split in splits, f"split={show_bytes(vm.split)}", *map(show_bytes, splits))
    rings = ring_sizes(vm.granule)
    _require(vm.ring in rings, f"ring={show_bytes(vm.ring)}", *map(show_bytes, rings))
    # The two ways to clear a log are not mixed here.
    _require(not vm.ring or vm.manual == "off", f"manual={vm.manual} with ring=", "manual=off")
    _require(vm.ring or vm.bitmap, "bitmap=off without ring=", "bitmap=on")


def ipa_bits(pa: int) -> range:
    """The bits that a guest address may have, where a physical one has *pa*."""
    return range(32, pa + 1)


def ring_sizes(granule: int) -> tuple[int, ...]:
    """The sizes of dirty rings in bytes: none, or at least a page."""
    return (0, *(size for size in RING_SIZES if size >= granule))


class SlotsAt(NamedTuple):
    """Slots at one place of a program: guest address of each, those that exist, those that are logged."""

    ipa: dict[str, int]
    live: frozenset[str]
    logged: frozenset[str]


class ValidationState:
    """The slots as the operations so far have left them."""

    def __init__(self, vm: Vm) -> None:
        self.vm = vm
        self.slots: dict[str, Slot] = {}
        # Guest address of each, now; those that exist; those that are logged.
        self.ipa: dict[str, int] = {}
        self.live: set[str] = set()
        self.logged: set[str] = set()
        # The CPU on which each vCPU runs.
        self.cpu_of = list(range(vm.cpus)) * vm.vms

    def as_it_is(self) -> SlotsAt:
        """Return what operations of par blocks change, as it is now, for `go_back`."""
        return SlotsAt(dict(self.ipa), frozenset(self.live), frozenset(self.logged))

    def go_back(self, before: SlotsAt) -> None:
        """Undo what operations have changed since."""
        self.ipa, self.live, self.logged = dict(before.ipa), set(before.live), set(before.logged)

    def declare(self, slot: Slot) -> None:
        """Check a slot statement, which then counts; raises a `refusal`, and nothing has changed."""
        name, vm = slot.name, self.vm
        page = vm.granule
        _require(len(self.slots) < MAX_SLOTS, "one slot too many", f"1 to {MAX_SLOTS}")
        _require(SLOT_NAME.fullmatch(name), f"slot name {name[:40]!a}", _NAME_RULE)
        _within("size=", slot.size, range(page, MAX_SLOT_SIZE + 1, page), show_bytes)
        allowed = (*backings(vm.granule), MEMFD)
        _require(slot.backing in allowed, f"backing={slot.backing[:40]!a}", *allowed)
        _within("offset=", slot.offset, range(0, GIB, page), show_bytes)
        _within("vm=", slot.vm, range(vm.vms), str)
        _require(name not in self.slots, f"second slot {name}", "every name once")
        if slot.alias:
            self.check_alias(slot)
        self.check_flags(slot, slot.log, slot.ro)
        self.place(slot, slot.ipa, "ipa=")
        self.slots[name] = slot
        self.live.add(name)
        if slot.log:
            self.logged.add(name)

    def check_flags(self, slot: Slot, log: bool, ro: bool) -> None:
        """Check that a slot may be logged, or read-only."""
        backing = slot.backing
        _require(not log or backing not in UNLOGGED, f"log=on with backing={backing} (-EINVAL)", "log=off")
        _require(not ro or backing != MEMFD, f"ro=on with backing={backing} (-EINVAL)", "ro=off")

    def check_alias(self, slot: Slot) -> None:
        """A slot that shares another's host memory must lie within it."""
        _require(slot.backing != MEMFD, f"alias= with backing={MEMFD}", "a slot with memory of its own")
        other = self.slots.get(slot.alias)
        if other is None:
            raise refusal(f"alias={slot.alias[:40]!a}", ", ".join(self.slots) or "a slot further up")
        _require(not other.alias, f"alias={slot.alias}, an alias itself", "a slot with memory of its own")
        _require(slot.backing == other.backing, f"backing={slot.backing} and alias={slot.alias}", other.backing)
        room = other.size - slot.size
        allowed = f"offset and size within the {show_bytes(other.size)} of slot {other.name}"
        _require(slot.offset <= room, f"slot {slot.name} ends behind slot {other.name}", allowed)

    def place(self, slot: Slot, ipa: int, what: str) -> None:
        """A slot comes to lie at *ipa*: within the address space, apart from the others of its VM."""
        name = slot.name
        limit = 1 << self.vm.ipa
        _within(what, ipa, range(0, limit, self.vm.granule), show_bytes)
        end = ipa + slot.size
        allowed = f"up to {show_bytes(limit)} with ipa={self.vm.ipa}"
        _require(end <= limit, f"slot {name} ends at {show_bytes(end)}", allowed)
        for other in self.live - {name}:
            start = self.ipa[other]
            apart = end <= start or start + self.slots[other].size <= ipa or self.slots[other].vm != slot.vm
            _require(apart, f"slot {name} overlaps slot {other}", "slots that lie apart")
        self.ipa[name] = ipa

    def check(self, op: Operation) -> None:
        """Check one operation, which then counts as done; raises a `refusal`, and nothing has changed."""
        vm = self.vm
        if isinstance(op, HypMap):
            _check_hyp(vm, op)
            return
        if isinstance(op, Par):
            before = self.as_it_is()
            try:
                check_par(op, self.cpu_of, self.check)
            except ProgramError:
                # Its operations that were checked by then do not count.
                self.go_back(before)
                raise
            return
        if isinstance(op, OnCpu):
            _within("", op.cpu, range(vm.cpus * vm.vms), "cpu{}".format)
            if isinstance(op, GuestMove):
                _within("move ", op.to, range(vm.cpus), str)
                self.cpu_of[op.cpu] = op.to
            if isinstance(op, (GuestCache, GuestSetWay, GuestMove, GuestReset)):
                return
        name = op.slot
        slot = self.slots.get(name)
        if slot is None:
            raise refusal(f"unknown slot {name[:40]!a}", ", ".join(self.slots))
        wanted = wanted_backings(type(op), vm.granule)
        _require(slot.backing in wanted, f"slot {name} has backing={slot.backing}", *wanted)
        if isinstance(op, OnCpu):
            allowed = ", ".join(f"cpu{n}" for n in range(slot.vm * vm.cpus, (slot.vm + 1) * vm.cpus))
            _require(op.cpu // vm.cpus == slot.vm, f"cpu{op.cpu} has no slot {name}", allowed)
            self.check_byte(slot, op.offset)
        declared = declaration_of(type(op))
        if isinstance(op, (SlotPlace, TableRange, TablePlace)):
            if declared.align == BYTE:
                self.check_byte(slot, op.offset)
            else:
                self.check_pages(slot, op)
        self.check_needs(slot, declared)
        if declared.align == WORD and isinstance(op, SlotRange):
            self.check_words(slot, op)
        if isinstance(op, GuestAccess):
            _require(op.kind in ACCESS_KINDS, f"{op.kind[:40]!a}", *ACCESS_KINDS)
            _check_fail(op.fail)
        elif isinstance(op, (TableRange, TablePlace)):
            self.check_table(slot, op)
        elif isinstance(op, OnSlot) and not isinstance(op, GetLog):
            self.check_slot(slot, op)

    def check_needs(self, slot: Slot, declared: Declaration) -> None:
        """Check that the needs of an operation's declaration are met where it stands."""
        name = slot.name
        for need in declared.needs:
            if need == LIVE:
                _require(name in self.live, f"slot {name} is deleted here", f"after slot {name} create")
            elif need == DELETED:
                _require(name not in self.live, f"slot {name} is there", f"create after slot {name} delete")
            elif need == LOGGED:
                verb = declared.form.split()[2]
                _require(name in self.logged, f"log {name} is off here", f"{verb} after log {name} on")
            else:
                verb = declared.form.split()[2]
                _require(self.vm.manual != "off", f"log {verb} with manual=off", "manual=on, manual=set")

    def check_byte(self, slot: Slot, offset: int) -> None:
        _within(f"no such place in slot {slot.name}: {slot.name}+", offset, range(slot.size), show_bytes)

    def check_pages(self, slot: Slot, op: SlotPlace | TableRange | TablePlace) -> None:
        """Check an operation on a page or a range of pages."""
        name, page = slot.name, self.vm.granule
        _within(f"no such place in slot {name}: {name}+", op.offset, range(0, slot.size, page), show_bytes)
        if isinstance(op, (SlotRange, TableRange)):
            _within("size ", op.size, range(page, slot.size - op.offset + 1, page), show_bytes)

    def check_words(self, slot: Slot, op: SlotRange) -> None:
        """Check an operation on a range of pages whose bits are whole words of the dirty log."""
        word = CLEAR_PAGES * self.vm.granule
        steps = f"multiples of {show_bytes(word)} ({CLEAR_PAGES} pages), or a size up to the end of the slot"
        fine = op.offset % word == 0 and (op.size % word == 0 or op.offset + op.size == slot.size)
        _require(fine, f"log clear of {slot.name}+{show_bytes(op.offset)} {show_bytes(op.size)}", steps)

    def check_table(self, slot: Slot, op: TableRange | TablePlace) -> None:
        """A direct call of pgtable.c: the slot must exist, for the tables know nothing of it."""
        if isinstance(op, (TableMap, TableRelax)):
            _require(op.prot in PROTS, f"{op.prot[:40]!a}", *PROTS)
        if isinstance(op, TableRange):
            # The page that holds the first byte counts from its start.
            room = slot.size - op.offset // self.vm.granule * self.vm.granule
            _within("size ", op.size, range(1, room + 1), show_bytes)
        if isinstance(op, TableMap):
            block = self.vm.granule * self.vm.granule // 8
            _within("size ", op.size, range(1, MAX_MAP_BLOCKS * block + 1), show_bytes)
            _check_fail(op.fail)

    def check_slot(self, slot: Slot, op: SlotChange) -> None:
        """Check an operation on a slot as a whole, and note its effect on later ones."""
        name = slot.name
        if isinstance(op, SlotCreate):
            self.check_flags(slot, op.log, op.ro)
            _check_fail(op.fail)
            self.place(slot, self.ipa[name] if op.ipa is None else op.ipa, "ipa=")
            self.live.add(name)
            (self.logged.add if op.log else self.logged.discard)(name)
        elif isinstance(op, SetLog):
            (self.logged.add if op.on else self.logged.discard)(name)
        elif isinstance(op, SlotMove):
            _check_fail(op.fail)
            self.place(slot, op.ipa, "move ")
        elif isinstance(op, SlotDelete):
            self.live.discard(name)
            self.logged.discard(name)
        else:
            assert_never(op)


def _check_fail(fail: int | None) -> None:
    if fail is not None:
        _within("fail=", fail, FAILS, str)


def _check_hyp(vm: Vm, op: HypMap) -> None:
    # Of an address of the hypervisor, and of the addresses that it maps.
    end = 1 << vm.pa
    limit = range(end)
    _within("va ", op.va, limit, show_bytes)
    _within("pa ", op.pa, limit, show_bytes)
    room = min(end - max(op.va, op.pa) - vm.granule, MAX_HYP_PAGES * vm.granule)
    _within("size ", op.size, range(1, room + 1), show_bytes)
    _require(op.prot in HYP_PROTS, f"{op.prot[:40]!a}", *HYP_PROTS)
    _check_fail(op.fail)


def validate(
    program: Program,
    file: str = "<program>",
    lines: Sequence[int] = (),
    inner: Mapping[int, Sequence[int]] = _NO_LINES,
) -> None:
    """Check that all values are in bounds and nothing contradicts itself.

    :param file: what an error names as the file
    :param lines: the line of the vm, of each slot and of each operation; those
        of the canonical text where absent
    :param inner: the lines within a block, by its index in *lines*
    :raises ProgramError: the first thing that is wrong, in the order of lines
    """
    slots = program.slots
    state = ValidationState(program.vm)
    # Index of the statement being checked, the vm being the first.
    at = 0
    try:
        check_vm(program.vm)
        for slot in slots:
            at += 1
            state.declare(slot)
        _require(slots, "no slot", f"1 to {MAX_SLOTS}, right after vm")
        for operation in program.operations:
            at += 1
            _require(at <= len(slots) + MAX_OPERATIONS, "one operation too many", f"0 to {MAX_OPERATIONS}")
            state.check(operation)
    except ProgramError as error:
        # Of a block the error says which of its lines it is.
        line = lines[at] if lines else first_line(program, at)
        if error.line:
            line = inner[at][error.line - 1] if at in inner else line + error.line
        raise ProgramError(file, line, error.message) from None


def first_line(program: Program, at: int) -> int:
    """The line of the canonical text at which a statement begins; the vm is number 0."""
    before = program.operations[: max(0, at - 1 - len(program.slots))]
    return at + 2 + sum(1 + len(each.operations) + len(each.switches) for each in before if isinstance(each, Par))
