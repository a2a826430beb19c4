# SPDX-License-Identifier: GPL-2.0-only
"""The vCPUs of a VM that run at EL1 while a guest hypervisor has EL2, with the tables that KVM has for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..language.program import Vm
from .guest import Guest

if TYPE_CHECKING:
    from .side import Side


class NestedGuest(Guest):
    """One of ``kvm->arch.nested_mmus``: tables that map the guest addresses of a VM a second time.

    The guest hypervisor has disabled its stage 2 (HCR_EL2.VM is 0), or its tables map each address to itself, so a
    guest address at EL1 is one of the VM. Slots, dirty logs, notifications and vCPUs are those of the VM. Root, VMID
    and all entries are its own.

    :param vm: the VM

    *has_stage2*: the guest hypervisor has enabled its stage 2
    """

    def __init__(self, side: Side, vm: Guest, settings: Vm) -> None:
        super().__init__(side, settings.vms, settings)
        self.has_stage2 = settings.stage2
        self.vm = vm.number
        self.vm_vmid = vm.vmid
        self.kvm = vm.kvm
        self.kvm.nested_mmu = self.mmu
        self.main = vm.main
        self.vcpus = vm.vcpus
        self.notified = vm.notified
        self.layouts = vm.layouts
        self.leaving = vm.leaving
        # ``kvm_init_stage2_mmu()``: no vCPU ran on any CPU.
        self.last_ran = [-1] * settings.cpus

    @property
    def name(self) -> str:
        return "vCPUs at EL1"

    @property
    def vtcr(self) -> int:
        return self.mmu.vtcr

    def level_of(self, ipa: int) -> int:
        """Return the level of the leaf of the guest hypervisor's stage 2 that maps an address.

        Blocks and tables of pages take turns at level 2 (``guest_entry()`` in ``candidate/tree/native/glue_stage2.h``).
        """
        return 3 if ipa >> self.granule.shifts[2] & 1 else 2

    def created(self) -> None:
        """Note that ``kvm_vcpu_init_nested()`` has made the tables, and that the vCPUs at EL1 use them."""
        self.set_translation(self.mmu.vtcr, self.root_at(self.mmu.pgd_phys))
        for callback in self.on_created:
            callback()
