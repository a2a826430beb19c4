# SPDX-License-Identifier: GPL-2.0-only
"""contract: no warning, no error that a correct caller would not get, no refusal of an access that the slot allows."""

from typing import Final

from reference.kvm import KVM_MEM_LOG_DIRTY_PAGES, kvm_memory_slot, kvm_vcpu
from reference.machine.address_space import DEVICE, POISON
from reference.services.errors import EFAULT, EHWPOISON, ENOMEM, errno_text

from ..language.operations import GuestAccess, GuestOutside, Operation, fail_of
from ..language.program import MEMFD
from ..sides.guest import ROOT_LEFT
from ..sides.outcome import Outcome
from ..sides.side import Side
from .checker import Peers
from .error_origin import origin_of
from .locking import WARNINGS
from .memcache import EMPTY
from .refusal_checker import REFUSALS
from .rule import Clause, Rule
from .severity import Severity
from .shortage_checker import ENOUGH, ShortageChecker

# The result that a guest or user space gets instead of memory.
INSTEAD: Final = {"abort": "an abort", "io": "an I/O exit", "sigbus": "a signal"}
# The end of a call that a tree's process had to end (native/rt_signals.c).
ENDLESS: Final = "does not return"
# Signatures of such calls.
_ENDLESS: Final = "*: oops does not return in *"
# The end of the signature of an access to the page structure of a frame that has none.
STRUCTLESS: Final = "page structure of a device"
# Signatures of results of calls that KVM must refuse.
REFUSED: Final = tuple([f"*: *{refusal.why}*" for refusal in REFUSALS])


