# SPDX-License-Identifier: GPL-2.0-only
"""Runs the operations of a program on one side, under the checkers."""

from collections.abc import Callable
from typing import Final

from candidate import Candidate
from reference.events import Observer
from reference.kvm_host import (
    FSC_ACCESS,
    FSC_FAULT,
    FSC_PERM,
    HCR_TVM,
    KVM_MEM_LOG_DIRTY_PAGES,
    ESR_ELx_EC_DABT_LOW,
    ESR_ELx_EC_IABT_LOW,
    ESR_ELx_EC_SHIFT,
    ESR_ELx_FSC_TYPE,
    ESR_ELx_IL,
    ESR_ELx_ISV,
    ESR_ELx_WNR,
    kvm_vcpu,
)
from reference.machine.address_space import ABSENT, DEVICE
from reference.machine.walk import ACCESS_FLAG, FETCH, NONE, PERMISSION, READ, TRANSLATION, WRITE

from .checkers import Checkers, Outcome, Runaway, Violation
from .program import (
    GetLog,
    GuestAccess,
    GuestCache,
    GuestSetWay,
    HostAge,
    HostCollapse,
    HostDiscard,
    HostMigrate,
    HostShare,
    HostSplit,
    HostTestAge,
    HostWrite,
    Operation,
    Program,
    SetLog,
)
from .side import Side, SlotLayout

# Faults after which an access that nobody disturbs must have completed. Two
# are common (a table, then a permission), a copy-on-write makes one more each.
MAX_FAULTS: Final = 8

ACCESS: Final = {"read": READ, "write": WRITE, "fetch": FETCH}
CAUSE: Final = {
    FSC_FAULT: " after a translation fault",
    FSC_ACCESS: " after an access flag fault",
    FSC_PERM: " after a permission fault",
}
FSC: Final = {TRANSLATION: FSC_FAULT, ACCESS_FLAG: FSC_ACCESS, PERMISSION: FSC_PERM}


class Exits(Observer):
    """What a fault handler did besides mapping: emulation, injection, a signal."""

    def __init__(self) -> None:
        self.status = ""

    def inject(self, what: str, address: int) -> None:
        self.status = "abort"

    def io(self, ipa: int) -> None:
        self.status = "io"

    def sigbus(self, hva: int, shift: int) -> None:
        self.status = "sigbus"


