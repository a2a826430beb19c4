# SPDX-License-Identifier: GPL-2.0-only
"""Pages that user space has KVM map before the guest touches them (KVM_PRE_FAULT_MEMORY)."""

from typing import Final

from reference.services.errors import errno_text
from reference.syndrome import FSC_FAULT

from ..language import operations as ops
from ..sides.outcome import Outcome
from .guest_accesses import ACCESS, CAUSE, GuestAccesses
from .unsettled import ANY_SLOT, EITHER

ENTRY: Final = "kvm_vcpu_pre_fault_memory"
# Results of reads of the guest after which the rest of the range stays unmapped.
_STOPS: Final = ("io", "abort", "sigbus", "efault")


class Prefaults:
    """Pre-faults ranges of guest memory; the value of an outcome is the number of bytes that are left.

    A version without the call lets the vCPU read each page: then the same pages must be mapped.

    :param accesses: makes these reads
    """

    def __init__(self, accesses: GuestAccesses) -> None:
        self.accesses = accesses

    def run(self, op: ops.GuestPrefault, at: int) -> Outcome:
        """Pre-fault a range; *at* is the index of the operation."""
        side, unsettled = self.accesses.side, self.accesses.unsettled
        guest = side.vm_of(op.cpu)
        changes = guest.changes
        ipa = guest.place_of(side.by_name[op.slot]) + op.offset
        within = self.accesses.turns is not None
        pages = unsettled.pages_of_prefault(op) if within or unsettled.marked else []
        outcome = self.call(op, ipa) if guest.main.PRE_FAULTS else self.read(op, ipa, at, changes)
        if within or (unsettled.marked and unsettled.may_fail(pages)):
            # How far it comes depends on what others do.
            outcome.predictable = False
            outcome.either = ANY_SLOT if within else EITHER
        return outcome

    def call(self, op: ops.GuestPrefault, ipa: int) -> Outcome:
        """Make the call."""
        side = self.accesses.side
        side.enter(ENTRY)
        side.kernel.cause = CAUSE[FSC_FAULT]
        self.accesses.exits.forget()
        vcpu = self.accesses.vcpu(op.cpu)
        ret, left_at, left = side.vm_of(op.cpu).main.kvm_vcpu_pre_fault_memory(vcpu, ipa, op.size)
        if left_at + left != ipa + op.size or left > op.size or (ret < 0 and left != op.size):
            return Outcome("error", "and a wrong range is left", detail=f"{left:#x} bytes at {left_at:#x}")
        return Outcome("efault", errno_text(ret)) if ret < 0 else Outcome("ok", left)

    def read(self, op: ops.GuestPrefault, ipa: int, at: int, changes: int) -> Outcome:
        """Let the vCPU read each page, up to the first one that it cannot read."""
        side = self.accesses.side
        page = side.granule.page_size
        # User space means the tables of the VM, which a vCPU at EL1 does not use.
        cpu = op.cpu if side.nested is None else op.cpu & ~1
        faults = 0
        for start in range(0, op.size, page):
            side.enter("kvm_handle_guest_abort")
            access = ops.GuestAccess(cpu, "read", op.slot, op.offset + start)
            outcome = self.accesses.faults(access, at, ipa + start, ACCESS["read"], changes)
            faults += outcome.faults
            if outcome.status in _STOPS:
                # Which error the call would return is open.
                left = Outcome("ok", op.size - start, faults)
                return left if start else Outcome("efault", 0, faults, predictable=False)
            if outcome.status != "ok":
                return outcome
        return Outcome("ok", 0, faults)
