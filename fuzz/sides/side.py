# SPDX-License-Identifier: GPL-2.0-only
"""One version of the kernel code on one machine, for a program to run on."""

from typing import ClassVar, Final

from candidate import Candidate
from reference.arm import Arm
from reference.capabilities import (
    ARM64_HAS_CACHE_DIC,
    ARM64_HAS_LPA2,
    ARM64_HAS_STAGE2_FWB,
    ARM64_HAS_TLB_RANGE,
    ARM64_MTE,
    NO_VHE,
    ARM64_HAS_ARMv8_4_TTL,
)
from reference.kernel import Kernel
from reference.kvm_host import KvmHost
from reference.machine.address_space import FOR_CLEAR, Listener
from reference.machine.computer import Computer
from reference.machine.granule import PA_BITS, Granule
from reference.machine.host import Host
from reference.stores import writes_once

from ..language.program import GIB, Program, Slot, Vm
from .backing import back
from .guest import Guest, SlotLayout
from .pulse import PULSE

# Host addresses: each slot has 4G of its own, or as many as it needs, so that no area touches another.
HVA_BASE: Final = 0x7F00_0000_0000
HVA_STEP: Final = 1 << 32
# TCR_EL1 of whoever runs at EL1: addresses of 39 bits, walks by both tables.
TCR: Final = 25 | 25 << 16


def capabilities(vm: Vm) -> int:
    """The ARM64_HAS_... bits of a machine."""
    return (
        (ARM64_HAS_STAGE2_FWB if vm.fwb else 0)
        | (ARM64_HAS_CACHE_DIC if vm.dic else 0)
        | (ARM64_HAS_ARMv8_4_TTL if vm.ttl else 0)
        | (ARM64_HAS_TLB_RANGE if vm.range else 0)
        | (ARM64_HAS_LPA2 if vm.pa > PA_BITS else 0)
        | (ARM64_MTE if vm.mte else 0)
    )


