# SPDX-License-Identifier: GPL-2.0-only
"""One VM of a program: its tables, slots and vCPUs."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from reference.kvm import KVM_MEM_GUEST_MEMFD, KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY, kvm, kvm_vcpu
from reference.machine.walk import Regime
from reference.pgtable import VTCR_EL2_T0SZ_MASK
from reference.services.errors import EINVAL, ENOMEM
from reference.vtcr import VTCR_EL2_HA, VTCR_EL2_HD, kvm_arm_setup_stage2, start_level

from ..language.program import MEMFD, Slot, Vm
from .notified import Notified

if TYPE_CHECKING:
    from collections.abc import Callable

    from .side import Side

# The fields of VTCR_EL2 by which the hardware manages the dirty state.
DIRTY_STATE: Final = VTCR_EL2_HA | VTCR_EL2_HD
# The warning about a creation that failed and left its root linked.
ROOT_LEFT: Final = "root-left-linked"
MANUAL_LOG: Final = {"off": 0, "on": 1, "set": 3}
# The entry point by which user space has dirty rings reset, in any operation.
RESET_RINGS: Final = "kvm_vm_ioctl_reset_dirty_pages"


class SlotLayout:
    """A slot of the program and its current place.

    *id*: KVM's number for it; *ipa*: its guest address; *hva*: its host
    address; *flags*: KVM_MEM_... bits; *live*: whether it exists.
    """

    def __init__(self, slot: Slot, number: int, hva: int) -> None:
        self.slot = slot
        self.id = number
        self.ipa = slot.ipa
        self.size = slot.size
        self.hva = hva
        self.flags = (KVM_MEM_LOG_DIRTY_PAGES if slot.log else 0) | (KVM_MEM_READONLY if slot.ro else 0)
        self.live = True
        # Dirty pages that were collected and not yet cleared, 64 per word.
        self.collected: list[int] = []
        # Pages that came from dirty rings since the log was last collected, 64 per word.
        self.reaped: list[int] = []

    def snapshot(self) -> SlotLayout:
        """Return a copy of the slot's current state, which does not change later."""
        other = SlotLayout(self.slot, self.id, self.hva)
        other.ipa, other.flags, other.live = self.ipa, self.flags, self.live
        return other

    @property
    def readonly(self) -> bool:
        return self.flags & KVM_MEM_READONLY != 0


def walked_range(addr: int, size: int, page: int) -> tuple[int, int]:
    """Return the range [start, end) that ``kvm_pgtable_walk(addr, size)`` walks: whole pages."""
    start = addr & -page
    return start, (start + size + page - 1) & -page


