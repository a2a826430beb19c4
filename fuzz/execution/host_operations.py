# SPDX-License-Identifier: GPL-2.0-only
"""Operations of the host: user space, memory management, slots and their dirty logs."""

from reference.kvm import KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY
from reference.services.errors import ENOMEM

from ..checkers import CheckerSuite
from ..language import operations as ops
from ..language.program import DEVICES, MEMFD
from ..sides.guest import Guest, SlotLayout
from ..sides.outcome import Outcome
from ..sides.side import Side
from .unhandled import unhandled
from .unsettled import UnsettledPages


class HostOperations:
    """Runs the operations of user space and of the host's memory management.

    :param side: the side that they run on
    :param checkers: judge the state after a failure before user space tries again
    :param unsettled: pages that depend on the order in which actors of par blocks made their steps
    """

    def __init__(self, side: Side, checkers: CheckerSuite, unsettled: UnsettledPages) -> None:
        self.side = side
        self.checkers = checkers
        self.unsettled = unsettled

    def run(self, op: ops.HostOperation, layout: SlotLayout) -> Outcome:
        """Run an operation on pages of a slot."""
        host = self.side.host
        start = layout.hva + op.offset
        if isinstance(op, ops.HostDiscard | ops.HostPoison) and layout.slot.backing == MEMFD:
            return self.discard_memfd(op, layout)
        self.side.enter("kvm_mmu_notifier_invalidate_range_start")
        if isinstance(op, ops.HostWrite):
            host.write(start, start + op.size)
        elif isinstance(op, ops.HostWriteback):
            host.write_back(start, start + op.size)
        elif isinstance(op, ops.HostCollapse):
            host.collapse(start)
        elif isinstance(op, ops.HostSplit):
            host.split_huge(start)
        elif isinstance(op, ops.HostMigrate):
            host.migrate(start, start + op.size)
        elif isinstance(op, ops.HostDiscard):
            host.discard(start, start + op.size)
        elif isinstance(op, ops.HostReap):
            host.reap(start, start + op.size)
        elif isinstance(op, ops.HostUnmap):
            host.unmap(start, start + op.size)
        elif isinstance(op, ops.HostProtect):
            host.protect(start, start + op.size, op.on)
        elif isinstance(op, ops.HostPoison):
            host.fail_memory(start)
        elif isinstance(op, ops.HostShare):
            host.share(start, start + op.size)
        elif isinstance(op, ops.HostMerge):
            host.merge(start)
        elif isinstance(op, ops.HostAge):
            return self.age(start, start + op.size, op.flush)
        elif isinstance(op, ops.HostTestAge):
            return self.test_age(start)
        else:
            raise unhandled(op)
        return Outcome("ok")

    def discard_memfd(self, op: ops.HostDiscard | ops.HostPoison, layout: SlotLayout) -> Outcome:
        """Take pages from a guest_memfd that user space does not map at that time."""
        guest = self.side.guests[layout.slot.vm]
        self.side.active = guest
        failure = isinstance(op, ops.HostPoison)
        self.side.enter("kvm_gmem_error_folio" if failure else "kvm_gmem_fallocate")
        self.side.notifications.calling()
        size = op.size if isinstance(op, ops.HostDiscard) else self.side.granule.page_size
        ret = guest.notified.lose(layout, op.offset, size, failure)
        return Outcome("error", ret) if ret else Outcome("ok")

    def test_age(self, start: int) -> Outcome:
        """Look at a page as ``page_idle`` does: ask every VM until one reports it as young."""
        self.side.enter("kvm_mmu_notifier_test_young")
        for guest in reversed(self.side.running):
            self.side.active = guest
            self.side.notifications.calling()
            young = guest.main.test_young(start)
            if young:
                return Outcome("ok", young)
        return Outcome("ok", 0)

    def age(self, start: int, end: int, flush: bool) -> Outcome:
        """Age each page of the host, huge or not, as ``page_referenced()`` does."""
        self.side.enter("kvm_mmu_notifier_clear_flush_young" if flush else "kvm_mmu_notifier_clear_young")
        pages = self.side.pages_to_age(start, end)
        if len(self.side.running) == 1 and self.side.kernel.turns is None:
            # No other VM or actor can come in between.
            self.side.active = self.side.running[0]
            return Outcome("ok", self.side.active.main.age(pages, flush))
        young = 0
        for hva, size in pages:
            for guest in reversed(self.side.running):
                self.side.active = guest
                self.side.notifications.calling()
                clear = guest.main.clear_flush_young if flush else guest.main.clear_young
                young |= clear(hva, hva + size)
        return Outcome("ok", young)

    def slot(self, op: ops.SlotChange, layout: SlotLayout) -> Outcome:
        """Call KVM_SET_USER_MEMORY_REGION. User space tries again after the failure that the program asked for."""
        fail = ops.fail_of(op)
        outcome = self.set_region(op, layout, fail)
        if fail is None or outcome.value != -ENOMEM:
            return outcome
        self.checkers.after_operation(op, outcome)
        self.side.kernel.locks.clear()
        return self.set_region(op, layout, None)

    def set_region(self, op: ops.SlotChange, layout: SlotLayout, fail: int | None) -> Outcome:
        """Make one call. *layout* changes only where the call succeeds. *fail*: as in `SetLog`."""
        side = self.side
        guest = side.guests[layout.slot.vm]
        side.active = guest
        side.enter("kvm_set_memory_region")
        if layout.live == isinstance(op, ops.SlotCreate):
            # An earlier creation failed, as the program asked for.
            return Outcome("ok", "no such slot")
        old = layout.snapshot()
        change(layout, op)
        if fail is not None:
            side.kernel.topup_gets = fail - 1
            if not fills_cache(op, guest, layout):
                side.kernel.small_allocations_left = fail - 1
        leaves = isinstance(op, (ops.SlotDelete, ops.SlotMove))
        # Other actors may be in the guest meanwhile. They find no slot, or the slot being removed.
        beside = side.kernel.turns is not None and not isinstance(op, ops.SetLog)
        if beside:
            guest.change_begins(layout, old, leaves)
        # The memory behind a slot that is removed must be clean.
        guest.notified.unmapping = leaves
        side.notifications.calling()
        ret = guest.set_region(layout)
        guest.notified.unmapping = False
        if beside:
            guest.change_ends(layout, old)
        side.kernel.topup_gets = side.kernel.small_allocations_left = -1
        if not ret:
            return Outcome("ok")
        layout.ipa, layout.flags, layout.live = old.ipa, old.flags, old.live
        return Outcome("error", ret)

    def get_log(self, layout: SlotLayout) -> Outcome:
        """Call KVM_GET_DIRTY_LOG. User space keeps the bitmap."""
        guest = self.side.guests[layout.slot.vm]
        self.side.active = guest
        if guest.kvm.dirty_ring_size:
            return self.get_rings(guest, layout)
        self.side.enter("kvm_vm_ioctl_get_dirty_log")
        self.side.notifications.calling()
        ret, bitmap = guest.main.kvm_vm_ioctl_get_dirty_log(layout.id)
        if ret:
            return Outcome("error", ret)
        layout.collected = bitmap
        return Outcome("ok", bitmap[:], predictable=not self.unsettled.logs)

    def get_rings(self, guest: Guest, layout: SlotLayout) -> Outcome:
        """Collect the log of a slot where vCPUs have dirty rings: the pages of the rings and those of the bitmap."""
        ret = guest.reap()
        if ret < 0:
            return Outcome("error", ret)
        pages, layout.reaped = layout.reaped, []
        pages = pages or [0] * (((layout.size >> self.side.granule.page_shift) + 63) >> 6)
        if not guest.kvm.dirty_ring_with_bitmap:
            return Outcome("ok", pages, predictable=not self.unsettled.logs)
        self.side.enter("kvm_vm_ioctl_get_dirty_log")
        ret, beside = guest.main.kvm_vm_ioctl_get_dirty_log(layout.id)
        if ret:
            return Outcome("error", ret)
        both = [a | b for a, b in zip(pages, beside, strict=True)]
        return Outcome("ok", both, predictable=not self.unsettled.logs)

    def clear_log(self, op: ops.ClearLog, layout: SlotLayout) -> Outcome:
        """Call KVM_CLEAR_DIRTY_LOG for the collected pages in the range."""
        guest = self.side.guests[layout.slot.vm]
        self.side.active = guest
        self.side.enter("kvm_vm_ioctl_clear_dirty_log")
        shift = self.side.granule.page_shift
        first, pages = op.offset >> shift, op.size >> shift
        words = (pages + 63) >> 6
        bitmap = layout.collected[first >> 6 : (first >> 6) + words]
        bitmap += [0] * (words - len(bitmap))
        self.side.notifications.calling()
        if op.fail is not None:
            self.side.kernel.topup_gets = op.fail - 1
        ret = guest.main.kvm_vm_ioctl_clear_dirty_log(layout.id, first, pages, bitmap)
        self.side.kernel.topup_gets = -1
        for word in range(first >> 6, min((first >> 6) + words, len(layout.collected))):
            layout.collected[word] = 0
        return Outcome("error", ret) if ret else Outcome("ok")


