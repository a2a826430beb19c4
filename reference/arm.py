# SPDX-License-Identifier: GPL-2.0-only
# Derived from Linux 5.12 (arch/arm64/kvm/arm.c).
"""arm.c: allocation of VMIDs, which TLBs use to tell VMs apart, and generations of them when the numbers run out."""

from .kernel import Kernel
from .services.structs import kvm_s2_mmu, kvm_vmid


class Arm:
    """The allocator of VMIDs: ``kvm_vmid_gen``, ``kvm_next_vmid`` and the functions that use them.

    When a generation ends, later kernels (vmid.c, v5.16) keep the number of a VM that is in the guest. In both designs
    all VMs of the machine determine which VM has which number. The model gives the program's VMs the lowest numbers.
    :param kernel: on which it runs
    :param vms: the VMs that have been entered at least once, which have the lowest numbers
    """

    def __init__(self, kernel: Kernel, vms: int) -> None:
        self.kernel = kernel
        self.kvm_vmid_gen = 1
        self.kvm_next_vmid = vms + 1

    def need_new_vmid_gen(self, vmid: kvm_vmid) -> bool:
        return vmid.vmid_gen != self.kvm_vmid_gen

    def update_vmid(self, mmu: kvm_s2_mmu) -> None:
        """``update_vmid()``, called on each entry of a vCPU, while numbers are left."""
        vmid = mmu.hardware_vmid
        if not self.need_new_vmid_gen(vmid):
            return
        vmid.vmid = self.kvm_next_vmid
        self.kvm_next_vmid += 1
        vmid.vmid_gen = self.kvm_vmid_gen
        for o in self.kernel.on.vmid_given:
            o.vmid_given(mmu.vmid, vmid.vmid)

    def begin_generation(self) -> None:
        """``update_vmid()`` for another VM when ``kvm_next_vmid`` is 0: begin a new generation on `Kernel.cpu`.

        ``force_vm_exit()`` has nothing to do: between two operations no vCPU is in the guest.
        """
        self.kvm_vmid_gen += 1
        self.kvm_next_vmid = 1
        self.kernel.__kvm_flush_vm_context__()