class Executor:
    """One side of a program: create, step through the operations, destroy.

    :param version: the code under test
    :param program: a valid program
    """

    def __init__(self, version: Candidate, program: Program) -> None:
        self.program = program
        self.side = Side(version, program)
        self.checkers = Checkers(self.side)
        self.exits = Exits()
        self.side.kernel.observe(self.exits)
        # Set where the kernel code crashed or ran away: nothing can run after it.
        self.dead = False
        self.at = -1

    def create(self) -> list[Violation]:
        """Set the VM up; the violations of that."""
        self.side.kernel.entry = "kvm_init_stage2_mmu"
        self.side.host.version = 1
        self.checkers.begin(None)
        outcome = Outcome("error", 0)
        ret = self.guarded(self.side.create)
        if isinstance(ret, Outcome):
            outcome = ret
        else:
            outcome = Outcome("error", ret) if ret else Outcome("ok")
        self.checkers.quiet(None, outcome)
        # Without a VM there is nothing to run operations on.
        self.dead = self.dead or outcome.status != "ok"
        return self.checkers.take(-1)

    def step(self, at: int) -> tuple[Outcome, list[Violation]]:
        """Run operation number *at*; what was seen, and what was violated."""
        op = self.program.operations[at]
        self.at = at
        side = self.side
        side.kernel.walker = ""
        side.kernel.cause = ""
        side.notified.forget()
        # Each operation writes a version of its own.
        side.host.version = at + 1
        self.checkers.begin(op)
        result = self.guarded(lambda: self.run(op))
        outcome = result if isinstance(result, Outcome) else Outcome("oops", result)
        self.checkers.quiet(op, outcome)
        if side.kernel.locks:
            side.kernel.locks.clear()
        return outcome, self.checkers.take(at)

    def destroy(self) -> list[Violation]:
        """Cross-check everything, then tear the VM down."""
        if self.dead:
            return []
        self.checkers.scan()
        self.checkers.destroying()
        self.side.kernel.entry = "kvm_free_stage2_pgd"
        self.side.kernel.walker = ""
        self.guarded(self.side.destroy)
        if not self.dead:
            self.checkers.destroyed()
        return self.checkers.take(len(self.program.operations))

    def guarded(self, call: Callable[[], Outcome | int | None]) -> Outcome | int | None:
        """Call into the kernel code; a crash there is an outcome, not the end of us."""
        try:
            return call()
        except Runaway:
            self.dead = True
            return Outcome("stuck")
        except Exception as error:
            if not from_kernel_code(error):
                raise
            self.dead = True
            return Outcome("oops", f"{type(error).__name__} in {innermost(error)}")

    def run(self, op: Operation) -> Outcome:
        """One operation, by its kind."""
        side = self.side
        if isinstance(op, GuestAccess):
            return self.access(op)
        if isinstance(op, GuestCache):
            side.kernel.entry = "kvm_toggle_cache"
            vcpu = side.vcpus[op.cpu]
            was = vcpu.cache_enabled
            vcpu.cache_enabled = op.on
            # Writes to the cache controls reach the hypervisor only while they are trapped.
            if vcpu.hcr & HCR_TVM:
                side.mmu.kvm_toggle_cache(vcpu, was)
            return Outcome("ok")
        if isinstance(op, GuestSetWay):
            side.kernel.entry = "kvm_set_way_flush"
            side.mmu.kvm_set_way_flush(side.vcpus[op.cpu])
            return Outcome("ok")
        layout = side.by_name[op.slot]
        if isinstance(op, SetLog):
            return self.set_log(layout, op.on)
        if isinstance(op, GetLog):
            side.kernel.entry = "kvm_vm_ioctl_get_dirty_log"
            ret, bitmap = side.main.kvm_get_dirty_log_protect(layout.id)
            return Outcome("error", ret) if ret else Outcome("ok", bitmap)
        return self.host_operation(op, layout.hva + op.offset)

    def host_operation(self, op: Operation, start: int) -> Outcome:
        """What user space or memory management does at host address *start*."""
        host = self.side.host
        self.side.kernel.entry = "kvm_mmu_notifier_invalidate_range_start"
        if isinstance(op, HostWrite):
            host.write(start, start + op.size)
        elif isinstance(op, HostCollapse):
            host.collapse(start)
        elif isinstance(op, HostSplit):
            host.split_huge(start)
        elif isinstance(op, HostMigrate):
            host.migrate(start, start + op.size)
        elif isinstance(op, HostDiscard):
            host.discard(start, start + op.size)
        elif isinstance(op, HostShare):
            host.share(start, start + op.size)
        elif isinstance(op, HostAge):
            return self.age(start, start + op.size, op.flush)
        elif isinstance(op, HostTestAge):
            self.side.kernel.entry = "kvm_mmu_notifier_test_young"
            return Outcome("ok", self.side.main.test_young(start))
        return Outcome("ok")

    def set_log(self, layout: SlotLayout, on: bool) -> Outcome:
        """KVM_SET_USER_MEMORY_REGION with or without KVM_MEM_LOG_DIRTY_PAGES."""
        self.side.kernel.entry = "kvm_set_memory_region"
        flags = layout.flags | KVM_MEM_LOG_DIRTY_PAGES if on else layout.flags & ~KVM_MEM_LOG_DIRTY_PAGES
        layout.flags = flags
        ret = self.side.main.__kvm_set_memory_region__(layout.id, flags, layout.ipa, layout.size, layout.hva)
        return Outcome("error", ret) if ret else Outcome("ok")

    def age(self, start: int, end: int, flush: bool) -> Outcome:
        """The host ages each of its pages, huge or not, as ``page_referenced()`` does."""
        main = self.side.main
        self.side.kernel.entry = "kvm_mmu_notifier_clear_flush_young" if flush else "kvm_mmu_notifier_clear_young"
        clear = main.clear_flush_young if flush else main.clear_young
        young = 0
        hva = start
        while hva < end:
            first, size = self.side.host.unit_at(hva)
            # Only pages on the LRU lists are aged: no hugetlb, no device.
            run = self.side.host.run_at(first)
            vma = self.side.host.find_vma(first)
            if run is not None and vma is not None and not vma.huge_shift and not run.flags & (ABSENT | DEVICE):
                young |= clear(first, first + size)
            hva = first + size
        return Outcome("ok", young)

    def access(self, op: GuestAccess) -> Outcome:
        """A guest access: faults are handled until it completes or leaves the guest."""
        side = self.side
        layout = side.by_name[op.slot]
        ipa = layout.ipa + op.offset
        access = ACCESS[op.kind]
        vcpu = side.vcpus[op.cpu]
        side.kernel.entry = "kvm_handle_guest_abort"
        if op.fail is not None:
            side.kernel.topup_gets = op.fail - 1
        for faults in range(MAX_FAULTS + 1):
            walk = side.computer.translate(op.cpu, side.regime, ipa, access)
            for checker in self.checkers.on_translated:
                checker.translated(op.cpu, access, ipa, walk)
            if walk.fault == NONE:
                side.kernel.topup_gets = -1
                return self.data(op, walk.pa >> side.granule.page_shift, faults)
            if walk.fault not in FSC or faults == MAX_FAULTS:
                break
            self.exits.status = ""
            ret = self.deliver(vcpu, ipa, access, FSC[walk.fault] | walk.level)
            if self.exits.status:
                side.kernel.topup_gets = -1
                return Outcome(self.exits.status, 0, faults + 1)
            if ret < 0:
                # User space enters the guest again after the failure that the
                # program asked for.
                if op.fail is None or side.kernel.topup_gets >= 0 or ret != -12:
                    side.kernel.topup_gets = -1
                    return Outcome("error", ret, faults + 1)
                side.kernel.topup_gets = -1
                self.checkers.quiet(op, Outcome("error", ret))
                side.kernel.locks.clear()
        side.kernel.topup_gets = -1
        return Outcome("stuck", 0, MAX_FAULTS)

    def deliver(self, vcpu: kvm_vcpu, ipa: int, access: int, fsc: int) -> int:
        """Take an abort to the hypervisor, with the syndrome the CPU would report."""
        ec = ESR_ELx_EC_IABT_LOW if access == FETCH else ESR_ELx_EC_DABT_LOW
        iss = 0 if access == FETCH else ESR_ELx_ISV | (ESR_ELx_WNR if access == WRITE else 0)
        vcpu.esr = ec << ESR_ELx_EC_SHIFT | ESR_ELx_IL | iss | fsc
        vcpu.fault_ipa = ipa
        vcpu.hfar = ipa
        self.side.kernel.cause = CAUSE[fsc & ESR_ELx_FSC_TYPE]
        return self.side.mmu.kvm_handle_guest_abort(vcpu)

    def data(self, op: GuestAccess, pfn: int, faults: int) -> Outcome:
        """What the access does to the frame; the version read."""
        memory = self.side.memory
        if memory.index_of(pfn) < 0:
            return Outcome("ok", "no such frame", faults)
        cacheable = op.mmu or self.side.fwb
        if op.kind == "write":
            memory.guest_write(pfn, self.at + 1, cacheable)
            return Outcome("ok", 0, faults)
        predictable = memory.predictable(pfn, cacheable, op.kind == "fetch")
        if op.kind == "fetch":
            return Outcome("ok", memory.guest_fetch(pfn, cacheable), faults, predictable)
        return Outcome("ok", memory.guest_read(pfn, cacheable), faults, predictable)


def innermost(error: BaseException) -> str:
    """The function in which an exception was raised."""
    trace = error.__traceback__
    name = "?"
    while trace is not None:
        name = trace.tb_frame.f_code.co_name
        trace = trace.tb_next
    return name


def from_kernel_code(error: BaseException) -> bool:
    """Whether an exception passed through reference/ or candidate/ code, not only ours."""
    trace = error.__traceback__
    while trace is not None:
        module = trace.tb_frame.f_globals.get("__name__", "")
        if module in ("reference.pgtable", "reference.mmu") or module.startswith("candidate."):
            return True
        trace = trace.tb_next
    return False
