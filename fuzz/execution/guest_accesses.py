# SPDX-License-Identifier: GPL-2.0-only
"""Guest accesses, and the faults that they take."""

from typing import Final

from reference.events import Observer
from reference.kvm import kvm_vcpu
from reference.machine.address_space import CACHED
from reference.machine.descriptor import AF_BIT, WRITE_BIT
from reference.machine.walk import (
    ACCESS_FLAG,
    FETCH,
    NONE,
    PERMISSION,
    READ,
    TRANSLATION,
    WRITE,
    Walk,
    permits,
)
from reference.services.errors import EFAULT, EHWPOISON, ENOMEM
from reference.syndrome import (
    FSC_ACCESS,
    FSC_FAULT,
    FSC_PERM,
    ESR_ELx_CM,
    ESR_ELx_EC_DABT_LOW,
    ESR_ELx_EC_IABT_LOW,
    ESR_ELx_EC_SHIFT,
    ESR_ELx_FSC_TYPE,
    ESR_ELx_IL,
    ESR_ELx_ISV,
    ESR_ELx_S1PTW,
    ESR_ELx_WNR,
)
from reference.turns import Turns

from ..checkers import CheckerSuite
from ..checkers.guest_pages import overlap
from ..language import operations as ops
from ..language.program import MEMFD
from ..sides.outcome import Outcome
from ..sides.side import Side
from .unsettled import EITHER, UnsettledPages

# Faults after which an access that nobody disturbs must have completed. Two
# are common (a table, then a permission). A copy-on-write adds one each.
MAX_FAULTS: Final = 8

# The right that an access needs of the leaf, and its syndrome bits in addition to the
# fault. Maintenance and walks by the MMU cannot be emulated (no ISV), and
# maintenance always counts as a write.
ACCESS: Final = {"read": READ, "write": WRITE, "fetch": FETCH, "walk": READ, "clean": READ}
ISS: Final = {
    "read": ESR_ELx_ISV,
    "write": ESR_ELx_ISV | ESR_ELx_WNR,
    "fetch": 0,
    "walk": ESR_ELx_S1PTW,
    "clean": ESR_ELx_CM | ESR_ELx_WNR,
}
CAUSE: Final = {
    FSC_FAULT: " after a translation fault",
    FSC_ACCESS: " after an access flag fault",
    FSC_PERM: " after a permission fault",
}
# The virtual address that a guest's kernel uses for its accesses: any value that is no guest address will do.
KERNEL_VA: Final = 0xFFFF_8000_1000_0000
FSC: Final = {TRANSLATION: FSC_FAULT, ACCESS_FLAG: FSC_ACCESS, PERMISSION: FSC_PERM}


class Exits(Observer):
    """The effects of a fault handler other than mapping: emulation, injection, a signal.

    *address*: the guest address of the emulated access, or the virtual address
    that the injected abort reports; -1: the abort reports none. *signalled*: likewise the host address that a signal
    reports, and log2 of the size
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Forget the last fault, before the next one is handled."""
        self.status = ""
        self.address = -1
        self.injected = ""
        self.signalled = (-1, 0)

    def inject(self, what: str, address: int) -> None:
        self.status = "abort"
        self.injected = what
        self.address = -1 if what == "vabt" else address

    def io(self, ipa: int) -> None:
        self.status = "io"
        self.address = ipa

    def sigbus(self, hva: int, shift: int) -> None:
        self.status = "sigbus"
        self.address = -1
        self.signalled = (hva, shift)


