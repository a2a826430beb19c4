# SPDX-License-Identifier: GPL-2.0-only
"""contract: KVM_PRE_FAULT_MEMORY maps what it counts as done, and stops only where memory cannot be mapped.

Each step maps a page, or the block around it, and returns the number of bytes that it has done. A step may
fail for the same reasons as a read of the page by the guest. -EAGAIN is an answer for user space only if slots change
meanwhile: after a race with a notifier, KVM tries again or leaves the page to the guest.
"""

from reference.machine.address_space import CACHED, POISON
from reference.services.errors import EAGAIN, EFAULT, EHWPOISON, ENOENT, errno_text

from ..sides.guest import Guest
from .checker import GuestChecker, Peers
from .contract import Contract
from .shadow import Shadow


class Prefault(GuestChecker):
    """Judges the result of each step.

    Parameters are those of `GuestChecker`.
    """

    rule = Contract.rule

    def __init__(self, guest: Guest, peers: Peers) -> None:
        super().__init__(guest, peers)
        self.shadow = peers.at(Shadow, guest)
        self.page_size = guest.granule.page_size
        # The number of slot changes before the step of each actor.
        self.changes: dict[int, int] = {}

    def pre_fault(self, vmid: int, ipa: int, size: int) -> None:
        self.changes[self.kernel.actor] = self.guest.changes

    def pre_faulted(self, vmid: int, ipa: int, size: int, ret: int) -> None:
        if self.guest.is_nested or vmid != self.guest.vmid:
            return
        if ret < 0:
            self.judge_error(ipa, ret)
        elif ret > size or ret % self.page_size:
            self.wrong("counts other bytes than it was asked for", f"{ret:#x} bytes done of {size:#x} at {ipa:#x}", ipa)
        elif not self.kernel.actor:
            self.judge_mapped(ipa, ret)

    def judge_error(self, ipa: int, ret: int) -> None:
        """Judge a step that failed."""
        # Beside others, memory may be gone by now, or there again.
        if self.kernel.actor and ret == -EFAULT:
            return
        due = self.due(ipa)
        if ret not in due:
            calls = f"the place calls for {errno_text(due[0])}" if due else "slot and host allow the access"
            self.wrong(f"error {ret}", f"pre-faulting {ipa:#x} returned {errno_text(ret)}, but {calls}", ipa)

    def judge_mapped(self, ipa: int, done: int) -> None:
        """Judge the pages that a step counts as done."""
        at = ipa
        while at < ipa + done:
            level, _ = self.shadow.lookup(at)
            if level < 0:
                reason = f"the step at {ipa:#x} counts {done:#x} bytes as done, and {at:#x} is not mapped"
                self.wrong("counts a page that is not mapped", reason, at)
                return
            size = self.granule.level_size(level)
            at = (at & -size) + size

    def due(self, ipa: int) -> tuple[int, ...]:
        """Return the errors that a step at an address may return."""
        guest, host = self.guest, self.side.host
        if guest.changed_since(self.changes.get(self.kernel.actor, 0), ipa):
            return (-EAGAIN, -ENOENT, -EFAULT)
        layout = guest.layout_of(ipa)
        if layout is None:
            return (-ENOENT,)
        hva = layout.hva + ipa - layout.ipa
        area, run = host.vma_at(hva), host.run_at(hva)
        if area is None or (area.memory == CACHED and self.side.refuses_cached_devices):
            return (-EFAULT,)
        return (-EHWPOISON, -EFAULT) if run is not None and run.flags & POISON else ()

    def wrong(self, what: str, reason: str, ipa: int) -> None:
        """Report a violation that does not taint."""
        self.report(f"{what}, pre-faulting", -1, reason, frozenset([ipa]), taints=False, function=self.kernel.entry)
