# SPDX-License-Identifier: GPL-2.0-only
"""The rules that depend on the statements before an operation: slots that exist, are logged, or are in the way."""

import re
from typing import Final, NamedTuple, assert_never

from . import bounds
from . import operations as ops
from .bounds import check_fail, check_hyp, require, wanted_backings, within
from .lock_rules import check_par
from .operations.declaration import BYTE, DELETED, LIVE, LOGGED, WORD, Declaration
from .program import (
    GIB,
    MEMFD,
    TAGLESS,
    UNLOGGED,
    ProgramError,
    Slot,
    Vm,
    backings,
    refusal,
    show_bytes,
)

SLOT_NAME: Final = re.compile(r"(?!(?:host|log|vm|slot|table|hyp|cpu[0-9]+)\Z)[a-z][a-z0-9]{0,7}")
_NAME_RULE: Final = "a-z, then up to 7 of a-z and 0-9, but not host, log, vm, slot, table, hyp or cpuN"


class SlotsAt(NamedTuple):
    """Slots at one place of a program: the address of each, the existing ones, the logged ones."""

    ipa: dict[str, int]
    live: frozenset[str]
    logged: frozenset[str]


class ValidationState:
    """The state of the slots after the operations so far."""

    def __init__(self, vm: Vm) -> None:
        self.vm = vm
        self.slots: dict[str, Slot] = {}
        # Current guest address of each slot; slots that exist; slots that are logged.
        self.ipa: dict[str, int] = {}
        self.live: set[str] = set()
        self.logged: set[str] = set()
        # VMs that have ended. Blocks end none.
        self.ended: set[int] = set()
        # The CPU on which each vCPU runs.
        self.cpu_of = list(range(vm.cpus)) * vm.vms

    def snapshot(self) -> SlotsAt:
        """Return a snapshot, for `restore`, of the state that operations of par blocks may change."""
        return SlotsAt(dict(self.ipa), frozenset(self.live), frozenset(self.logged))

    def restore(self, before: SlotsAt) -> None:
        """Undo all changes by operations since a snapshot."""
        self.ipa, self.live, self.logged = dict(before.ipa), set(before.live), set(before.logged)

    def declare(self, slot: Slot) -> None:
        """Check and record a slot statement. Raises a `refusal` without changing anything."""
        name, vm = slot.name, self.vm
        page = vm.granule
        require(len(self.slots) < bounds.MAX_SLOTS, "too many slots", f"1 to {bounds.MAX_SLOTS}")
        require(SLOT_NAME.fullmatch(name), f"slot name {name[:40]!a}", _NAME_RULE)
        within("size=", slot.size, range(page, bounds.MAX_SLOT_SIZE + 1, page), show_bytes)
        allowed = (*backings(vm.granule), MEMFD)
        require(slot.backing in allowed, f"backing={slot.backing[:40]!a}", *allowed)
        require(not vm.mte or slot.backing not in TAGLESS, f"mte=on with backing={slot.backing} (-EINVAL)", "mte=off")
        within("offset=", slot.offset, range(0, GIB, page), show_bytes)
        within("vm=", slot.vm, range(vm.vms), str)
        require(name not in self.slots, f"second slot {name}", "each name once")
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
        require(not log or backing not in UNLOGGED, f"log=on with backing={backing} (-EINVAL)", "log=off")
        require(not ro or backing != MEMFD, f"ro=on with backing={backing} (-EINVAL)", "ro=off")

    def check_alias(self, slot: Slot) -> None:
        """Check that a slot that shares another's host memory lies within it."""
        require(slot.backing != MEMFD, f"alias= with backing={MEMFD}", "a slot with memory of its own")
        other = self.slots.get(slot.alias)
        if other is None:
            raise refusal(f"alias={slot.alias[:40]!a}", ", ".join(self.slots) or "a slot declared above")
        require(not other.alias, f"alias={slot.alias}, which is an alias itself", "a slot with memory of its own")
        require(slot.backing == other.backing, f"backing={slot.backing} and alias={slot.alias}", other.backing)
        room = other.size - slot.size
        allowed = f"offset and size within the {show_bytes(other.size)} of slot {other.name}"
        require(slot.offset <= room, f"slot {slot.name} ends beyond slot {other.name}", allowed)

    def place(self, slot: Slot, ipa: int, what: str) -> None:
        """Place a slot at *ipa*, which must be within the address space and apart from the other slots of its VM."""
        limit = 1 << self.vm.ipa
        within(what, ipa, range(0, limit, self.vm.granule), show_bytes)
        end = ipa + slot.size
        allowed = f"up to {show_bytes(limit)} with ipa={self.vm.ipa}"
        require(end <= limit, f"slot {slot.name} ends at {show_bytes(end)}", allowed)
        self.check_apart(slot, ipa)
        self.ipa[slot.name] = ipa

    def check_apart(self, slot: Slot, ipa: int) -> None:
        """Check that a slot at *ipa* lies apart from the others of its VM."""
        name, end = slot.name, ipa + slot.size
        for other in self.live - {name}:
            start = self.ipa[other]
            apart = end <= start or start + self.slots[other].size <= ipa or self.slots[other].vm != slot.vm
            require(apart, f"slot {name} overlaps slot {other}", "slots that do not overlap")

    def check(self, op: ops.Operation) -> None:
        """Check and record one operation. Raises a `refusal` without changing anything."""
        if isinstance(op, ops.HypMap):
            check_hyp(self.vm, op)
            return
        if isinstance(op, ops.VmEnd):
            self.end(op.vm)
            return
        if isinstance(op, ops.Par):
            self.check_block(op)
            return
        if isinstance(op, ops.OnCpu):
            self.check_cpu(op)
            if isinstance(op, (ops.GuestOutside, ops.GuestCache, ops.GuestSetWay)):
                return
            if isinstance(op, (ops.GuestMove, ops.GuestReset, ops.VmidRollover)):
                return
        slot = self.slot_for(op.slot, type(op))
        if isinstance(op, ops.OnCpu):
            self.check_reach(slot, op.cpu)
            if isinstance(op, ops.GuestPrefault):
                self.check_pages(slot, op)
                most = bounds.MAX_PREFAULT_PAGES * self.vm.granule
                within("size ", op.size, range(1, most + 1), show_bytes)
            else:
                self.check_byte(slot, op.offset)
        if not isinstance(op, (ops.SlotPlace, ops.OnCpu)) or isinstance(op, ops.ClearLog):
            self.check_running(slot.vm, f"slot {slot.name}")
        declared = ops.declaration_of(type(op))
        if isinstance(op, (ops.SlotPlace, ops.TableRange, ops.TablePlace)):
            if declared.align == BYTE:
                self.check_byte(slot, op.offset)
            else:
                self.check_pages(slot, op)
        self.check_needs(slot, declared)
        if declared.align == WORD and isinstance(op, ops.SlotRange):
            self.check_words(slot, op)
        if isinstance(op, ops.GuestAccess):
            require(op.kind in ops.ACCESS_KINDS, f"{op.kind[:40]!a}", *ops.ACCESS_KINDS)
            check_fail(op.fail)
        elif isinstance(op, (ops.TableRange, ops.TablePlace)):
            self.check_table(slot, op)
        elif isinstance(op, ops.OnSlot) and not isinstance(op, ops.GetLog):
            self.check_slot(slot, op)

    def check_block(self, op: ops.Par) -> None:
        """Check and record the operations of a par block."""
        before = self.snapshot()
        try:
            check_par(op, self.cpu_of, self.check)
        except ProgramError:
            # Drop the operations of the block that were already recorded.
            self.restore(before)
            raise

    def check_cpu(self, op: ops.OnCpu) -> None:
        """Check the vCPU of an operation, and operands that depend on no slot; record where the vCPU runs."""
        vm = self.vm
        within("", op.cpu, range(vm.cpus * vm.vms), "cpu{}".format)
        self.check_running(op.cpu // vm.cpus, f"cpu{op.cpu}")
        if isinstance(op, ops.GuestMove):
            within("move ", op.to, range(vm.cpus), str)
            self.cpu_of[op.cpu] = op.to
        elif isinstance(op, ops.GuestOutside):
            require(op.kind in ops.ACCESS_KINDS, f"{op.kind[:40]!a}", *ops.ACCESS_KINDS)
            within(f"outside {op.kind} ", op.ipa, bounds.outside(vm), show_bytes)

    def slot_for(self, name: str, kind: type) -> Slot:
        """Return the slot of this name, for an operation of this kind.

        :raises ProgramError: there is none, or its backing does not allow the operation
        """
        slot = self.slots.get(name)
        if slot is None:
            raise refusal(f"unknown slot {name[:40]!a}", ", ".join(self.slots))
        wanted = wanted_backings(kind, self.vm.granule)
        require(slot.backing in wanted, f"slot {name} has backing={slot.backing}", *wanted)
        return slot

    def check_reach(self, slot: Slot, cpu: int) -> None:
        """Check that a slot belongs to the VM of a vCPU."""
        cpus = self.vm.cpus
        allowed = ", ".join(f"cpu{n}" for n in range(slot.vm * cpus, (slot.vm + 1) * cpus))
        require(cpu // cpus == slot.vm, f"cpu{cpu} has no slot {slot.name}", allowed)

    def runs(self, vm: int) -> bool:
        """Tell whether a VM has not ended."""
        return vm not in self.ended

    def check_running(self, vm: int, what: str) -> None:
        """Check that a VM has not ended.

        :param what: the part of the VM that an error names
        """
        others = [f"VM {number}" for number in range(self.vm.vms) if self.runs(number)]
        require(self.runs(vm), f"{what}: VM {vm} has ended", *others)

    def end(self, vm: int) -> None:
        """End a VM, whose slots are then gone for good. Raises a `refusal` without changing anything."""
        within("end ", vm, range(self.vm.vms), str)
        self.check_running(vm, f"end {vm}")
        others = [slot for slot in self.slots.values() if slot.vm != vm and self.runs(slot.vm)]
        require(others, f"end {vm}: no other VM has slots", "a VM, if another one has slots")
        mine = [slot for slot in self.slots.values() if slot.vm == vm]
        files = [slot.name for slot in mine if slot.backing == MEMFD]
        # The file, which user space maps, holds a reference on the VM (``__kvm_gmem_create()``).
        require(not files, f"end {vm}: slot {''.join(files[:1])} has backing={MEMFD}", f"a VM without backing={MEMFD}")
        self.ended.add(vm)
        for slot in mine:
            self.live.discard(slot.name)
            self.logged.discard(slot.name)

    def check_needs(self, slot: Slot, declared: Declaration) -> None:
        """Check that the preconditions of an operation's declaration are met."""
        name = slot.name
        for need in declared.needs:
            if need == LIVE:
                require(name in self.live, f"slot {name} is deleted at this point", f"after slot {name} create")
            elif need == DELETED:
                require(name not in self.live, f"slot {name} exists", f"create after slot {name} delete")
            elif need == LOGGED:
                verb = declared.form.split()[2]
                require(name in self.logged, f"log {name} is off at this point", f"{verb} after log {name} on")
            else:
                verb = declared.form.split()[2]
                require(self.vm.manual != "off", f"log {verb} with manual=off", "manual=on, manual=set")

    def check_byte(self, slot: Slot, offset: int) -> None:
        within(f"no such place in slot {slot.name}: {slot.name}+", offset, range(slot.size), show_bytes)

    def check_pages(self, slot: Slot, op: ops.SlotPlace | ops.TableRange | ops.TablePlace | ops.GuestPrefault) -> None:
        """Check an operation on a page or a range of pages."""
        name, page = slot.name, self.vm.granule
        within(f"no such place in slot {name}: {name}+", op.offset, range(0, slot.size, page), show_bytes)
        if isinstance(op, (ops.SlotRange, ops.TableRange, ops.GuestPrefault)):
            within("size ", op.size, range(page, slot.size - op.offset + 1, page), show_bytes)

    def check_words(self, slot: Slot, op: ops.SlotRange) -> None:
        """Check an operation on a range of pages that covers whole words of the dirty log."""
        word = bounds.CLEAR_PAGES * self.vm.granule
        steps = f"multiples of {show_bytes(word)} ({bounds.CLEAR_PAGES} pages), or a size up to the end of the slot"
        fine = op.offset % word == 0 and (op.size % word == 0 or op.offset + op.size == slot.size)
        require(fine, f"log clear of {slot.name}+{show_bytes(op.offset)} {show_bytes(op.size)}", steps)
        if isinstance(op, ops.ClearLog):
            check_fail(op.fail)

    def check_table(self, slot: Slot, op: ops.TableRange | ops.TablePlace) -> None:
        """Check a direct call of pgtable.c. The tables know nothing of the slot, so it must exist."""
        if isinstance(op, (ops.TableMap, ops.TableRelax)):
            require(op.prot in ops.PROTS, f"{op.prot[:40]!a}", *ops.PROTS)
        if isinstance(op, ops.TableRange):
            # Include the start of the page that holds the first byte.
            room = slot.size - op.offset // self.vm.granule * self.vm.granule
            within("size ", op.size, range(1, room + 1), show_bytes)
        if isinstance(op, ops.TableMap):
            block = self.vm.granule * self.vm.granule // 8
            within("size ", op.size, range(1, bounds.MAX_MAP_BLOCKS * block + 1), show_bytes)
            check_fail(op.fail)

    def refused(self, slot: Slot, ipa: int, what: str) -> bool:
        """Tell whether KVM refuses *ipa* (-EFAULT), because the slot would end beyond the address space."""
        limit = 1 << self.vm.ipa
        within(what, ipa, range(0, limit + 1, self.vm.granule), show_bytes)
        if ipa + slot.size <= limit:
            return False
        # Otherwise KVM would refuse it for the overlap (-EEXIST).
        self.check_apart(slot, ipa)
        return True

    def check_slot(self, slot: Slot, op: ops.SlotChange) -> None:
        """Check an operation on a slot as a whole, and record its effect. An operation that KVM refuses has none."""
        name = slot.name
        if isinstance(op, ops.SlotCreate):
            self.check_flags(slot, op.log, op.ro)
            check_fail(op.fail)
            if op.ipa is not None and self.refused(slot, op.ipa, "ipa="):
                return
            self.place(slot, self.ipa[name] if op.ipa is None else op.ipa, "ipa=")
            self.live.add(name)
            (self.logged.add if op.log else self.logged.discard)(name)
        elif isinstance(op, ops.SetLog):
            check_fail(op.fail)
            (self.logged.add if op.on and slot.backing not in UNLOGGED else self.logged.discard)(name)
        elif isinstance(op, ops.SlotMove):
            check_fail(op.fail)
            if not self.refused(slot, op.ipa, "move "):
                self.place(slot, op.ipa, "move ")
        elif isinstance(op, ops.SlotDelete):
            self.live.discard(name)
            self.logged.discard(name)
        else:
            assert_never(op)
