# SPDX-License-Identifier: GPL-2.0-only
"""dirty-log: dirty state that the hardware has recorded in a leaf reaches the log before the leaf loses it.

With VTCR_EL2.HD a write through a leaf with DBM sets S2AP[1] in that leaf and takes no fault (Arm ARM D8.4). From then
on only the leaf holds that the page is dirty, until the kernel marks the page. So the state is lost if the kernel
unmaps, write-protects, splits or replaces the leaf, and neither marks the page nor makes another dirty leaf for it.
"""

from typing import Final

from reference.kvm import KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY, KVM_MEMSLOT_INVALID
from reference.machine.descriptor import DBM_BIT, LEAF, VALID_BIT, WRITE_BIT, kind
from reference.machine.walk import NONE, WRITE, Walk

from ..language.operations import Operation, TableWrprotect
from ..sides.guest import Guest
from ..sides.outcome import Outcome
from .checker import GuestChecker, Peers
from .dirty_log import OVERWRITTEN, STATE_LOST, DirtyLog
from .shadow import Shadow

DIRTY: Final = VALID_BIT | DBM_BIT | WRITE_BIT


class Lost:
    """The first change by which a page lost the leaf that held its dirty state.

    :param level: the level of the changed entry
    :param entry: the entry before the change
    :param function: the kernel function that changed it; *where*: its place in a compiled tree
    """

    def __init__(self, level: int, entry: int, function: str, where: str) -> None:
        self.level = level
        self.entry = entry
        self.function = function
        self.where = where


class DirtyState(GuestChecker):
    """Judges pages that the guest has written through a leaf with DBM, at the end of the operation that changes it.

    A page whose bit a collection takes needs no record until the collection returns: user space reads the page
    afterwards.

    A store that is not atomic may overwrite dirty state that the hardware records between the load and the store. So
    the checker also judges each such store over a leaf that a write would make dirty, and needs no second actor.
    """

    rule = DirtyLog.rule

    def __init__(self, guest: Guest, peers: Peers) -> None:
        super().__init__(guest, peers)
        self.shadow = peers.at(Shadow, guest)
        self.log = peers.at(DirtyLog, guest)
        self.shift = guest.granule.page_shift
        # Pages that only a dirty leaf reports as written; and, of these, those that have lost that leaf.
        self.pending: set[int] = set()
        self.lost: dict[int, Lost] = {}
        # Pages whose bits calls in progress have taken.
        self.taken: set[int] = set()
        self.destroying = False

    def before_destruction(self) -> None:
        self.destroying = True

    def is_logged(self, gfn: int) -> bool:
        """Return whether the writes to a page are logged."""
        slot = self.guest.kvm_host.gfn_to_memslot(self.guest.kvm, gfn)
        left_out = KVM_MEMSLOT_INVALID | KVM_MEM_READONLY
        return slot is not None and slot.flags & (KVM_MEM_LOG_DIRTY_PAGES | left_out) == KVM_MEM_LOG_DIRTY_PAGES

    def is_marked(self, gfn: int) -> bool:
        """Return whether the log has a page."""
        slot = self.guest.kvm_host.gfn_to_memslot(self.guest.kvm, gfn)
        if slot is not None and slot.dirty_bitmap is not None:
            page = gfn - slot.base_gfn
            if slot.dirty_bitmap[page >> 6] >> (page & 63) & 1:
                return True
        return gfn in self.log.causes.marked

    def translated(self, cpu: int, access: int, ipa: int, walk: Walk) -> None:
        if access != WRITE or walk.fault != NONE or not self.guest.regime.dirty:
            return
        gfn = ipa >> self.shift
        if gfn in self.taken or self.shadow.lookup(ipa)[1] & DIRTY != DIRTY:
            return
        if self.is_logged(gfn) and not self.is_marked(gfn):
            self.pending.add(gfn)

    def mark_page_dirty(self, gfn: int, slot: int, logged: bool) -> None:
        if self.pending and self.kernel.vmid == self.vmid:
            self.pending.discard(gfn)

    def log_taken(self, vmid: int, slot: int, gfn: int, mask: int, whole: bool) -> None:
        if vmid != self.vmid or not self.guest.regime.dirty:
            return
        while mask:
            page = gfn + (mask & -mask).bit_length() - 1
            self.taken.add(page)
            self.pending.discard(page)
            mask &= mask - 1

    def slots_installed(self, vmid: int, slot: int, flags: int, logged: bool) -> None:
        # Where a log begins or ends, no log has to report earlier writes.
        if vmid == self.vmid and self.pending:
            self.pending = {gfn for gfn in self.pending if self.slot_of(gfn) not in (-1, slot)}

    def slot_of(self, gfn: int) -> int:
        """Return the number of the logged slot that has a page; -1: there is none."""
        slot = self.guest.kvm_host.gfn_to_memslot(self.guest.kvm, gfn)
        return slot.id if slot is not None and self.is_logged(gfn) else -1

    def changed(self, ipa: int, level: int, ptep: int, old: int, new: int) -> None:
        if not self.guest.regime.dirty or self.shadow.by_hardware or self.destroying or not old & VALID_BIT:
            return
        first, pages = ipa >> self.shift, 1 << self.shadow.shifts[level] - self.shift
        leaf = kind(old, level, self.granule) == LEAF
        stays = kind(new, level, self.granule) == LEAF and new & WRITE_BIT
        if self.pending and not stays and (not leaf or old & DIRTY == DIRTY):
            lost = Lost(level, old, self.running(), self.kernel.place)
            for gfn in self.pending:
                if first <= gfn < first + pages:
                    # A table that loses its last leaf may be cut off afterwards.
                    self.lost.setdefault(gfn, lost)
        if leaf and not stays and old & DIRTY == VALID_BIT | DBM_BIT and not self.shadow.released:
            if self.is_logged(first):
                self.report(
                    OVERWRITTEN,
                    level,
                    f"{self.text(old, level)} at {ipa:#x} became {self.text(new, level)}: dirty state that the "
                    "hardware records between the load and the store is lost",
                    frozenset([ipa]),
                    taints=False,
                )

    def after_operation(self, op: Operation | None, outcome: Outcome) -> None:
        self.taken.clear()
        for gfn, lost in self.lost.items():
            if gfn in self.pending:
                self.judge(gfn, lost, isinstance(op, TableWrprotect))
        self.lost.clear()

    def judge(self, gfn: int, lost: Lost, collected: bool) -> None:
        """Judge a page that was written and has lost the leaf that held its dirty state.

        :param collected: in a direct call, whose caller has collected the state, or does not need it
        """
        ipa = gfn << self.shift
        if self.shadow.lookup(ipa)[1] & DIRTY == DIRTY:
            # Another leaf has the state now.
            return
        self.pending.discard(gfn)
        if not self.is_logged(gfn) or self.is_marked(gfn):
            return
        self.log.reported(ipa)
        if collected:
            return
        self.report(
            STATE_LOST,
            lost.level,
            f"the guest wrote the page at {ipa:#x} through a leaf with DBM; {self.text(lost.entry, lost.level)} was "
            "changed, and the page was not marked dirty",
            frozenset([ipa]),
            # The log is wrong, the tables need not be.
            taints=False,
            function=lost.function,
            where=lost.where,
        )
