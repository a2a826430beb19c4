# SPDX-License-Identifier: GPL-2.0-only
"""One version of the kernel code on one machine: what a program runs on."""

from typing import Final

from candidate import Candidate
from reference.kernel import ARM64_HAS_CACHE_DIC, ARM64_HAS_STAGE2_FWB, ARM64_HAS_ARMv8_4_TTL, Kernel
from reference.kvm_host import (
    KVM_MEM_LOG_DIRTY_PAGES,
    KVM_MEM_READONLY,
    KvmHost,
    kvm,
    kvm_vcpu,
)
from reference.kvm_main import KvmMain
from reference.machine.address_space import DEVICE, THP, WRITABLE, Listener, Run, Vma
from reference.machine.computer import Computer
from reference.machine.granule import Granule
from reference.machine.host import Host
from reference.machine.walk import Regime
from reference.vtcr import kvm_arm_setup_stage2

from .program import Program, Slot

# Host addresses: each slot has 4G of its own, so that no area touches another.
HVA_BASE: Final = 0x7F00_0000_0000
HVA_STEP: Final = 1 << 32

HUGE_SHIFT: Final = {"hugetlb2m": 21, "hugetlb1g": 30}


class SlotLayout:
    """A slot of the program and where it lies.

    *hva*: its host address; *id*: KVM's number for it.
    """

    def __init__(self, slot: Slot, number: int) -> None:
        self.slot = slot
        self.id = number
        self.ipa = slot.ipa
        self.size = slot.size
        self.hva = HVA_BASE + number * HVA_STEP + slot.offset
        self.flags = (KVM_MEM_LOG_DIRTY_PAGES if slot.log else 0) | (KVM_MEM_READONLY if slot.ro else 0)


class Watcher:
    """Looks at the tables between the two halves of an invalidation."""

    def invalidated(self, start: int, end: int) -> None:
        """``invalidate_range_start()`` for host addresses [start, end) has returned."""


class Notified(Listener):
    """Passes notifications on to KVM and remembers the ranges of this operation.

    *ranges*: [start, end) in host addresses; *guest_ranges*: the guest addresses
    that see them; *watch* is told when one was announced
    """

    def __init__(self, side: "Side", main: KvmMain) -> None:
        self.side = side
        self.main = main
        self.ranges: list[tuple[int, int]] = []
        self.guest_ranges: list[tuple[int, int]] = []
        # Inside of invalidate_range_start(): whatever is unmapped is unmapped for good.
        self.unmapping = False
        self.watch: Watcher | None = None

    def invalidate_range_start(self, start: int, end: int, blockable: bool) -> None:
        self.ranges.append((start, end))
        self.guest_ranges += self.side.ipa_ranges(start, end)
        self.unmapping = True
        self.main.invalidate_range_start(start, end, blockable)
        self.unmapping = False
        if self.watch is not None:
            self.watch.invalidated(start, end)

    def forget(self) -> None:
        """A new operation starts."""
        self.unmapping = False
        self.ranges.clear()
        self.guest_ranges.clear()

    def invalidate_range_end(self) -> None:
        self.main.invalidate_range_end()

    def change_pte(self, hva: int, pfn: int) -> None:
        self.main.change_pte(hva, pfn)

    def cow(self, hva: int, pages: int, pfn: int) -> None:
        self.main.cow(hva, pages, pfn)

    def host_update(self) -> None:
        self.main.host_update()