def fills_cache(op: ops.SlotChange, guest: Guest, layout: SlotLayout) -> bool:
    """Return whether KVM fills a memory cache for an operation: to map device memory, or to split blocks."""
    return layout.slot.backing in DEVICES or (isinstance(op, ops.SetLog) and guest.kvm.split_page_chunk_size > 0)


def change(layout: SlotLayout, op: ops.SlotChange) -> None:
    """Change the layout of a slot as an operation asks for."""
    if isinstance(op, ops.SetLog):
        layout.flags &= ~KVM_MEM_LOG_DIRTY_PAGES
        layout.flags |= KVM_MEM_LOG_DIRTY_PAGES if op.on else 0
    elif isinstance(op, ops.SlotDelete):
        layout.live = False
    elif isinstance(op, ops.SlotMove):
        layout.ipa = op.ipa
    elif isinstance(op, ops.SlotCreate):
        layout.live = True
        layout.ipa = layout.ipa if op.ipa is None else op.ipa
        layout.flags = (KVM_MEM_LOG_DIRTY_PAGES if op.log else 0) | (KVM_MEM_READONLY if op.ro else 0)
    else:
        raise unhandled(op)
    if not layout.flags & KVM_MEM_LOG_DIRTY_PAGES or not layout.live:
        layout.collected = []
        layout.reaped = []
