# SPDX-License-Identifier: GPL-2.0-only
"""Operations of vCPUs: cache controls, moves, resets, spontaneous acts of a CPU. Accesses are passed on."""

from reference.kvm import HCR_TVM
from reference.machine.walk import SPECULATE
from reference.syndrome import FSC_SEA, FSC_TLB_CONFLICT

from ..language import operations as ops
from ..sides.outcome import Outcome
from .guest_accesses import GuestAccesses
from .prefaults import Prefaults
from .unhandled import unhandled


class GuestOperations:
    """Runs the operations of vCPUs.

    :param accesses: runs the operations that enter the guest
    """

    def __init__(self, accesses: GuestAccesses) -> None:
        self.side = accesses.side
        self.checkers = accesses.checkers
        self.accesses = accesses
        self.prefaults = Prefaults(accesses)

    def run(self, op: ops.GuestOperation, at: int) -> Outcome:
        """Run one operation; *at* is its index in the program."""
        side = self.side
        side.kernel.cpu = side.cpu_of[op.cpu]
        if isinstance(op, ops.VmidRollover):
            # This does not concern the vCPU: its thread is not even running.
            side.enter("update_vmid")
            side.arm.begin_generation()
            return Outcome("ok")
        guest = side.guest_of(op.cpu)
        side.active = side.vm_of(op.cpu)
        number = op.cpu % side.cpus
        vcpu = guest.vcpus[number]
        guest.load(number, side.kernel.cpu)
        # Operations of user space or of the CPU on a vCPU do not enter the guest.
        if not isinstance(op, (ops.GuestMove, ops.GuestReset, ops.Evict)):
            vcpu.has_run_once = vcpu.has_run_once or not isinstance(op, ops.GuestPrefault)
            guest.enter()
        if isinstance(op, ops.GuestAccess):
            return self.accesses.access(op, at)
        if isinstance(op, ops.GuestPrefault):
            return self.prefaults.run(op, at)
        if isinstance(op, ops.GuestCache):
            side.enter("kvm_toggle_cache")
            was = vcpu.cache_enabled
            vcpu.cache_enabled = op.on
            # Writes to the cache controls reach the hypervisor only while they are trapped.
            if vcpu.hcr & HCR_TVM:
                side.mmu.kvm_toggle_cache(vcpu, was)
        elif isinstance(op, ops.GuestSetWay):
            side.enter("kvm_set_way_flush")
            side.mmu.kvm_set_way_flush(vcpu)
        elif isinstance(op, ops.GuestMove):
            side.enter("kvm_arch_vcpu_load")
            side.cpu_of[op.cpu] = op.to
            guest.load(number, op.to)
        elif isinstance(op, ops.GuestReset):
            self.reset(op)
        elif isinstance(op, (ops.Speculate, ops.Evict)):
            self.hardware(op)
        elif isinstance(op, ops.GuestExternalAbort):
            return self.accesses.aborted(op, FSC_SEA[0])
        elif isinstance(op, ops.GuestOutside):
            return self.accesses.outside(op)
        elif isinstance(op, ops.GuestConflict):
            return self.accesses.aborted(op, FSC_TLB_CONFLICT)
        else:
            raise unhandled(op)
        return Outcome("ok")

    def reset(self, op: ops.GuestReset) -> None:
        """Reset a vCPU (``kvm_arch_vcpu_ioctl_vcpu_init()``): if it has run, memory is as after power-on."""
        side = self.side
        guest = side.guest_of(op.cpu)
        vcpu = guest.vcpus[op.cpu % side.cpus]
        side.enter("kvm_arch_vcpu_ioctl_vcpu_init")
        if not vcpu.has_run_once:
            pass
        elif side.fwb:
            side.kernel.__flush_icache_all__()
        else:
            guest.notified.unmapping = True
            side.mmu.stage2_unmap_vm(guest.kvm)
            guest.notified.unmapping = False
        vcpu.cache_enabled = False
        vcpu.hcr = 0 if guest.fwb else HCR_TVM

    def hardware(self, op: ops.Speculate | ops.Evict) -> None:
        """Run an operation that a CPU makes spontaneously."""
        side = self.side
        guest = side.guest_of(op.cpu)
        ipa = side.vm_of(op.cpu).place_of(side.by_name[op.slot]) + op.offset
        cpu = side.cpu_of[op.cpu]
        if isinstance(op, ops.Evict):
            if guest.is_known_to_tlbs():
                side.computer.evict(cpu, guest.hardware_vmid.vmid, ipa)
            return
        walk = side.computer.speculate(cpu, guest.enter(), guest.regime, ipa)
        self.checkers.translated(op.cpu, SPECULATE, ipa, walk)