class GuestAccesses:
    """Guest accesses: faults are taken to the hypervisor until an access completes.

    :param side: the side that they run on
    :param checkers: notified of each translation
    :param unsettled: pages that depend on the order in which actors of par blocks made their steps
    """

    def __init__(self, side: Side, checkers: CheckerSuite, unsettled: UnsettledPages) -> None:
        self.side = side
        self.checkers = checkers
        self.exits = Exits()
        # A digest of all values that the fault handler has returned so far.
        self.answers = 0
        # Notified of faults while several vCPUs run.
        self.turns: Turns | None = None
        self.unsettled = unsettled
        side.kernel.observe(self.exits)

    def aborted(self, op: ops.GuestExternalAbort | ops.GuestConflict, fsc: int) -> Outcome:
        """Deliver an abort of a load that does not concern the tables, and is not on a table walk.

        :param fsc: the fault status code of the syndrome
        """
        self.side.enter("kvm_handle_guest_abort")
        ipa = self.side.by_name[op.slot].ipa + op.offset
        ret = self.abort(self.vcpu(op.cpu), ESR_ELx_EC_DABT_LOW, ESR_ELx_ISV | fsc, ipa, ipa)
        status = self.exits.status
        outcome = Outcome("error", ret) if ret < 0 and not status else Outcome(status or "ok")
        outcome.answers = self.answers
        return outcome

    def outside(self, op: ops.GuestOutside) -> Outcome:
        """Access beyond the guest's address space: a translation fault at level 0 (``AArch64.S2Translate()``)."""
        self.side.enter("kvm_handle_guest_abort")
        ec = ESR_ELx_EC_IABT_LOW if op.kind == "fetch" else ESR_ELx_EC_DABT_LOW
        self.side.kernel.cause = CAUSE[FSC_FAULT]
        va = KERNEL_VA + (op.ipa & 0xFFF) if op.mmu else op.ipa
        vcpu = self.vcpu(op.cpu)
        ret = self.abort(vcpu, ec, ISS[op.kind] | FSC_FAULT, op.ipa, va)
        status = self.exits.status
        outcome = Outcome("error", ret) if ret < 0 and not status else Outcome(status or "ok")
        if op.kind == "clean" and status in ("", "abort"):
            # There is nothing to clean: KVM may also continue after the instruction.
            outcome.either = ("ok", "abort")
            outcome.value = "skipped" if vcpu.skipped_instruction else outcome.value
        outcome.answers = self.answers
        return outcome

    def access(self, op: ops.GuestAccess, at: int) -> Outcome:
        """Make a guest access: faults are handled until it completes or leaves the guest."""
        side = self.side
        guest = side.vm_of(op.cpu)
        ipa = guest.place_of(side.by_name[op.slot]) + op.offset
        access = ACCESS[op.kind]
        side.enter("kvm_handle_guest_abort")
        if op.fail is not None:
            side.kernel.topup_gets = side.kernel.small_allocations_left = op.fail - 1
        changes = guest.changes
        unsettled = self.unsettled
        within = self.turns is not None
        pages = unsettled.pages_of(op, True) if within else []
        failed = within and unsettled.failed(pages)
        outcome = self.faults(op, at, ipa, access, changes)
        outcome.answers = self.answers
        outcome.raced = guest.changed_since(changes, ipa)
        side.kernel.topup_gets = side.kernel.small_allocations_left = -1
        if unsettled.marked:
            pages = pages if within else unsettled.page_of(op)
            # Within a block other threads may have put a new page where memory has failed.
            outcome.taken = failed or overlap(pages, unsettled.taken)
            if unsettled.may_fail(pages):
                outcome.either = EITHER
                unsettled.logs = unsettled.logs or op.kind == "write"
                if outcome.status != "ok":
                    outcome.predictable = False
            if not within:
                unsettled.settle(op, outcome.status == "ok" and outcome.value == 0)
        return outcome

    def faults(self, op: ops.GuestAccess, at: int, ipa: int, access: int, changes: int) -> Outcome:
        """Handle faults until the access completes or is stuck; *changes*: the slot changes when it began."""
        side = self.side
        # All faults, and the faults since another actor had a turn because this vCPU made no progress.
        faults = undisturbed = 0
        while True:
            self.make_room(op)
            walk = self.translate(op.cpu, ipa, access)
            if walk.fault == NONE:
                return self.data(op, at, walk.pa >> side.granule.page_shift, faults)
            if walk.fault not in FSC or undisturbed == MAX_FAULTS:
                break
            if self.turns is not None and self.turns.faulted(walk.fault, walk.level, walk.entry):
                undisturbed = 0
                continue
            ret = self.deliver(op, ipa, FSC[walk.fault] | walk.level)
            faults += 1
            undisturbed += 1
            if self.exits.status:
                self.judge_signal(op, ipa, changes)
                return Outcome(self.exits.status, 0, faults)
            if self.vcpu(op.cpu).skipped_instruction:
                return Outcome("ok", "skipped", faults)
            # A slot that is removed during a fault may have no page any more when the handler looks it up.
            if ret == -EFAULT and (self.forbidden(op) or side.vm_of(op.cpu).changed_since(changes, ipa)):
                return Outcome("efault", 0, faults)
            if ret == -EHWPOISON and self.poisoned(op):
                return Outcome("efault", "EHWPOISON", faults)
            if ret < 0:
                # User space enters the guest again after the failure that the
                # program asked for.
                failed = side.kernel.topup_gets < 0 or side.kernel.small_allocations_left == 0
                if op.fail is None or not failed or ret != -ENOMEM:
                    return Outcome("error", ret, faults)
                side.kernel.small_allocations_left = -1
                self.checkers.after_operation(op, Outcome("error", ret))
                side.kernel.locks.clear()
        stuck = Outcome("stuck", 0, MAX_FAULTS)
        stuck.fault = walk
        return stuck

    def judge_signal(self, op: ops.GuestAccess, ipa: int, changes: int) -> None:
        """Let the signal of an access be judged, if there is one and the access was to one slot all the time."""
        guest = self.side.vm_of(op.cpu)
        if self.exits.status != "sigbus" or guest.changed_since(changes, ipa):
            return
        layout = guest.layout_of(ipa)
        if layout is not None:
            self.checkers.contract.judge_signal(*self.exits.signalled, layout.hva + ipa - layout.ipa)

    def make_room(self, op: ops.GuestAccess) -> None:
        """Let a vCPU leave the guest if its dirty ring is nearly full, and enter again with empty rings."""
        guest = self.side.vm_of(op.cpu)
        if guest.kvm.dirty_ring_size and guest.main.kvm_dirty_ring_check_request(op.cpu % self.side.cpus):
            guest.reap()
            self.side.enter("kvm_handle_guest_abort")

    def translate(self, cpu: int, ipa: int, access: int) -> Walk:
        """Translate an access on the CPU of a vCPU. The hardware may set the access flag and record the dirty state."""
        side = self.side
        guest = side.guest_of(cpu)
        where = side.cpu_of[cpu]
        vmid = guest.enter()
        walk = side.computer.translate(where, vmid, guest.regime, ipa, access)
        if side.haf and walk.fault == ACCESS_FLAG and permits(walk.entry, access, guest.regime.dirty):
            side.kernel.hardware_sets_af(walk.ptep, AF_BIT)
            walk = side.computer.translate(where, vmid, guest.regime, ipa, access)
        if access == WRITE and walk.fault == NONE and not walk.entry & WRITE_BIT:
            side.dirtied = True
            side.kernel.hardware_dirties(walk.ptep)
            walk = side.computer.translate(where, vmid, guest.regime, ipa, access)
        self.checkers.translated(cpu, access, ipa, walk)
        return walk

    def vcpu(self, cpu: int) -> kvm_vcpu:
        """Return a vCPU by its number, counted over all VMs."""
        return self.side.vm_of(cpu).vcpus[cpu % self.side.cpus]

    def forbidden(self, op: ops.GuestAccess) -> bool:
        """Tell whether an error is correct.

        User space has unmapped the place, or may not write there either, or KVM must not map such memory of a device.
        """
        layout = self.side.by_name[op.slot]
        vma = self.side.host.vma_at(layout.hva + op.offset)
        if vma is None or (vma.memory == CACHED and self.side.refuses_cached_devices):
            return True
        # A walk of the guest's tables counts as a write, because it may set flags there.
        return vma.readonly and op.kind in ("write", "clean", "walk")

    def poisoned(self, op: ops.GuestAccess) -> bool:
        """Tell whether the place is in a guest_memfd page whose memory has failed: user space then gets an error."""
        return self.side.by_name[op.slot].slot.backing == MEMFD and self.unsettled.failed(self.unsettled.page_of(op))

    def deliver(self, op: ops.GuestAccess, ipa: int, fsc: int) -> int:
        """Take an abort to the hypervisor, with the syndrome that the CPU would report."""
        ec = ESR_ELx_EC_IABT_LOW if op.kind == "fetch" else ESR_ELx_EC_DABT_LOW
        self.side.kernel.cause = CAUSE[fsc & ESR_ELx_FSC_TYPE]
        # With its MMU on, the guest's kernel maps the page at another address.
        va = KERNEL_VA + (ipa & 0xFFF) if op.mmu else ipa
        return self.abort(self.vcpu(op.cpu), ec, ISS[op.kind] | fsc, ipa, va)

    def abort(self, vcpu: kvm_vcpu, ec: int, iss: int, ipa: int, va: int) -> int:
        """Call ``kvm_handle_guest_abort()`` with the given syndrome and addresses, and judge its return value.

        HPFAR_EL2 holds only the bits of *ipa* above the lowest 12. HFAR_EL2 holds all of *va*.
        """
        vcpu.esr = ec << ESR_ELx_EC_SHIFT | ESR_ELx_IL | iss
        vcpu.fault_ipa = ipa & -4096
        vcpu.hfar = va
        vcpu.skipped_instruction = False
        exits = self.exits
        exits.forget()
        steps = self.side.kernel.steps
        if steps is not None:
            steps.call_begins()
        ret = self.side.mmu.kvm_handle_guest_abort(vcpu)
        if steps is not None:
            steps.call_ends()
        self.answers = (self.answers * 31 + ret) & 0xFFFF_FFFF
        self.checkers.contract.answered(ret, exits.status)
        if ret < 0:
            self.checkers.contract.judge_memory_fault_exit(ret, ipa, vcpu)
        if exits.address >= 0:
            self.checkers.contract.addressed(exits.status, exits.address, ipa, va)
        if exits.injected in ("pabt", "dabt"):
            self.checkers.contract.injected(exits.injected, "pabt" if ec == ESR_ELx_EC_IABT_LOW else "dabt")
        return ret

    def data(self, op: ops.GuestAccess, at: int, pfn: int, faults: int) -> Outcome:
        """Read or write the frame as the access does. The value of the outcome is the version read."""
        memory = self.side.memory
        if memory.index_of(pfn) < 0:
            return Outcome("ok", "no such frame", faults)
        cacheable = op.mmu or self.side.fwb
        if op.kind == "clean":
            memory.write_back(pfn, 1)
            return Outcome("ok", 0, faults)
        if op.kind == "write":
            memory.guest_write(pfn, at + 1, cacheable)
            return Outcome("ok", 0, faults)
        predictable = memory.predictable(pfn, cacheable, op.kind == "fetch")
        if self.unsettled.contents and self.unsettled.differs(op):
            predictable = False
        if op.kind == "fetch":
            return Outcome("ok", memory.guest_fetch(pfn, cacheable), faults, predictable)
        return Outcome("ok", memory.guest_read(pfn, cacheable), faults, predictable)