class Guest:
    """One VM on a side.

    :param side: the machine and the kernel it runs on
    :param number: from 0; events and reports use *vmid*, which is one more

    *hardware_vmid*: the VMID that TLBs use for it; *vm* and *vm_vmid*: number and *vmid* of the VM whose slots and
    locks it has, which only `fuzz.sides.nested` distinguishes from its own
    """

    __deletable__: ClassVar = ["notified"]

    def __init__(self, side: Side, number: int, vm: Vm) -> None:
        self.side = side
        self.number = number
        self.vmid = number + 1
        self.vm = number
        self.vm_vmid = self.vmid
        self.arm = side.arm
        self.kernel = side.kernel
        self.granule = side.granule
        self.memory = side.memory
        self.host = side.host
        self.kvm_host = side.kvm_host
        self.fwb = vm.fwb
        self.dic = vm.dic
        self.ttl = vm.ttl
        self.kvm = kvm(kvm_arm_setup_stage2(vm.ipa, side.granule), side.pgtable.VTCR_EL2_TGRAN_SL0_BASE, self.vmid)
        self.kvm.manual_dirty_log_protect = MANUAL_LOG[vm.manual]
        self.kvm.split_page_chunk_size = vm.split
        self.kvm.dirty_ring_size = vm.ring
        self.kvm.dirty_ring_with_bitmap = vm.bitmap
        self.mmu = self.kvm.mmu
        self.hardware_vmid = self.mmu.hardware_vmid
        self.main = side.version.main(self.kvm, side.mmu)
        self.notified = Notified(self)
        # Rights (enum kvm_pgtable_prot) that the last direct call of kvm_pgtable_stage2_relax_perms() asked for.
        self.relaxed_to = 0
        self.vcpus = [kvm_vcpu(self.kvm, cpu, vm.fwb) for cpu in range(vm.cpus)]
        self.kvm.created_vcpus = vm.cpus
        # The vCPU that ran last on each CPU: ``mmu->last_vcpu_ran``.
        self.last_ran = list(range(vm.cpus))
        self.layouts: list[SlotLayout] = []
        # Slots and all else are freed.
        self.freed = False
        # In a par block: slots in their state before changes in progress; guests may still reach them there.
        self.leaving: list[SlotLayout] = []
        # Likewise: the number of changes in progress; the number of changes begun or ended; and for each change, start
        # and end of its guest addresses, and the value of *changes* when it ended, or 0 while it is in progress.
        self.changing = 0
        self.changes = 0
        self.changed: list[tuple[int, int, int]] = []
        self.regime = Regime(side.granule, vm.ipa, 0, -1)
        # Called once the tables are created.
        self.on_created: list[Callable[[], None]] = []
        # True while its tables are created: an allocated root is this VM's.
        self.creating = False
        self.fail = 0 if number or vm.fail is None else vm.fail

    def create(self) -> int:
        """Create the root table.

        :returns: 0 or a negative errno
        """
        self.creating = True
        ret = self.failing() if self.fail else -ENOMEM
        if ret == -ENOMEM:
            ret = self.side.mmu.kvm_init_stage2_mmu(self.kvm)
        self.creating = False
        if ret:
            return ret
        pgt = self.kvm.pgt
        if pgt is None:
            # The kernel would crash at their first use.
            self.kernel.warn("vm-without-tables")
            return -EINVAL
        self.set_regime(pgt.pgd)
        for callback in self.on_created:
            callback()
        return 0

    @property
    def name(self) -> str:
        """Its name in reports."""
        return f"VM {self.number}"

    @property
    def is_nested(self) -> bool:
        """True for the tables of vCPUs at EL1 (`fuzz.sides.nested`)."""
        return self.vm != self.number

    def has_cpu(self, cpu: int) -> bool:
        """Return whether a vCPU belongs to its VM, at whatever level it runs; *cpu*: counted over all VMs."""
        return self.side.vm_of(cpu).number == self.vm

    @property
    def vtcr(self) -> int:
        """VTCR_EL2 of the guest: as the tree composed it, otherwise as it has to be."""
        return self.kvm.composed_vtcr or self.kvm.vtcr

    def set_regime(self, pgd: int) -> None:
        """Set what the hardware uses: VTCR_EL2 and VTTBR_EL2, whatever the software made of them.

        :param pgd: the root, which VTTBR_EL2 names in a port
        """
        base = self.kvm.pgd_phys
        self.set_translation(self.kvm.composed_vtcr, pgd if base < 0 else self.root_at(base))

    def set_translation(self, composed_vtcr: int, root: int) -> None:
        """Set the walks of the hardware.

        :param composed_vtcr: VTCR_EL2 as the code of a tree composed it; 0: none has
        :param root: the index of the root's first entry
        """
        regime, vtcr = self.regime, self.vtcr
        regime.start_level = start_level(vtcr, self.granule)
        regime.ia_bits = 64 - (vtcr & VTCR_EL2_T0SZ_MASK)
        regime.apply_vtcr(composed_vtcr)
        # Without HA, the hardware ignores HD.
        regime.dirty = self.side.haf and composed_vtcr & DIRTY_STATE == DIRTY_STATE
        regime.root = root

    def root_at(self, base: int) -> int:
        """Return the index of the first entry of a root from its physical address."""
        return (base - self.kernel.base) >> 3

    def failing(self) -> int:
        """Attempt the creation with one of the three allocations failing; return its result."""
        kernel = self.kernel
        if self.fail == 2:
            kernel.allocations_left = 0
        else:
            kernel.small_allocations_left = self.fail // 2
        ret = self.side.mmu.kvm_init_stage2_mmu(self.kvm)
        kernel.allocations_left = kernel.small_allocations_left = -1
        if ret and self.kvm.root is not None:
            kernel.warn(ROOT_LEFT)
            # User space gets another ``struct kvm`` when it tries again.
            self.kvm.root = None
        return ret

    def set_region(self, layout: SlotLayout) -> int:
        """Call KVM_SET_USER_MEMORY_REGION for *layout*, with size 0 if the slot does not exist.

        :returns: 0 or a negative errno
        """
        size = layout.size if layout.live else 0
        flags = layout.flags | (KVM_MEM_GUEST_MEMFD if layout.slot.backing == MEMFD else 0)
        return self.main.kvm_set_memory_region(layout.id, flags, layout.ipa, size, layout.hva)

    def change_begins(self, layout: SlotLayout, old: SlotLayout, leaves: bool) -> None:
        """Note that a slot is about to change while other actors run.

        :param old: the slot in its previous state
        :param leaves: it is deleted or moved: guests reach its old place until it is unmapped
        """
        self.changing += 1
        self.changes += 1
        self.changed += self.ranges_of(layout, old)
        if leaves and old.live:
            self.leaving.append(old)

    def change_ends(self, layout: SlotLayout, old: SlotLayout) -> None:
        """Note that the change which `change_begins` announced is complete."""
        self.changing -= 1
        self.changes += 1
        over = self.ranges_of(layout, old)
        self.changed = [each for each in self.changed if each not in over]
        self.changed += [(start, end, self.changes) for start, end, _ in over]
        if old in self.leaving:
            self.leaving.remove(old)

    def ranges_of(self, layout: SlotLayout, old: SlotLayout) -> list[tuple[int, int, int]]:
        """Return the guest addresses of a changing slot, old and new, marked as in progress."""
        return [(each.ipa, each.ipa + layout.size, 0) for each in (old, layout)]

    def changed_since(self, changes: int, ipa: int) -> bool:
        """Return whether a slot at a guest address is changing, or has changed since the count was *changes*."""
        return any(start <= ipa < end and (not over or over > changes) for start, end, over in self.changed)

    def place_of(self, layout: SlotLayout) -> int:
        """Return the guest address of a slot; for a slot that is about to move, the address that KVM has."""
        slot = self.side.kvm_host.id_to_memslot(self.kvm, layout.id) if self.changing else None
        return layout.ipa if slot is None else slot.base_gfn << self.granule.page_shift

    def reap(self) -> int:
        """Collect and record the vCPUs' dirty ring entries as user space, and have KVM reset the rings.

        :returns: the number of entries that KVM has reset, or a negative errno
        """
        self.side.enter(RESET_RINGS)
        for number, page in self.main.harvest_dirty_rings():
            for layout in self.layouts:
                if layout.id == number and layout.live and page < layout.size >> self.granule.page_shift:
                    if not layout.reaped:
                        layout.reaped = [0] * (((layout.size >> self.granule.page_shift) + 63) >> 6)
                    layout.reaped[page >> 6] |= 1 << (page & 63)
        return self.main.kvm_vm_ioctl_reset_dirty_pages()

    def load(self, vcpu: int, cpu: int) -> None:
        """Run ``kvm_arch_vcpu_load()``, which drops what another vCPU left on that CPU."""
        if self.last_ran[cpu] != vcpu:
            self.kernel.__kvm_flush_cpu_context__(self.mmu, cpu)
            self.last_ran[cpu] = vcpu

    def enter(self) -> int:
        """Enter the guest on one of its vCPUs; from then on it has a VMID of the current generation.

        :returns: its VMID
        """
        if self.hardware_vmid.vmid_gen != self.arm.kvm_vmid_gen:
            self.arm.update_vmid(self.mmu)
        return self.hardware_vmid.vmid

    def is_known_to_tlbs(self) -> bool:
        """Return whether the guest was entered since VMIDs last ran out: before that, no TLB has entries of it."""
        return self.hardware_vmid.vmid_gen == self.arm.kvm_vmid_gen

    def close_files(self) -> None:
        """Close each guest_memfd while its slot exists: user space is about to exit."""
        for layout in self.layouts:
            if layout.slot.backing == MEMFD:
                self.notified.close(layout)

    def destroy(self) -> None:
        """Free tables and memory caches, as when user space is gone."""
        self.side.mmu.kvm_arch_flush_shadow_all(self.kvm)
        if not self.kernel.locks:
            self.notify_late()
        for vcpu in self.vcpus:
            self.kernel.kvm_mmu_free_memory_cache(vcpu.mmu_page_cache)

    def free_slots(self) -> None:
        """Free the slots of a VM that has ended, and the rest of it."""
        self.freed = True
        self.main.kvm_destroy_vm()
        for layout in self.layouts:
            layout.live = False

    def dismantle(self) -> None:
        """Cut the reference cycles; see `Side.dismantle`."""
        self.on_created.clear()
        self.notified.watchers.clear()
        del self.notified

    def notify_late(self) -> None:
        """Send the notifications that another CPU began before ``mmu_notifier_release()``: they have nothing to do."""
        for layout in self.layouts[:1]:
            start, end = layout.hva, layout.hva + self.granule.page_size
            self.main.notify_late(start, end, max(self.host.frame_of(start), 0))

    def layout_of(self, ipa: int) -> SlotLayout | None:
        """Return the slot that contains a guest address; None: there is none."""
        for layout in self.layouts:
            if layout.ipa <= ipa < layout.ipa + layout.size and layout.live:
                return layout
        return self.leaving_at(ipa)

    def leaving_at(self, ipa: int) -> SlotLayout | None:
        """Return the slot that contains a guest address until a call that deletes or moves it has unmapped it."""
        for layout in self.leaving:
            if layout.ipa <= ipa < layout.ipa + layout.size:
                return layout
        return None

    def ipa_ranges(self, start: int, end: int) -> list[tuple[int, int]]:
        """Return the guest addresses that map a range of host addresses."""
        found: list[tuple[int, int]] = []
        for layout in [*self.layouts, *self.leaving] if self.leaving else self.layouts:
            first = max(start, layout.hva)
            last = min(end, layout.hva + layout.size)
            if first < last and layout.live:
                found.append((first - layout.hva + layout.ipa, last - layout.hva + layout.ipa))
        return found

    def slot_reached(self, ipa: int, pfn: int) -> SlotLayout | None:
        """Return the slot through which an access reached a frame.

        A slot that moves over its own place has some addresses twice: guests reach the old place until it is unmapped.
        """
        layout = self.layout_of(ipa)
        if self.leaving and self.frame_in(layout, ipa) != pfn:
            leaving = self.leaving_at(ipa)
            if self.frame_in(leaving, ipa) == pfn:
                return leaving
        return layout

    def maps_backing(self, ipa: int, pfn: int) -> bool:
        """Return whether a leaf that maps *pfn* at *ipa* maps the host's current frame; otherwise it is stale."""
        return self.frame_in(self.slot_reached(ipa, pfn), ipa) == pfn

    def backing_frame(self, ipa: int) -> int:
        """Return the host's frame for a guest address; -1: none."""
        return self.frame_in(self.layout_of(ipa), ipa)

    def frame_in(self, layout: SlotLayout | None, ipa: int) -> int:
        """Return the host's frame for a guest address of a slot; -1: none."""
        return -1 if layout is None else self.host.frame_of(layout.hva + ipa - layout.ipa)
