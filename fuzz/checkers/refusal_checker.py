# SPDX-License-Identifier: GPL-2.0-only
"""A checker that knows the calls that KVM must refuse, whatever its tables hold, and the error of each."""

from typing import Final, NamedTuple

from reference.services.errors import EFAULT, EINVAL, errno_text

from ..language.operations import GuestConflict, Operation, SetLog, SlotCreate, SlotMove
from ..language.program import DEVICES
from ..sides.outcome import Outcome
from .checker import Checker
from .error_origin import origin_of


class Refusal(NamedTuple):
    """The error that a call must return.

    :param value: the negative errno
    :param why: what the caller asked for
    """

    value: int
    why: str


BEYOND: Final = Refusal(-EFAULT, "a slot that ends beyond the guest's address space")
LOGGED_DEVICE: Final = Refusal(-EINVAL, "a dirty log of device memory")
CONFLICT: Final = Refusal(-EFAULT, "a TLB conflict abort, which stage 2 cannot answer")
REFUSALS: Final = (BEYOND, LOGGED_DEVICE, CONFLICT)


class RefusalChecker(Checker):
    """The base of the checker that judges the results of calls that KVM must refuse."""

    def refusal_of(self, op: Operation | None) -> Refusal | None:
        """Return the refusal that an operation must get; None: it must not be refused.

        ``kvm_arch_prepare_memory_region()`` refuses slots beyond ``kvm_phys_size()`` and dirty logs of VM_PFNMAP areas.
        ``kvm_handle_guest_abort()`` refuses faults that are no translation, permission or access flag fault.
        """
        side = self.side
        if isinstance(op, GuestConflict):
            return CONFLICT
        if isinstance(op, (SlotMove, SlotCreate)):
            layout = side.by_name[op.slot]
            if op.ipa is not None and op.ipa + layout.size > 1 << side.guests[layout.slot.vm].regime.ia_bits:
                return BEYOND
        elif isinstance(op, SetLog) and op.on:
            layout = side.by_name[op.slot]
            if layout.slot.backing in DEVICES:
                end = layout.hva + layout.size
                if any(vma.pfnmap and vma.start < end and vma.end > layout.hva for vma in side.host.vmas):
                    return LOGGED_DEVICE
        return None

    def judge_refusal(self, refusal: Refusal, outcome: Outcome) -> None:
        """Judge the result of a call that KVM must refuse; a text as its value means that the call was not made."""
        if outcome.value == refusal.value or isinstance(outcome.value, str):
            return
        answer = f"{outcome.status} {outcome.value}" if outcome.status in ("error", "oops") else "success"
        entry, origin, where, gets = self.kernel.entry, "", "", answer
        if outcome.status == "error" and isinstance(outcome.value, int):
            gets = errno_text(outcome.value)
            origin, where = origin_of(self.kernel.last.failing(outcome.value), outcome.value, entry)
        reason = f"the caller asks for {refusal.why}, and gets {gets} in place of {errno_text(refusal.value)}{origin}"
        self.report(f"{answer} for {refusal.why}", -1, reason, taints=False, function=entry, where=where)