class Side:
    """The machine, the host, the kernel and its VM for one run of a program.

    :param version: the code under test
    :param program: its settings and slots; the operations are run by `fuzz.executor`
    """

    def __init__(self, version: Candidate, program: Program) -> None:
        vm = program.vm
        granule = Granule(vm.granule.bit_length() - 1)
        self.granule = granule
        self.version = version
        self.computer = Computer(granule, vm.cpus)
        self.memory = self.computer.memory
        caps = (ARM64_HAS_STAGE2_FWB if vm.fwb else 0) | (ARM64_HAS_CACHE_DIC if vm.dic else 0)
        self.kernel = Kernel(granule, self.computer, caps | (ARM64_HAS_ARMv8_4_TTL if vm.ttl else 0))
        self.host = Host(granule.page_shift, granule.level_shift(2), self.memory)
        self.kvm_host = KvmHost(self.kernel, self.host)
        self.pgtable = version.pgtable(self.kernel)
        self.mmu = version.mmu(self.kvm_host, self.pgtable)
        self.kvm = kvm(kvm_arm_setup_stage2(vm.ipa, granule), self.pgtable.VTCR_EL2_TGRAN_SL0_BASE)
        self.main = KvmMain(self.kvm, self.mmu)
        self.notified = Notified(self, self.main)
        self.host.listener = self.notified
        self.vcpus = [kvm_vcpu(self.kvm, cpu, vm.fwb) for cpu in range(vm.cpus)]
        self.fwb = vm.fwb
        self.dic = vm.dic
        self.ttl = vm.ttl
        self.layouts = [SlotLayout(slot, number) for number, slot in enumerate(program.slots)]
        self.by_name = {layout.slot.name: layout for layout in self.layouts}
        self.regime = Regime(granule, vm.ipa, 0, -1)

    def create(self) -> int:
        """Make the root table, the host areas and the slots.

        :returns: 0 or a negative errno
        """
        ret = self.mmu.kvm_init_stage2_mmu(self.kvm)
        if ret:
            return ret
        pgt = self.kvm.pgt
        assert pgt is not None
        self.regime.start_level = pgt.start_level
        self.regime.root = pgt.pgd
        for layout in self.layouts:
            self.back(layout)
            ret = self.main.__kvm_set_memory_region__(layout.id, layout.flags, layout.ipa, layout.size, layout.hva)
            if ret:
                return ret
        return 0

    def back(self, layout: SlotLayout) -> None:
        """The host area of a slot, populated, as its backing says."""
        backing = layout.slot.backing
        shift = HUGE_SHIFT.get(backing, self.granule.page_shift)
        if backing in ("thp", "anon"):
            shift = self.granule.level_shift(2)
        start = layout.hva & -(1 << shift)
        end = (layout.hva + layout.size + (1 << shift) - 1) & -(1 << shift)
        pages = (end - start) >> self.granule.page_shift
        if backing == "device":
            pfn = self.host.new_device_frames(pages, 1)
            self.host.runs.append(Run(start, pages, pfn, WRITABLE | DEVICE))
            self.host.vmas.append(Vma(start, end, True, 0, pfn))
            return
        align = 1 << (shift - self.granule.page_shift)
        pfn = self.host.new_frames(pages, 1 if backing == "anon" else align)
        self.host.runs.append(Run(start, pages, pfn, WRITABLE | (THP if backing == "thp" else 0)))
        self.host.vmas.append(Vma(start, end, False, HUGE_SHIFT.get(backing, 0), 0))

    def destroy(self) -> None:
        """User space is gone: memory caches and tables are given back."""
        for vcpu in self.vcpus:
            self.kernel.kvm_mmu_free_memory_cache(vcpu.mmu_page_cache)
        self.mmu.kvm_free_stage2_pgd(self.kvm)

    def layout_of(self, ipa: int) -> SlotLayout | None:
        """The slot that holds a guest address."""
        for layout in self.layouts:
            if layout.ipa <= ipa < layout.ipa + layout.size:
                return layout
        return None

    def ipa_ranges(self, start: int, end: int) -> list[tuple[int, int]]:
        """The guest addresses that see a range of host addresses."""
        found: list[tuple[int, int]] = []
        for layout in self.layouts:
            first = max(start, layout.hva)
            last = min(end, layout.hva + layout.size)
            if first < last:
                found.append((first - layout.hva + layout.ipa, last - layout.hva + layout.ipa))
        return found

    def maps_backing(self, ipa: int, pfn: int) -> bool:
        """Whether a leaf that maps *pfn* at *ipa* maps what the host has there; else it is stale."""
        return self.backing_frame(ipa) == pfn

    def backing_frame(self, ipa: int) -> int:
        """The frame that the host has behind a guest address; -1: none."""
        layout = self.layout_of(ipa)
        return -1 if layout is None else self.host.frame_of(layout.hva + ipa - layout.ipa)
