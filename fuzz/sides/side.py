# SPDX-License-Identifier: GPL-2.0-only
"""One version of the kernel code on one machine, on which a program runs."""

from typing import ClassVar, Final

from candidate import Candidate
from reference.arm import Arm
from reference.capabilities import (
    ARM64_HAS_BBM,
    ARM64_HAS_CACHE_DIC,
    ARM64_HAS_LPA2,
    ARM64_HAS_NESTED_VIRT,
    ARM64_HAS_STAGE2_FWB,
    ARM64_HAS_TLB_RANGE,
    ARM64_HW_DBM,
    ARM64_MTE,
    GUEST_STAGE2,
    NO_VHE,
    ARM64_HAS_ARMv8_4_TTL,
)
from reference.kernel import Kernel
from reference.kvm_host import KvmHost
from reference.machine.address_space import NotifierReceiver
from reference.machine.computer import Computer
from reference.machine.granule import PA_BITS, Granule
from reference.machine.host import Host
from reference.stores import writes_once

from ..language.program import CACHED, GIB, Program, Slot, Vm, caches_devices
from .backing import back
from .guest import Guest, SlotLayout
from .host_notifications import HostNotifications
from .nested import NestedGuest
from .pulse import PULSE

# Host addresses: each slot has 4G of its own, or a larger multiple if needed, so that no area touches another.
HVA_BASE: Final = 0x7F00_0000_0000
HVA_STEP: Final = 1 << 32
# TCR_EL1 of software at EL1: addresses of 39 bits, walks by both tables.
TCR: Final = 25 | 25 << 16


def capabilities(vm: Vm) -> int:
    """Return the ARM64_HAS_... bits of a machine."""
    return (
        (ARM64_HAS_STAGE2_FWB if vm.fwb else 0)
        | (ARM64_HAS_CACHE_DIC if vm.dic else 0)
        | (ARM64_HAS_ARMv8_4_TTL if vm.ttl else 0)
        | (ARM64_HAS_TLB_RANGE if vm.range else 0)
        | (ARM64_HAS_LPA2 if vm.pa > PA_BITS else 0)
        | (ARM64_MTE if vm.mte else 0)
        | (ARM64_HAS_BBM if vm.bbm else 0)
        | (ARM64_HAS_NESTED_VIRT if vm.nested else 0)
        | (GUEST_STAGE2 if vm.stage2 else 0)
        | (ARM64_HW_DBM if vm.haf else 0)
    )


