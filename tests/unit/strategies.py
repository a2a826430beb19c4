# SPDX-License-Identifier: GPL-2.0-only
"""Hypothesis strategies: valid programs with every kind of operation.

The legality rules are written down here once more, independently of `fuzz.language.validate`, to show rules there that
refuse too much.
"""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Final, TypeVar, cast

from hypothesis import strategies as st

from fuzz.language import operations as ops
from fuzz.language.bounds import MAX_HYP_PAGES, MAX_MAP_BLOCKS, MAX_SLOT_SIZE, MAX_SLOTS
from fuzz.language.operations import OPERATIONS, Operation
from fuzz.language.program import DEVICES, GIB, GRANULES, HUGE_PAGES, Backing, Program, Slot, Vm

T = TypeVar("T")

FLAG: Final = st.booleans()
FAIL: Final = st.none() | st.integers(1, 99)
RESERVED: Final = ("host", "log", "vm", "slot", "table", "hyp")
NAMES: Final = st.lists(
    st.from_regex(r"[a-z][a-z0-9]{0,7}", fullmatch=True).filter(
        lambda name: name not in RESERVED and not (name[:3] == "cpu" and name[3:].isdigit())
    ),
    min_size=1,
    max_size=MAX_SLOTS,
    unique=True,
)
VMS: Final = st.builds(
    Vm,
    granule=st.sampled_from(GRANULES),
    ipa=st.integers(32, 48),
    cpus=st.integers(1, 8),
    vms=st.integers(1, 4),
    fwb=FLAG,
    dic=FLAG,
    ttl=FLAG,
    range=FLAG,
    haf=FLAG,
    manual=st.sampled_from(("off", "on", "set")),
    fail=st.none() | st.integers(1, 3),
)

NEEDS_PAGED: Final = (ops.HostCollapse, ops.HostSplit, ops.HostShare, ops.HostMerge, ops.HostReap)
NEEDS_RAM: Final = (
    *(ops.HostWrite, ops.HostWriteback, ops.HostMigrate, ops.HostDiscard, ops.GetLog, ops.ClearLog),
    *(ops.HostPoison, ops.HostProtect, *NEEDS_PAGED),
)
NEEDS_SLOT: Final = (ops.SetLog, ops.SlotDelete, ops.SlotMove, ops.TableRange, ops.TablePlace)
NEEDS_LOG: Final = (ops.GetLog, ops.ClearLog)
RARE: Final = (ops.SlotCreate, ops.ClearLog)
# Operations that involve no VM: operations of the host and of the hypervisor.
WITHOUT_VM: Final = (
    *(ops.HostWrite, ops.HostWriteback, ops.HostMigrate, ops.HostDiscard, ops.HostUnmap, ops.HostPoison),
    *(ops.HostProtect, *NEEDS_PAGED, ops.HostAge, ops.HostTestAge, ops.HypMap),
)
# Operations at any byte, not only at the start of a page.
BYTES: Final = (
    *(ops.GuestAccess, ops.GuestExternalAbort, ops.GuestConflict, ops.Speculate, ops.Evict, ops.TableRange),
    ops.TablePlace,
)


