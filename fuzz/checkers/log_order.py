# SPDX-License-Identifier: GPL-2.0-only
"""dirty-log: pages are write-protected for logging only after the moment from which their writes must be logged.

Two moments count: when a slot with its bitmap is installed (``update_memslots()``), and when a collection,
or the call that clears, takes a page's bit. After them, no fault may map a page writable again
that was write-protected before. A fault in between maps the page
writable, and no later write of the guest is seen.

The checker judges the order of events, and needs no second actor. A leaf that is
write-protected or unmapped too early is excused if it is walked again
afterwards by a walker that removes write permission or unmaps. Taking chosen bits
under the same hold of the mmu lock that protected their pages is in order, because
no fault maps during the hold. Exchanging a whole word is not in order, if faults
mark pages dirty after they have dropped the lock: it may take the bit of a page that was
mapped before the hold and marked only after the page's bit was looked at. In a par block,
only the caller's own actions count. Not visible here: bits that are cleared by code other
than `KvmMain`.
"""

from __future__ import annotations

from typing import Final

from reference.kvm import KVM_DIRTY_LOG_INITIALLY_SET, KVM_MEM_READONLY, KVM_MEMSLOT_INVALID
from reference.machine.descriptor import LEAF, TABLE, VALID_BIT, WRITE_BIT, kind
from reference.pgtable import stage2_attr_data

from ..language.operations import ClearLog, GetLog, Operation, SetLog, SlotCreate, SlotMove
from ..sides.guest import Guest
from ..sides.outcome import Outcome
from .call_order import CallEvents, CallOrder
from .checker import Peers
from .dirty_log import DirtyLog
from .guest_pages import GuestPages, without

# Callbacks that never remove write permission: first those of the ports, then of later kernels.
READERS: Final = ("stage2_flush_walker", "stage2_split_walker", "stage2_age_walker", "leaf_walker")
INSTALLED: Final = "write-protected before the log was installed"
TAKEN: Final = "write-protected before its bits were taken"


class LostLeaf:
    """A leaf that lost write permission: its address, level and size, and the walker callback that changed it.

    *may_return*: whether a fault could map it writable again at that moment;
    *owed*: the event that came too late, "" if none did; *parts*: what must be walked again: start and end
    in bytes, and the number of ranges already walked by then;
    *same_hold*: that event came under the same hold of the mmu lock
    """

    def __init__(self, ipa: int, level: int, size: int, walker: str, may_return: bool) -> None:
        self.ipa = ipa
        self.level = level
        self.size = size
        self.walker = walker
        self.may_return = may_return
        self.owed = ""
        self.same_hold = False
        self.parts: list[tuple[int, int, int]] = []


class LogEvents(CallEvents):
    """Receives the frequent events for `LogOrder`: besides walks, every drop of the mmu lock."""

    def __init__(self, checker: LogOrder) -> None:
        super().__init__(checker)
        self.log_order = checker

    def unlock(self, name: str, vmid: int) -> None:
        if name == "mmu":
            self.log_order.lock_dropped()

    def resched(self) -> None:
        self.log_order.lock_dropped()