def host_room(slot: Slot) -> int:
    """Return the size of a slot's host address range, with room for its offset and whole pages of any size."""
    return -(-(slot.size + 2 * GIB) // HVA_STEP) * HVA_STEP if not slot.alias else HVA_STEP


def new_kernel(version: Candidate, vm: Vm, computer: Computer) -> Kernel:
    """Return what kernel code links against, on a machine and with the settings of a program."""
    caps = capabilities(vm) | version.caps
    kernel = Kernel(computer.granule, computer, caps, version.nvhe if caps & NO_VHE else version.tlb)
    kernel.resched_every = vm.resched or 0
    kernel.contended_at = vm.contended or 0
    kernel.grace_at = vm.grace or 0
    if not writes_once(*version.parts):
        kernel.watch_plain_stores()
    return kernel


class Side:
    """The machine, the host, the kernel and its VMs for one run of a program.

    :param version: the code under test
    :param program: its settings and slots; `fuzz.execution.executor` runs the operations
    """

    __deletable__: ClassVar = ["_active", "notifications"]

    def __init__(self, version: Candidate, program: Program) -> None:
        vm = program.vm
        granule = Granule(vm.granule.bit_length() - 1, vm.pa)
        self.granule = granule
        self.version = version
        has_nested = vm.nested and vm.cpus > 1
        self.computer = Computer(granule, vm.cpus, vm.vms + has_nested)
        self.memory = self.computer.memory
        self.tagged = vm.mte
        for cpu in self.computer.processors:
            cpu.tcr = TCR
        self.kernel = new_kernel(version, vm, self.computer)
        self.host = Host(granule.page_shift, granule.level_shift(2), self.memory)
        self.host.copies = [] if vm.mte else None
        self.caches_devices = caches_devices(vm)
        self.hold_to(version)
        self.kvm_host = KvmHost(self.kernel, self.host)
        self.arm = Arm(self.kernel, vm.vms + has_nested)
        self.pgtable = version.pgtable(self.kernel)
        self.mmu = version.mmu(self.kvm_host, self.pgtable)
        self.cpus = vm.cpus
        self.haf = vm.haf
        self.fwb = vm.fwb
        self.ttl = vm.ttl
        self.bbm = vm.bbm
        self.guests = [Guest(self, number, vm) for number in range(vm.vms)]
        self._active = self.guests[0]
        # VMs that have not ended, which notifiers reach; at least one.
        self.running = self.guests[:]
        self.host.receiver = self.notifications = HostNotifications(self)
        # The vCPUs of the VM at EL1, if a guest hypervisor has EL2; the last of *guests*.
        self.nested: NestedGuest | None = None
        if has_nested:
            self.nested = NestedGuest(self, self.guests[0], vm)
            self.guests.append(self.nested)
        # True once the hardware has made a leaf writable for a write, which therefore took no fault.
        self.dirtied = False
        # The host pages that the current operation ages, and the host addresses that it names (`pages_to_age`).
        self.aged: list[tuple[int, int]] = []
        self.aged_start = self.aged_end = 0
        # The CPU on which each vCPU runs, with vCPUs numbered across all VMs.
        self.cpu_of = list(range(vm.cpus)) * vm.vms
        self.layouts: list[SlotLayout] = []
        self.by_name: dict[str, SlotLayout] = {}
        # The host address of the next slot.
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
        """Set the version that determines what is required where versions differ, and what their host does.

        :param standard: the version that this one is compared with, or this one
        """
        self.standard = standard
        # Its walks under a shared mmu lock are RCU readers.
        self.walks_under_rcu = standard.pgtable.WALKS_UNDER_RCU
        # At least one of both versions stores by compare-exchange under that lock.
        self.exchanges_shared = self.version.pgtable.EXCHANGES_SHARED or standard.pgtable.EXCHANGES_SHARED
        refuses = self.version.mmu.REFUSES_UNCACHEABLE or standard.mmu.REFUSES_UNCACHEABLE
        # KVM must refuse memory of a device that user space maps with caches.
        self.refuses_cached_devices = refuses and not self.caches_devices
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
        """Reset the state of the previous operation."""
        # Operations without a vCPU run on the first CPU.
        self.kernel.walker = self.kernel.cause = ""
        self.kernel.cpu = 0
        self.aged_start = self.aged_end = 0
        for guest in self.guests:
            guest.notified.forget()

    def pages_to_age(self, start: int, end: int) -> list[tuple[int, int]]:
        """Return the host pages aged together with [start, end), as in `HostPages.pages_to_age`.

        They stay the same until the operation has aged them, except in a par block.
        """
        if self.kernel.turns is not None:
            return self.host.pages_to_age(start, end)
        if start != self.aged_start or end != self.aged_end:
            self.aged = self.host.pages_to_age(start, end)
            self.aged_start, self.aged_end = start, end
        return self.aged

    def aged_range(self, start: int, end: int) -> tuple[int, int]:
        """Return the range of these pages, as in `HostPages.aged_range`."""
        return self.host.aged_range(start, end, self.pages_to_age(start, end))

    def enter(self, entry: str) -> None:
        """Note, for reports, the entry point of the kernel that is about to be called."""
        self.kernel.entry = entry
        if PULSE.on:
            PULSE.place(entry, self.kernel.walker)

    def guest_of(self, cpu: int) -> Guest:
        """Return the VM of a vCPU, by the vCPU's number across all VMs; of one at EL1, that with its tables."""
        if self.nested is not None and cpu & 1:
            return self.nested
        return self.guests[cpu // self.cpus]

    def vm_of(self, cpu: int) -> Guest:
        """Return the VM of a vCPU, whatever tables it uses."""
        return self.guests[cpu // self.cpus]

    def create(self) -> int:
        """Create the VMs, the host areas and the slots.

        :returns: 0 or a negative errno
        """
        for guest in self.running:
            self.active = guest
            ret = guest.create()
            if ret:
                return ret
        if self.nested is not None:
            self.nested.created()
        self.enter("kvm_set_memory_region")
        later: list[SlotLayout] = []
        for layout in self.layouts:
            if not layout.slot.alias:
                if layout.slot.backing == CACHED and not self.caches_devices:
                    later.append(layout)
                else:
                    back(self.host, layout.slot, layout.hva)
            self.active = self.guests[layout.slot.vm]
            ret = self.active.set_region(layout)
            if ret:
                return ret
        # KVM may refuse a slot over such memory, so user space maps it afterwards.
        for layout in later:
            back(self.host, layout.slot, layout.hva)
        return 0

    def destroy(self) -> None:
        """Destroy all VMs, as when user space is gone: its memory goes first, and with it the notifier of each VM.

        Before that, it closes each guest_memfd, which would keep its VM alive.
        """
        entry = self.kernel.entry
        self.enter("kvm_gmem_release")
        for guest in reversed(self.running):
            self.active = guest
            # With a lock left behind, the call may wait forever.
            if not self.kernel.locks:
                guest.close_files()
        self.enter(entry)
        for guest in reversed(self.running):
            self.active = guest
            guest.destroy()
        # Likewise ``kvm_destroy_vm()``.
        for guest in reversed(self.running):
            self.active = guest
            if not self.kernel.locks:
                guest.free_slots()
            elif self.nested is not None:
                guest.main.kvm_destroy_nested()

    def end(self, guest: Guest) -> None:
        """End a VM while others continue (``kvm_destroy_vm()``): user space and its memory stay."""
        self.active = guest
        guest.destroy()
        guest.free_slots()
        self.running.remove(guest)
        self.active = self.running[0]

    def dismantle(self) -> None:
        """Cut the reference cycles, so that all memory is freed at once without waiting for the collector.

        The side cannot be used afterwards.
        """
        self.kernel.dismiss_all()
        self.kernel.arena.words.clear()
        self.pgtable.dismantle()
        self.host.receiver = NotifierReceiver()
        for guest in self.guests:
            guest.dismantle()
        self.guests.clear()
        self.running.clear()
        del self._active, self.notifications
