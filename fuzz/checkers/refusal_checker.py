# SPDX-License-Identifier: GPL-2.0-only
"""A checker that knows the calls that KVM must refuse, whatever its tables hold, and the error of each."""

from typing import Final, NamedTuple

from reference.machine.address_space import CACHED
from reference.services.errors import EFAULT, EINVAL, errno_text

from ..language.operations import GuestAccess, GuestConflict, Operation, SetLog, SlotCreate, SlotMove
from ..language.program import DEVICES
from ..sides.guest import SlotLayout
from ..sides.outcome import Outcome
from ..sides.side import Side
from .checker import Checker, Peers
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
UNCACHEABLE: Final = Refusal(-EINVAL, "a slot of device memory with caches, without FWB or DIC")
UNCACHEABLE_PAGE: Final = Refusal(-EFAULT, "an access to device memory with caches, without FWB or DIC")
CONFLICT: Final = Refusal(-EFAULT, "a TLB conflict abort, which stage 2 cannot answer")
REFUSALS: Final = (BEYOND, LOGGED_DEVICE, UNCACHEABLE, UNCACHEABLE_PAGE, CONFLICT)


class RefusalChecker(Checker):
    """The base of the checker that judges the results of calls that KVM must refuse."""

    def __init__(self, side: Side, peers: Peers) -> None:
        super().__init__(side, peers)
        # The slot that stays where it is, because the last move asked for that; "": none.
        self.unmoved = ""

    def before_operation(self, op: Operation | None) -> None:
        if isinstance(op, SlotMove):
            self.unmoved = op.slot if self.side.by_name[op.slot].ipa == op.ipa else ""

    def actor_begins(self, op: Operation) -> None:
        # User space is one thread.
        RefusalChecker.before_operation(self, op)

    def refusal_of(self, op: Operation | None) -> Refusal | None:
        """Return the refusal that an operation must get; None: it must not be refused.

        ``kvm_arch_prepare_memory_region()`` refuses slots beyond ``kvm_phys_size()``, dirty logs of VM_PFNMAP areas,
        and such areas that user space maps with caches, unless ``kvm_supports_cacheable_pfnmap()``.
        ``kvm_handle_guest_abort()`` refuses faults that are no translation, permission or access flag fault.
        """
        side = self.side
        if isinstance(op, GuestConflict):
            return CONFLICT
        if isinstance(op, (SlotMove, SlotCreate)):
            layout = side.by_name[op.slot]
            if op.ipa is not None and op.ipa + layout.size > 1 << side.guests[layout.slot.vm].regime.ia_bits:
                return BEYOND
            # A move to the place where the slot is changes nothing.
            if self.holds_uncacheable(layout) and not (isinstance(op, SlotMove) and op.slot == self.unmoved):
                return UNCACHEABLE
        elif isinstance(op, SetLog) and op.on:
            layout = side.by_name[op.slot]
            if layout.slot.backing in DEVICES:
                end = layout.hva + layout.size
                if any(vma.pfnmap and vma.start < end and vma.end > layout.hva for vma in side.host.vmas):
                    return LOGGED_DEVICE
        return None

    def holds_uncacheable(self, layout: SlotLayout) -> bool:
        """Return whether a slot has an area of memory that KVM must refuse, because the CPU cannot cache it safely."""
        end = layout.hva + layout.size
        return self.side.refuses_cached_devices and any(
            area.memory == CACHED and area.start < end and area.end > layout.hva for area in self.side.host.vmas
        )

    def judge_access(self, op: GuestAccess, outcome: Outcome) -> None:
        """Judge an access that completed: ``user_mem_abort()`` must refuse it as `holds_uncacheable` has it."""
        layout = self.side.by_name[op.slot]
        if not self.side.refuses_cached_devices or outcome.raced or op.kind not in ("read", "write"):
            return
        area = self.side.host.vma_at(layout.hva + op.offset)
        if area is not None and area.memory == CACHED:
            self.judge_refusal(UNCACHEABLE_PAGE, outcome)

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