class ProgramBuilder:
    """A program under construction: its slots, their current places, and which of them exist and are logged."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.vm = draw(VMS)
        self.slots: list[Slot] = []
        self.ipa: dict[str, int] = {}
        self.live: set[str] = set()
        self.logged: set[str] = set()
        self.ended: set[int] = set()

    def number(self, least: int, most: int, step: int = 1) -> int:
        return self.draw(st.integers(least // step, most // step)) * step

    def one(self, choices: Sequence[T]) -> T:
        return self.draw(st.sampled_from(choices))

    def gaps(self, name: str, vm: int) -> list[tuple[int, int]]:
        """Return the free ranges of the VM, counting the slot itself as free: pairs of start and size in bytes."""
        others = (slot for slot in self.slots if slot.vm == vm and slot.name in self.live - {name})
        start, gaps = 0, []
        for ipa, size in sorted((self.ipa[slot.name], slot.size) for slot in others):
            gaps.append((start, ipa - start))
            start = ipa + size
        return [gap for gap in (*gaps, (start, (1 << self.vm.ipa) - start)) if gap[1]]

    def fits(self, slot: Slot, ipa: int | None = None) -> bool:
        """Return whether a slot fits at *ipa*, or anywhere if it is None."""
        for start, size in self.gaps(slot.name, slot.vm):
            if slot.size <= size and (ipa is None or start <= ipa <= start + size - slot.size):
                return True
        return False

    def place(self, slot: Slot) -> int:
        """Draw a place for a slot."""
        start, size = self.one([gap for gap in self.gaps(slot.name, slot.vm) if gap[1] >= slot.size])
        return start + self.number(0, size - slot.size, self.vm.granule)

    def add_slot(self, name: str) -> None:
        """Add a slot to a VM that has room for it."""
        page = self.vm.granule
        vm = self.number(0, self.vm.vms - 1)
        gaps = self.gaps(name, vm)
        if not gaps:
            return
        start, free = self.one(gaps)
        most = min(free, MAX_SLOT_SIZE)
        backing = self.one(cast("tuple[Backing, ...]", ("anon", "thp", *DEVICES, *HUGE_PAGES[page])))
        alias, room = "", GIB
        shared: bool = self.draw(FLAG)
        own = [slot for slot in self.slots if not slot.alias]
        if own and shared:
            other = self.one(own)
            alias, backing, most = other.name, other.backing, min(most, other.size)
            room = other.size
        size = self.number(page, most, page)
        offset = self.number(0, min(room - size if alias else room, GIB - page), page)
        ipa = start + self.number(0, free - size, page)
        log = backing not in DEVICES and self.draw(FLAG)
        slot = Slot(name, ipa, size, backing, offset, log, self.draw(FLAG), vm, alias)
        self.slots.append(slot)
        self.exists(slot, ipa, log)

    def exists(self, slot: Slot, ipa: int, log: bool) -> None:
        self.ipa[slot.name] = ipa
        self.live.add(slot.name)
        (self.logged.add if log else self.logged.discard)(slot.name)

    def possible(self, make: type, slot: Slot) -> bool:
        """Return whether this kind of operation is legal on the slot now."""
        name = slot.name
        if make is ops.VmEnd:
            return slot.vm not in self.ended and any(each.vm not in {slot.vm, *self.ended} for each in self.slots)
        if slot.vm in self.ended and make not in WITHOUT_VM:
            return False
        if issubclass(make, NEEDS_RAM) and slot.backing in DEVICES:
            return False
        if issubclass(make, NEEDS_PAGED) and slot.backing not in ("anon", "thp"):
            return False
        if make is ops.ClearLog and self.vm.manual == "off":
            return False
        if issubclass(make, NEEDS_LOG):
            return name in self.logged
        if make is ops.SlotCreate:
            return name not in self.live and self.fits(slot)
        return name in self.live or not issubclass(make, NEEDS_SLOT)

    def add_operation(self, slot: Slot) -> Operation:
        """Draw a legal operation, on *slot* if it involves a slot."""
        kinds = [make for make in OPERATIONS if self.possible(make, slot)]
        # Draw operations that few states allow more often in these states.
        kinds += [make for make in RARE if make in kinds] * 8
        make = self.one(kinds)
        values = {"slot": slot.name, **self.settings(make, slot), **self.region(make, slot)}
        operation = cast("Operation", make(**{field.name: values[field.name] for field in fields(make)}))
        match operation:
            case ops.SetLog(_, on):
                (self.logged.add if on and slot.backing not in DEVICES else self.logged.discard)(slot.name)
            case ops.SlotDelete():
                self.live.discard(slot.name)
                self.logged.discard(slot.name)
            case ops.VmEnd(vm):
                self.ended.add(vm)
            case ops.SlotMove(_, ipa):
                if ipa + slot.size <= 1 << self.vm.ipa:
                    self.ipa[slot.name] = ipa
            case ops.SlotCreate(_, ipa, log):
                if ipa is None or ipa + slot.size <= 1 << self.vm.ipa:
                    self.exists(slot, self.ipa[slot.name] if ipa is None else ipa, log)
        return operation

    def settings(self, make: type, slot: Slot) -> dict[str, Any]:
        """Draw all fields except offsets and sizes."""
        cpus = self.vm.cpus
        values: dict[str, Any] = {name: self.draw(FLAG) for name in ("on", "mmu", "flush", "ro")}
        values["vm"] = slot.vm
        values["log"] = slot.backing not in DEVICES and self.draw(FLAG)
        values["cpu"] = slot.vm * cpus + self.number(0, cpus - 1)
        values["to"] = self.number(0, cpus - 1)
        values["fail"] = self.draw(FAIL)
        values["kind"] = self.one(ops.ACCESS_KINDS)
        values["prot"] = self.one(ops.HYP_PROTS if make is ops.HypMap else ops.PROTS)
        if make in (ops.SlotMove, ops.SlotCreate):
            values["ipa"] = self.place(slot)
            if self.draw(st.integers(0, 4)) == 0:
                # So far beyond the last place that the slot is refused.
                values["ipa"] = 1 << self.vm.ipa
        if make is ops.GuestOutside:
            values["ipa"] = self.number(1 << self.vm.ipa, (1 << 52) - 1)
        if make is ops.SlotCreate and self.fits(slot, self.ipa[slot.name]) and self.draw(FLAG):
            values["ipa"] = None
        return values

    def region(self, make: type, slot: Slot) -> dict[str, int]:
        """Draw offset and size, or the three numbers of a hyp map; all in bytes."""
        page = self.vm.granule
        if make is ops.HypMap:
            top = (1 << 48) - page
            size = self.number(1, MAX_HYP_PAGES * page)
            return {"va": self.number(0, top - size), "pa": self.number(0, top - size), "size": size}
        step = 1 if issubclass(make, BYTES) else 64 * page if make is ops.ClearLog else page
        offset = self.number(0, slot.size - 1, step)
        room = slot.size - offset // page * page
        if make is ops.TableMap:
            room = min(room, MAX_MAP_BLOCKS * page * page // 8)
        size = room
        if room > step and self.draw(FLAG):
            size = self.number(step, room, step)
        return {"offset": offset, "size": size}


@st.composite
def programs(draw: st.DrawFn, max_operations: int = 12) -> Program:
    """Draw a valid program of up to 8 slots."""
    builder = ProgramBuilder(draw)
    for name in draw(NAMES):
        builder.add_slot(name)
    targets = draw(st.lists(st.sampled_from(builder.slots), max_size=max_operations))
    operations = tuple(builder.add_operation(slot) for slot in targets)
    return Program(builder.vm, tuple(builder.slots), operations)