class LogOrder(CallOrder):
    """Judges what KVM_SET_USER_MEMORY_REGION and the dirty log calls write-protect."""

    rule = DirtyLog.rule

    def __init__(self, guest: Guest, peers: Peers) -> None:
        super().__init__(guest, peers)
        self.page_shift = self.granule.page_shift
        # Actors whose calls wait for slots_lock, in order.
        self.waiting: list[tuple[int, Operation]] = []
        self.lost: list[LostLeaf] = []
        # The number of leaves at the start of the list that were lost under an earlier hold of the lock.
        self.settled = 0
        self.owing = False
        # A fault has marked a page dirty without the mmu lock.
        self.marked_late = False
        # Ranges walked by walkers that protect or unmap, since something is owed.
        self.walked: list[tuple[int, int]] = []

    def before_operation(self, op: Operation | None) -> None:
        self.waiting.clear()
        self.watch(op, self.kernel.actor)

    def actor_begins(self, op: Operation) -> None:
        # A VM's slots_lock admits one call at a time: the call that began first, because nobody comes in between.
        if not self.is_call(op):
            return
        if self.watching and self.caller:
            self.waiting.append((self.kernel.actor, op))
        else:
            self.watch(op, self.kernel.actor)

    def actor_ends(self, op: Operation, outcome: Outcome) -> None:
        actor = self.kernel.actor
        self.waiting = [each for each in self.waiting if each[0] != actor]
        if self.watching and actor == self.caller:
            self.after_operation(op, outcome)
            if self.waiting:
                following, call = self.waiting.pop(0)
                self.watch(call, following)
            else:
                self.watch(None, actor)

    def watch(self, op: Operation | None, caller: int) -> None:
        """Watch an operation that begins, if it is a judged call for this VM; *caller*: the actor that makes it."""
        self.caller = caller
        self.observe_frequent(self.is_call(op))
        if self.lost:
            self.forget()

    def is_call(self, op: Operation | None) -> bool:
        """Return whether an operation is a judged call for this VM."""
        # Inline, this is compiled to comparisons; a named tuple constant is not.
        if not isinstance(op, (SetLog, SlotCreate, SlotMove, GetLog, ClearLog)):
            return False
        return self.side.by_name[op.slot].slot.vm == self.guest.number

    def frequent_events(self) -> CallEvents:
        return LogEvents(self)

    def forget(self) -> None:
        """Forget the previous call."""
        self.lost.clear()
        self.walked.clear()
        self.settled = 0
        self.owing = False

    def changed(self, ipa: int, level: int, ptep: int, old: int, new: int) -> None:
        if not old & VALID_BIT or self.kernel.actor != self.caller:
            return
        what = kind(old, level, self.granule)
        if what == LEAF:
            # A write through a leaf with DBM is recorded again.
            stays = new & VALID_BIT and kind(new, level, self.granule) == LEAF and self.guest.regime.allows_writes(new)
            if old & WRITE_BIT and not stays:
                self.add(level, ipa)
        elif what == TABLE:
            for below, base, entry in self.shadow.leaves_cut_off(ipa, level):
                if entry & WRITE_BIT:
                    self.add(below, base)

    def add(self, level: int, ipa: int) -> None:
        """Record a leaf that lost write permission."""
        slot = self.guest.kvm_host.gfn_to_memslot(self.guest.kvm, ipa >> self.page_shift)
        may_return = (
            slot is not None and not slot.flags & (KVM_MEMSLOT_INVALID | KVM_MEM_READONLY) and slot.dirty_bitmap is None
        )
        size = self.granule.level_size(level)
        self.lost.append(LostLeaf(ipa, level, size, self.kernel.walker, may_return))

    def lock_dropped(self) -> None:
        """Note that the mmu lock is dropped, or may be."""
        if self.kernel.actor == self.caller:
            self.settled = len(self.lost)

    def mark_page_dirty(self, gfn: int, slot: int, logged: bool) -> None:
        if logged and "mmu" not in self.kernel.locks:
            self.marked_late = True

    def slots_installed(self, vmid: int, slot: int, flags: int, logged: bool) -> None:
        if not self.lost or not logged or vmid != self.vmid or self.kernel.actor != self.caller:
            return
        if self.guest.kvm.manual_dirty_log_protect & KVM_DIRTY_LOG_INITIALLY_SET:
            # All pages count as dirty until they are cleared.
            return
        installed = self.guest.kvm_host.id_to_memslot(self.guest.kvm, slot)
        if installed is None or installed.flags & (KVM_MEMSLOT_INVALID | KVM_MEM_READONLY):
            return
        start = installed.base_gfn << self.page_shift
        end = start + (installed.npages << self.page_shift)
        for leaf in self.lost:
            if leaf.may_return and leaf.ipa < end and start < leaf.ipa + leaf.size:
                self.owe(leaf, INSTALLED, leaf.ipa, leaf.ipa + leaf.size)

    def log_taken(self, vmid: int, slot: int, gfn: int, mask: int, whole: bool) -> None:
        # A vCPU beside the call may have the dirty rings emptied, and then protects the pages that it takes itself.
        lost = len(self.lost) if whole and self.marked_late else self.settled
        if not lost or vmid != self.vmid or self.kernel.actor != self.caller:
            return
        for at in range(lost):
            leaf = self.lost[at]
            first = (leaf.ipa >> self.page_shift) - gfn
            last = first + (leaf.size >> self.page_shift)
            taken = mask >> max(first, 0) & ((1 << (last - max(first, 0))) - 1) if last > 0 else 0
            if taken:
                # Eager splitting drops the lock between the words of a log: each is protected after it is taken.
                start = gfn + max(first, 0) + (taken & -taken).bit_length() - 1
                end = gfn + max(first, 0) + taken.bit_length()
                leaf.same_hold = at >= self.settled
                self.owe(leaf, TAKEN, start << self.page_shift, end << self.page_shift)

    def owe(self, leaf: LostLeaf, what: str, start: int, end: int) -> None:
        """Record that a part of a leaf must be walked again from now on."""
        leaf.owed = what
        leaf.parts.append((start, end, len(self.walked)))
        self.owing = True

    def range_walked(self, vmid: int, start: int, end: int) -> None:
        if not self.owing or vmid != self.vmid or self.kernel.actor != self.caller or self.kernel.walker in READERS:
            return
        attributes = self.kernel.walker_arg
        if isinstance(attributes, stage2_attr_data) and not attributes.attr_clr & WRITE_BIT:
            return
        self.walked.append((start, end))

    def after_operation(self, op: Operation | None, outcome: Outcome) -> None:
        if not self.owing:
            return
        late: dict[tuple[str, str, int, bool], list[tuple[int, int]]] = {}
        for leaf in self.lost:
            if leaf.owed and not self.seen_again(leaf):
                key = leaf.owed, leaf.walker, leaf.level, leaf.same_hold
                late.setdefault(key, []).append((leaf.ipa, leaf.ipa + leaf.size))
        for (what, walker, level, same_hold), ranges in late.items():
            pages = GuestPages(ranges, self.granule.page_size)
            reason = f"{len(ranges)} leaf(s), the first at {ranges[0][0]:#x}; "
            if same_hold:
                reason += "the exchange also takes the bit of a page that was mapped before and that its fault marks "
                reason += "between the two: that page stays writable, and the log misses its writes"
            else:
                reason += "a fault between the two maps it writable again, and the log misses its writes"
            self.report(what, level, reason, pages, taints=False, function=walker)
        self.forget()

    def seen_again(self, leaf: LostLeaf) -> bool:
        """Return whether every owed part of a leaf was walked since then."""
        for start, end, since in leaf.parts:
            ranges = self.walked[since:]
            if not ranges or without(start, end, ranges):
                return False
        return True