class Contract(ShortageChecker):
    """Judges warnings when they fire, and results when the call returns.

    A warning does not taint: later violations of other checkers stand on their own.
    """

    rule = Rule(
        "contract",
        (
            Clause("no undeserved error"),
            Clause("kernel code returns", _ENDLESS),
            Clause("the code does not crash", "*: oops *"),
            Clause("no warning", "*: WARN*"),
            Clause("what KVM must refuse gets the right error", *REFUSED),
            Clause("a top-up that reaches its minimum succeeds", f"*: {ENOUGH}"),
            Clause("no abort or I/O exit for an access that slot and host allow", "*: * of memory answered with *"),
            Clause(
                "an access beyond the guest's address space gets an abort", "*: * beyond the guest's address space*"
            ),
            Clause("the return value of the fault handler matches what it did", "*: returns *"),
            Clause("a SIGBUS reports the page that failed, and its size", "*: SIGBUS *"),
            Clause(
                "emulation, the guest and user space get the address and kind of the access",
                *("*: * at another address*", "*: * injected for a *", "*: no memory fault exit*"),
            ),
            Clause("live entries are stored with `WRITE_ONCE`", "*: live entry stored*"),
            Clause(
                "the mmu lock is not held over more than four times the entries (and 2^14) where the other version "
                "reschedules",
                "*: mmu_lock held more than * times as long*",
            ),
            Clause(
                "KVM_PRE_FAULT_MEMORY maps what it counts as done, and fails only where a read of the guest would",
                "*, pre-faulting",
            ),
            Clause("no code uses the page structure of a device's frame", "*: page structure of a device*"),
        ),
        "the guest sees an abort, user space an error, or the log a warning without a cause",
        Severity.CONTRACT,
        rank=3,
        finer=(
            (_ENDLESS, Severity.HANG, 8),
            ("*: oops*", Severity.HANG, 3),
            ("*: I/O exit at another address*", Severity.CORRUPTION, 8),
            ("*: SIGBUS *", Severity.CONTRACT, 7),
            ("*: success for *", Severity.CONTRACT, 8),
            ("*: live entry stored*", Severity.CONTRACT, 9),
            ("*: mmu_lock held *", Severity.CONTRACT, 10),
            ("*: page structure of a device*", Severity.CONTRACT, 11),
            ("*, pre-faulting", Severity.CONTRACT, 12),
        ),
        reasons=(
            (
                _ENDLESS,
                "kernel code that does not return, or only after far too much work, stalls the host",
            ),
            ("*: oops*", "the host crashes"),
            ("*: I/O exit at another address*", "user space emulates an access that the guest did not make"),
            ("*: SIGBUS *", "user space gives up memory that is intact, or keeps memory that has failed"),
            ("*: success for *", "user space relies on something that KVM does not do"),
            ("*: live entry stored*", "a walker may see an entry half written, or a value that no code meant to store"),
            ("*: mmu_lock held *", "vCPUs that fault wait for the lock, and the guest stands still"),
            ("*: page structure of a device*", "memory that is no page structure is read and taken for one"),
            ("*, pre-faulting", "the guest takes faults that user space wanted to spare it"),
        ),
    )

    def __init__(self, side: Side, peers: Peers) -> None:
        super().__init__(side, peers)
        # The frame without page structure that was accessed last.
        self.structless = -1

    def warn(self, label: str) -> None:
        if label in WARNINGS or label in (EMPTY, ROOT_LEFT):
            # Reported by the checkers locking, memcache and lifetime.
            return
        if label.startswith("in "):
            what, function = "WARN", label[3:]
        else:
            what, function = f"WARN {label}", self.kernel.entry
        # The text may be a message, which ends its line.
        why = (self.kernel.condition or label).rstrip()
        self.report(what, -1, f"{function} warns ({why})", taints=False, function=function)

    def sigbus(self, hva: int, shift: int) -> None:
        host = self.side.host
        vma = host.vma_at(hva)
        if vma is None:
            # Another thread has unmapped it in the meantime.
            return
        sizes = {vma.huge_shift or host.page_shift: "the host's page"}
        nested = self.side.nested
        for slot in self.side.active.kvm.memslots:
            if slot.userspace_addr <= hva < slot.userspace_addr + (slot.npages << host.page_shift):
                sizes.setdefault(self.mapped_by(slot, hva, vma.huge_shift), "the largest stage-2 mapping")
                if nested is not None and nested.has_stage2:
                    level = nested.level_of((slot.base_gfn << host.page_shift) + hva - slot.userspace_addr)
                    sizes.setdefault(nested.granule.shifts[level], "the guest hypervisor's leaf")
                if slot.flags & KVM_MEM_LOG_DIRTY_PAGES or self.kernel.actor:
                    sizes.setdefault(host.page_shift, "the stage-2 mapping of a logged page")
        if shift not in sizes:
            right = " or ".join(f"{size} ({sizes[size]})" for size in sorted(sizes))
            reason = f"si_addr_lsb of the SIGBUS at {hva:#x} is {shift}, allowed: {right}: user space treats "
            reason += "intact memory" if shift > max(sizes) else "only a part of what the guest cannot use"
            reason += " as broken"
            self.report("SIGBUS of another size", -1, reason, taints=False, function=self.kernel.entry)

    def judge_signal(self, hva: int, shift: int, meant: int) -> None:
        """Judge the address of a SIGBUS that a fault has caused.

        User space takes all of the 2 ** *shift* bytes around the address for broken (``si_addr_lsb`` of sigaction(2)).

        :param hva: the reported address
        :param meant: the host address of the access
        """
        shift = max(shift, self.side.host.page_shift)
        if hva >> shift != meant >> shift:
            reason = f"the SIGBUS reports {1 << shift:#x} bytes at {hva & -1 << shift:#x}, "
            reason += f"the page that failed is at {meant & -1 << shift:#x}: user space gives up other memory"
            self.report("SIGBUS for another page", -1, reason, taints=False, function=self.kernel.entry)

    def mapped_by(self, slot: kvm_memory_slot, hva: int, huge_shift: int) -> int:
        """Return log2 of the stage-2 mapping size of a hugetlb page of 2 ** *huge_shift* bytes.

        As in ``fault_supports_stage2_huge_mapping()``: slot and host must be aligned alike, and the slot must contain
        the whole block.
        """
        host = self.side.host
        start, end = slot.userspace_addr, slot.userspace_addr + (slot.npages << host.page_shift)
        for shift in (2 * host.pmd_shift - host.page_shift, host.pmd_shift):
            size = 1 << shift
            alike = (start ^ slot.base_gfn << host.page_shift) & (size - 1) == 0
            if huge_shift >= shift and alike and start <= hva & -size and (hva & -size) + size <= end:
                return shift
        return host.page_shift

    def no_struct_page(self, pfn: int, write: bool) -> None:
        self.structless = pfn
        reason = f"kernel code {'writes' if write else 'reads'} the page structure of frame {pfn:#x}, "
        reason += "which is a device's and has none"
        self.report(STRUCTLESS, -1, reason, taints=False, function=self.kernel.entry)

    def thp(self, pfn: int, yes: bool) -> None:
        # In a kernel tree, the read itself is an event.
        if pfn != self.structless and self.side.host.is_device(pfn):
            reason = "kvm_is_transparent_hugepage(), as in 5.12, reads the page structure of the frame: "
            reason += f"{pfn:#x} is a device's and has none"
            self.report(STRUCTLESS, -1, reason, taints=False, function=self.kernel.entry)

    def crashed(self, outcome: Outcome) -> None:
        self.after_operation(None, outcome)

    def after_operation(self, op: Operation | None, outcome: Outcome) -> None:
        entry = self.kernel.entry
        refusal = self.refusal_of(op)
        if self.asked_for(op, outcome):
            pass
        elif refusal is not None and outcome.status != "oops":
            self.judge_refusal(refusal, outcome)
        elif outcome.status in ("error", "oops"):
            what, where = f"{outcome.status} {outcome.value}", ""
            reason = crash_text(outcome.detail) if outcome.detail else f"the caller got {what}"
            if outcome.status == "error" and isinstance(outcome.value, int):
                reason = f"{entry}() returned {errno_text(outcome.value)}, {self.why_undeserved(op, outcome)}"
                origin, where = origin_of(self.kernel.last.failing(outcome.value), outcome.value, entry)
                reason += origin
            self.report(what, -1, reason, function=entry, where=where)
        elif isinstance(op, GuestOutside):
            self.judge_outside(op, outcome)
        elif outcome.status in INSTEAD and isinstance(op, GuestAccess) and not self.deserved(op, outcome):
            what = f"{op.kind} of memory answered with {INSTEAD[outcome.status]}"
            reason = f"cpu{op.cpu}'s {op.kind} of {op.slot}+{op.offset:#x} is allowed by slot and host"
            self.report(what, -1, reason, taints=False, function=entry)
        elif isinstance(op, GuestAccess) and outcome.status == "ok":
            self.judge_access(op, outcome)
        # User space may try again in the same operation.
        self.short = False

    def why_undeserved(self, op: Operation | None, outcome: Outcome) -> str:
        """Return why an operation must not have failed with an error."""
        if not isinstance(op, GuestAccess) or outcome.raced:
            return "which nothing in the program calls for"
        access = f"cpu{op.cpu}'s {op.kind} of {op.slot}+{op.offset:#x}"
        due = self.due(op)
        return f"but {access} calls for {due}" if due else f"but slot and host allow {access}"

    def due(self, op: GuestAccess) -> str:
        """Return the result that an access calls for where slot and host have no memory for it; "" if they have."""
        layout = self.side.guest_of(op.cpu).layout_of(self.side.by_name[op.slot].ipa + op.offset)
        if layout is None:
            return "an abort or an I/O exit"
        run = self.side.host.run_at(layout.hva + op.offset)
        if run is None:
            return errno_text(-EFAULT)
        if run.flags & POISON:
            return errno_text(-EHWPOISON) if layout.slot.backing == MEMFD else INSTEAD["sigbus"]
        if run.flags & DEVICE and op.kind in ("fetch", "walk"):
            return INSTEAD["abort"]
        return INSTEAD["io"] if layout.readonly and op.kind in ("write", "clean") else ""

    def answered(self, ret: int, status: str) -> None:
        """Judge the return value *ret* of ``kvm_handle_guest_abort()``; *status*: what it did besides mapping.

        A positive value resumes the guest (handle_exit.c): with the abort injected, with the access emulated, or to
        take the signal. 0 asks user space to read an exit reason, and nothing here fills one in. An error means that
        the fault failed.
        """
        if ret > 0 or (ret < 0 and not status):
            return
        after = INSTEAD.get(status, "a fault")
        reason = f"kvm_handle_guest_abort() returned {ret} after {after}: "
        reason += (
            "user space would read an exit reason, but there is none" if ret == 0 else "user space gets an error too"
        )
        self.report(f"returns {ret} after {after}", -1, reason, taints=False, function=self.kernel.entry)

    def judge_memory_fault_exit(self, ret: int, ipa: int, vcpu: kvm_vcpu) -> None:
        """Judge what user space learns about the access to *ipa* that ended with the error *ret*.

        Documentation/virt/kvm/api.rst: with KVM_EXIT_MEMORY_FAULT, KVM_RUN returns EFAULT or EHWPOISON. EFAULT has
        other causes too.
        """
        if vcpu.memory_fault is not None:
            start, size = vcpu.memory_fault
            if not start <= ipa < start + size:
                reason = f"KVM_EXIT_MEMORY_FAULT reports {size:#x} bytes from {start:#x}, the guest accessed {ipa:#x}"
                self.report("memory fault at another address", -1, reason, taints=False, function=self.kernel.entry)
        elif ret == -EHWPOISON and self.side.standard.mmu.TELLS_MEMORY_FAULTS and self.of_memfd(ipa, vcpu):
            reason = f"kvm_handle_guest_abort() returned {ret} for a guest_memfd, and did not fill in "
            reason += f"KVM_EXIT_MEMORY_FAULT: user space does not learn that {ipa:#x} failed"
            self.report("no memory fault exit", -1, reason, taints=False, function=self.kernel.entry)

    def of_memfd(self, ipa: int, vcpu: kvm_vcpu) -> bool:
        """Return whether the slot at a vCPU's guest address has a guest_memfd."""
        layout = next(guest for guest in self.side.guests if guest.kvm is vcpu.kvm).layout_of(ipa)
        return layout is not None and layout.slot.backing == MEMFD

    def addressed(self, status: str, told: int, ipa: int, va: int) -> None:
        """Judge the address *told* to emulation or in an injected abort; the access was to *ipa*, at *va*."""
        meant = ipa if status == "io" else va
        if told != meant:
            what = f"{'I/O exit' if status == 'io' else 'abort'} at another address"
            if status != "io" and told == ipa:
                what += ", the physical one"
            reason = f"the reported address is {told:#x}, the guest accessed {meant:#x}"
            self.report(what, -1, reason, taints=False, function=self.kernel.entry)

    def injected(self, what: str, meant: str) -> None:
        """Judge the abort *what* that a guest got: a prefetch abort for fetches, a data abort for everything else."""
        if what != meant:
            reason = f"the guest gets a {what}, its access calls for a {meant}"
            self.report(f"{what} injected for a {meant}", -1, reason, taints=False, function=self.kernel.entry)

    def judge_outside(self, op: GuestOutside, outcome: Outcome) -> None:
        """Judge the result of an access beyond the guest's address space: the guest gets an abort.

        The access cannot be emulated, because no device is there. Cache maintenance may be skipped. At EL1 a guest
        hypervisor's guest may have more addresses than the VM, and there KVM finds no slot.
        """
        if outcome.status == "abort" or (op.kind == "clean" and outcome.value == "skipped"):
            return
        if outcome.status == "io" and op.ipa < 1 << self.side.guest_of(op.cpu).regime.ia_bits:
            return
        instead = INSTEAD.get(outcome.status, "")
        answer = f"{instead} instead of an abort" if instead else "no abort, and is repeated"
        what = f"{'I/O exit' if outcome.status == 'io' else 'no abort'} beyond the guest's address space"
        reason = f"the guest's {op.kind} at {op.ipa:#x}, where no slot can be, gets {answer}"
        self.report(what, -1, reason, taints=False, function=self.kernel.entry)

    def deserved(self, op: GuestAccess, outcome: Outcome) -> bool:
        """Return whether an access rightly failed to complete: slot and host have no memory for it."""
        status = outcome.status
        if outcome.raced and status != "sigbus":
            # A slot that is about to be deleted or moved exists for nobody (KVM_MEMSLOT_INVALID).
            return True
        if outcome.taken and status == "sigbus":
            return True
        layout = self.side.guest_of(op.cpu).layout_of(self.side.by_name[op.slot].ipa + op.offset)
        if layout is None:
            return status != "sigbus"
        run = self.side.host.run_at(layout.hva + op.offset)
        if run is None or run.flags & POISON:
            return True
        if run.flags & DEVICE and op.kind in ("fetch", "walk"):
            return status == "abort"
        return layout.readonly and op.kind in ("write", "clean") and status == "io"

    def asked_for(self, op: Operation | None, outcome: Outcome) -> bool:
        """Return whether the program itself made an allocation fail that the call needs."""
        return outcome.value == -ENOMEM and op is not None and fail_of(op) is not None and self.short


def crash_text(detail: str) -> str:
    """Return the reason for a call that did not return by itself.

    :param detail: of its outcome: the cause and the place
    """
    if detail.startswith(ENDLESS):
        return f"the call had not returned when s2fuzz ended it{detail.removeprefix(ENDLESS)}"
    return f"the code crashed: {detail}"