def host_room(slot: Slot) -> int:
    """The bytes of host addresses that a slot has: for its offset, and for whole pages of any size at its end."""
    return -(-(slot.size + 2 * GIB) // HVA_STEP) * HVA_STEP if not slot.alias else HVA_STEP


class Side(Listener):
    """The machine, the host, the kernel and its VMs for one run of a program.

    It listens to the host's address space and tells every VM that has not ended in turn, the newest first:
    ``mmu_notifier_register()`` puts each at the head of the list.

    :param version: the code under test
    :param program: its settings and slots; the operations are run by `fuzz.execution.executor`
    """

    __deletable__: ClassVar = ["_active"]

    def __init__(self, version: Candidate, program: Program) -> None:
        vm = program.vm
        granule = Granule(vm.granule.bit_length() - 1, vm.pa)
        self.granule = granule
        self.version = version
        self.computer = Computer(granule, vm.cpus, vm.vms)
        self.memory = self.computer.memory
        self.tagged = vm.mte
        caps = capabilities(vm) | version.caps
        self.kernel = Kernel(granule, self.computer, caps, version.nvhe if caps & NO_VHE else version.tlb)
        for cpu in self.computer.processors:
            cpu.tcr = TCR
        self.kernel.resched_every = vm.resched or 0
        self.kernel.contended_at = vm.contended or 0
        self.kernel.grace_at = vm.grace or 0
        if not writes_once(*version.parts):
            self.kernel.watch_plain_stores()
        self.host = Host(granule.page_shift, granule.level_shift(2), self.memory)
        self.host.copies = [] if vm.mte else None
        self.hold_to(version)
        self.kvm_host = KvmHost(self.kernel, self.host)
        self.arm = Arm(self.kernel, vm.vms)
        self.pgtable = version.pgtable(self.kernel)
        self.mmu = version.mmu(self.kvm_host, self.pgtable)
        self.host.listener = self
        self.cpus = vm.cpus
        self.haf = vm.haf
        self.fwb = vm.fwb
        self.ttl = vm.ttl
        self.guests = [Guest(self, number, vm) for number in range(vm.vms)]
        self._active = self.guests[0]
        # Those that have not ended, which notifiers reach; one at least.
        self.running = self.guests[:]
        # Set while the VMs get notifications of a change of the host's, in the middle of a fault too.
        self.notifying = False
        # Why the next invalidation takes place.
        self.event = FOR_CLEAR
        # Actors that are within an operation of the host.
        self.operating: set[int] = set()
        # Actors that hold the mmap lock for reading, and have taken it for writing.
        self.downgraded: set[int] = set()
        # By actor, the page whose entry in the host's tables it has changed, and tells of under the lock of that table.
        self.telling: dict[int, int] = {}
        # The host pages that the operation under way ages, and the host addresses that it names (`pages_to_age`).
        self.aged: list[tuple[int, int]] = []
        self.aged_start = self.aged_end = 0
        # The CPU on which each vCPU runs, vCPUs numbered through all VMs.
        self.cpu_of = list(range(vm.cpus)) * vm.vms
        self.layouts: list[SlotLayout] = []
        self.by_name: dict[str, SlotLayout] = {}
        # Where the next slot has its host addresses.
        self.free_hva = HVA_BASE
        for slot in program.slots:
            self.lay_out(slot)

    @property
    def active(self) -> Guest:
        """The VM that kernel code runs for: its locks are taken, and reports name its slots."""
        return self._active

    @active.setter
    def active(self, guest: Guest) -> None:
        self._active = guest
        self.kernel.vmid = guest.vmid

    def hold_to(self, standard: Candidate) -> None:
        """Name the version that says what is required where versions differ, and what their host does.

        :param standard: the one that this is compared with, or this one
        """
        self.standard = standard
        # Its walks under a shared mmu lock are readers of RCU.
        self.walks_under_rcu = standard.pgtable.WALKS_UNDER_RCU
        # One of both stores by compare-exchange under that lock.
        self.exchanges_shared = self.version.pgtable.EXCHANGES_SHARED or standard.pgtable.EXCHANGES_SHARED
        self.host.traits = standard.main.HOST

    def lay_out(self, slot: Slot) -> None:
        """Choose the host address of a slot."""
        number = len(self.layouts)
        base = self.by_name[slot.alias].hva if slot.alias else self.free_hva
        self.free_hva += host_room(slot)
        layout = SlotLayout(slot, number, base + slot.offset)
        self.layouts.append(layout)
        self.by_name[slot.name] = layout
        self.guests[slot.vm].layouts.append(layout)

    def begin_operation(self) -> None:
        """An operation begins."""
        # What no vCPU does, the first CPU does.
        self.kernel.walker = self.kernel.cause = ""
        self.kernel.cpu = 0
        self.aged_start = self.aged_end = 0
        for guest in self.guests:
            guest.notified.forget()

    def pages_to_age(self, start: int, end: int) -> list[tuple[int, int]]:
        """The host pages that are aged with those of [start, end), as `HostPages.pages_to_age`.

        Until an operation that ages them has done so they stay the same, but beside others.
        """
        if self.kernel.turns is not None:
            return self.host.pages_to_age(start, end)
        if start != self.aged_start or end != self.aged_end:
            self.aged = self.host.pages_to_age(start, end)
            self.aged_start, self.aged_end = start, end
        return self.aged

    def aged_range(self, start: int, end: int) -> tuple[int, int]:
        """The range around them, as `HostPages.aged_range`."""
        return self.host.aged_range(start, end, self.pages_to_age(start, end))

    def enter(self, entry: str) -> None:
        """Note, for reports, the entry point of the kernel that is about to be called."""
        self.kernel.entry = entry
        if PULSE.on:
            PULSE.place(entry, self.kernel.walker)

    def guest_of(self, cpu: int) -> Guest:
        """The VM of a vCPU, by its number through all VMs."""
        return self.guests[cpu // self.cpus]

    def create(self) -> int:
        """Make the VMs, the host areas and the slots.

        :returns: 0 or a negative errno
        """
        for guest in self.guests:
            self.active = guest
            ret = guest.create()
            if ret:
                return ret
        self.enter("kvm_set_memory_region")
        for layout in self.layouts:
            if not layout.slot.alias:
                back(self.host, layout.slot, layout.hva)
            self.active = self.guests[layout.slot.vm]
            ret = self.active.set_region(layout)
            if ret:
                return ret
        return 0

    def destroy(self) -> None:
        """Destroy all VMs, as when user space is gone: its memory goes first, and the notifier of each VM with it."""
        for guest in reversed(self.running):
            self.active = guest
            guest.destroy()

    def end(self, guest: Guest) -> None:
        """End a VM while others go on (``kvm_destroy_vm()``): user space stays, and the memory behind its slots."""
        self.active = guest
        guest.destroy()
        guest.free_slots()
        self.running.remove(guest)
        self.active = self.running[0]

    def dismantle(self) -> None:
        """Cut the reference cycles, so that all memory goes at once and does not wait for the collector.

        Nothing can be done with the side then.
        """
        self.kernel.dismiss_all()
        self.kernel.arena.words.clear()
        self.pgtable.dismantle()
        self.host.listener = Listener()
        for guest in self.guests:
            guest.dismantle()
        self.guests.clear()
        self.running.clear()
        del self._active

    def reason(self, event: int) -> None:
        self.event = event

    def invalidate_range_start(self, start: int, end: int, blockable: bool) -> None:
        self.memory.taker = 0
        # Taken before others run, who may begin invalidations of their own.
        event, self.event = self.event, FOR_CLEAR
        self.step("start", False)
        active = self.begin_notification()
        for guest in reversed(self.running):
            self.active = guest
            self.calling()
            guest.main.reason(event)
            guest.notified.invalidate_range_start(start, end, blockable)
        self.end_notification(active)
        self.step("start", True)
        self.step("change", False)
        self.wait_for_tables(start, end)
        self.changes_pages()

    def invalidate_range_end(self) -> None:
        self.memory.taker = 0
        if self.kernel.turns is not None:
            self.running[0].main.changed()
            self.step("change", True)
            self.step("end", False)
        active = self.begin_notification()
        for guest in reversed(self.running):
            self.active = guest
            self.calling()
            guest.notified.invalidate_range_end()
        self.end_notification(active)
        self.step("end", True)
        if self.running[0].notified.under_way:
            # This one was within another one.
            self.changes_pages()

    def must_not_block(self, on: bool) -> None:
        self.kernel.must_not_block = on

    def changes_pages(self) -> None:
        """The actor that runs changes pages from here on: those of an operation of the host go when that is over."""
        if self.kernel.actor in self.operating:
            self.memory.taker = self.kernel.actor

    def wait_for_tables(self, start: int, end: int) -> None:
        """Let others run until none of them holds the lock of a page table with entries of [start, end).

        A vCPU whose fault copies a page goes on: in the process of a tree no other actor can go on before the host has
        answered (``ask()`` of native/rt_serve.c), and ports do the same.
        """
        if self.kernel.actor not in self.operating:
            return
        moved = True
        while self.telling:
            first, last = start & -self.host.pmd_size, end - 1 | self.host.pmd_size - 1
            there = [actor for actor, hva in self.telling.items() if first <= hva <= last]
            if not there:
                return
            assert self.kernel.turns is not None
            self.kernel.turns.wait("page table", there[0], moved)
            moved = False

    def change_pte(self, hva: int, pfn: int) -> None:
        turns = self.kernel.turns
        if turns is None:
            self.tell_of_page(hva, pfn)
            return
        actor = self.kernel.actor
        # set_pte_at_notify() is called under that lock.
        self.telling[actor] = hva
        try:
            self.tell_of_page(hva, pfn)
        finally:
            del self.telling[actor]
        turns.nobody_waits()

    def tell_of_page(self, hva: int, pfn: int) -> None:
        """Call ``change_pte()`` of all VMs."""
        active = self.begin_notification()
        for guest in reversed(self.running):
            self.active = guest
            self.calling()
            guest.notified.change_pte(hva, pfn)
        self.end_notification(active)

    def step(self, point: str, after: bool) -> None:
        """A step of an operation of the host begins, or is over: in a par block others may come then."""
        if self.kernel.turns is not None:
            self.kernel.turns.step(point, after)

    def calling(self) -> None:
        """KVM is about to be told something of the host's memory, or asked."""
        if self.kernel.turns is not None:
            self.kernel.turns.calling()

    def begin_notification(self) -> Guest:
        """Begin to notify all VMs; the VM for which kernel code runs, to be active again afterwards."""
        self.notifying = True
        return self.active

    def end_notification(self, active: Guest) -> None:
        """End it: kernel code goes on for the VM for which it ran before."""
        self.active = active
        self.notifying = False

    def areas_dropped(self) -> None:
        if self.kernel.turns is not None:
            self.running[0].main.downgrade_mmap()
            self.downgraded.add(self.kernel.actor)

    def cow(self, hva: int, pages: int, pfn: int) -> None:
        for o in self.kernel.on.cow:
            o.cow(hva, pages, pfn)

    def copying(self, hva: int, pages: int, pfn: int) -> None:
        if self.kernel.turns is None and len(self.running) == 1 and not self.tagged:
            self.running[0].main.copying(hva, pages, pfn)

    def host_update(self) -> None:
        for o in self.kernel.on.host_update:
            o.host_update()
