# SPDX-License-Identifier: GPL-2.0-only
"""lifetime: no table page is used, walked or stored to after it was freed, nor freed while it is in use."""

from typing import Final

from reference.machine.address_space import ABSENT
from reference.machine.arena import UNWRITTEN
from reference.machine.descriptor import LEAF, VALID_BIT, address_bits, kind, memattr, same_address
from reference.machine.walk import LOST, Walk

from ..language.operations import Operation
from ..sides.guest import ROOT_LEFT, Guest
from ..sides.outcome import Outcome
from ..sides.side import Side
from .checker import Checker, Peers
from .guest_pages import GuestPages, guest_pages
from .shadow import Shadow
from .tlb import Tlb

# How a call affects references of a page that is no table, keyed by function; other functions drop one.
NO_TABLE: Final = {
    "get_page": "reference taken on a non-table page",
    "page_count": "references counted on a non-table page",
}


class Lifetime(Checker):
    """Judges every event that names a table page.

    Destroying the tables owes no flushes: nothing runs on them by then.
    To ensure that, a linked root must be unlinked before the first reference
    is dropped (``kvm_free_stage2_pgd()``). A creation that fails owes nothing: the VM is on
    no list and has no notifier yet (``kvm_create_vm()``).
    """

    rule = Shadow.rule

    def __init__(self, side: Side, peers: Peers) -> None:
        super().__init__(side, peers)
        self.shadows = peers.each(Shadow)
        self.tlbs = peers.each(Tlb)
        self.destroying = False
        # The linked tables of a VM that ends while others continue, taken before it ends.
        self.going: set[int] = set()
        # Table pages reported as stored to before their flush. No page number is used twice.
        self.early: set[int] = set()
        # VMs whose root was reported as still linked.
        self.reported: list[Guest] = []
        # A walk of this operation was reported as not an RCU reader.
        self.reported_walks = False
        # Table pages that RCU frees once its readers have left -> number of the callback that frees them.
        self.handed: dict[int, int] = {}
        # Table pages that may have unwritten entries and were not reported yet.
        self.unzeroed: set[int] = set()

    def before_destruction(self) -> None:
        self.destroying = True

    def vm_ending(self, guest: Guest) -> None:
        tables = self.shadows[guest.number].by_page.values()
        self.going = {table.page for table in tables if table.live}

    def vm_ended(self, guest: Guest) -> None:
        self.going.clear()

    def is_being_destroyed(self, page: int) -> bool:
        """Return whether the tables that a page belongs to are being destroyed."""
        return self.destroying or page in self.going

    def before_operation(self, op: Operation | None) -> None:
        self.reported_walks = False

    def used(self, page: int, how: str) -> None:
        """Judge a use of a table page, which must not be free."""
        if self.kernel.counts[page] <= 0:
            reason = f"table page {page} was freed before"
            self.report(f"{how} a freed table", -1, reason, grave=True, table=page, ruins=True)

    def warn(self, label: str) -> None:
        if label == ROOT_LEFT:
            root = self.side.active.kvm.root
            assert root is not None
            reason = "kvm_init_stage2_mmu() failed, and mmu->pgt still points to the kvm_pgtable that it made"
            where = self.kernel.last.allocated(root.pgd // self.kernel.entries)
            if where:
                where += ", where its root was allocated"
            what, function = "root linked after a failed creation", self.kernel.entry
            self.report(what, -1, reason, taints=False, function=function, where=where)

    def contents(self, ptep: int, count: int, word: int) -> None:
        if word == UNWRITTEN:
            self.unzeroed.add(ptep // self.kernel.entries)

    def unwritten(self, ptep: int) -> None:
        page, index = divmod(ptep, self.kernel.entries)
        if page in self.unzeroed:
            self.report_unzeroed(page, "walk of a table that was not zeroed", f"entry {index} is read")

    def after_operation(self, op: Operation | None, outcome: Outcome) -> None:
        """Judge the root of a new VM, whose vCPUs may run from here on."""
        if op is None and self.unzeroed and outcome.status == "ok":
            self.reachable_unzeroed("root that was not zeroed", True)

    def reachable_unzeroed(self, what: str, roots: bool) -> None:
        """Judge the reachable tables that have entries that nobody wrote: the hardware may read each entry."""
        for page in sorted(self.unzeroed):
            first = page * self.kernel.entries
            left = self.kernel.words.part(first, self.kernel.entries).count(UNWRITTEN)
            if not left:
                self.unzeroed.discard(page)
            elif self.is_linked(page) and self.is_root(page) == roots:
                self.report_unzeroed(page, what, f"{left} of them are not written", roots)

    def report_unzeroed(self, page: int, what: str, how: str, root: bool = False) -> None:
        """Report a table page, once.

        :param root: it is a root, judged after the creation of its VM
        """
        self.unzeroed.discard(page)
        function = "kvm_init_stage2_mmu" if root else ""
        where = self.kernel.last.allocated(page) if root else ""
        reason = f"table page {page} was allocated without __GFP_ZERO, and its entries were not written since: {how}"
        self.report(what, -1, reason, function=function, grave=True, table=page, where=where, ruins=True)

    def walk_table(self, table: int, level: int) -> None:
        page = table // self.kernel.entries
        if page < 0 or page >= len(self.kernel.counts):
            self.report("walk of a non-table page", level, f"index {table} is outside of all table pages", ruins=True)
            return
        self.used(page, "walk of")
        if self.handed:
            self.used_by_no_reader(page, level, "walk of")
        if self.kernel.mmu_shared and not self.kernel.rcu_depth and self.side.walks_under_rcu:
            self.walked_unprotected(page)

    def used_by_no_reader(self, page: int, level: int, how: str) -> None:
        """Judge the use of a table page that was handed to RCU: only RCU readers may still use it."""
        if page not in self.handed or self.kernel.rcu_depth:
            return
        del self.handed[page]
        self.report(
            f"{how} a table that was handed to RCU, outside of rcu_read_lock",
            level,
            f"call_rcu() frees table page {page} once all RCU readers have left: it may be free by now, because this "
            "is not a reader",
            table=page,
        )

    def walked_unprotected(self, page: int) -> None:
        """Judge a walk beside others that is no RCU reader: an actor that cuts the table off does not wait for it."""
        if self.reported_walks or not self.is_linked(page):
            return
        self.reported_walks = True
        self.report(
            "walk under a shared mmu_lock outside of rcu_read_lock",
            -1,
            f"table page {page} is walked with the mmu lock held for reading; an actor that cuts it off waits for RCU "
            "readers only",
            taints=False,
            table=page,
        )

    def store(self, ptep: int, old: int, new: int, release: bool) -> None:
        page = ptep // self.kernel.entries
        self.used(page, "store to")
        if self.handed:
            self.used_by_no_reader(page, -1, "store to")
        if self.unzeroed:
            self.reachable_unzeroed("table entered that was not zeroed", False)
        for number, tlb in enumerate(self.tlbs):
            if tlb.owed.pinned and page in tlb.owed.pinned and old != new:
                self.stored(ptep, old, new, number)

    def is_other_reader(self, number: int, page: int) -> bool:
        """Return whether an RCU reader runs that is another actor than the one that cut a table page off.

        The reader was in the table before, and its stores go away with the table (``stage2_free_unlinked_table()``).
        """
        owed = self.tlbs[number].owed
        return (
            self.side.walks_under_rcu
            and self.kernel.rcu_depth > 0
            and owed.tables[owed.pinned[page]].actor != self.kernel.actor
        )

    def covered(self, level: int, old: int, new: int) -> bool:
        """Return whether the pending flush covers what CPUs may hold of an entry, before and after a change.

        It does if one of the two is invalid, or if both are leaves that differ in rights alone.
        """
        if not old & new & VALID_BIT:
            return True
        granule = self.granule
        return (
            kind(old, level, granule) == kind(new, level, granule) == LEAF
            and same_address(old, new, granule)
            and memattr(old) == memattr(new)
        )

    def stored(self, ptep: int, old: int, new: int, number: int) -> None:
        """Judge an entry written in a table page that a walk cache of VM *number* may lead to.

        The hardware may walk it until the flush. A table that was linked again counts as live.
        """
        page, index = divmod(ptep, self.kernel.entries)
        table = self.shadows[number].by_page.get(page)
        if table is None or table.live or page in self.early or self.is_being_destroyed(page):
            return
        level = table.level
        if self.is_other_reader(number, page) and self.covered(level, old, new):
            return
        self.early.add(page)
        ipa = table.base + index * self.granule.level_size(level)
        self.report(
            "store to a table before the flush that covers it",
            level,
            f"table page {page}, {ipa:#x}: {self.text(old, level)} -> {self.text(new, level)}, "
            f"where a CPU may still walk: {self.tlbs[number].owes_table(page)}",
            table=page,
        )

    def get(self, page: int, count: int) -> None:
        if count <= 1:
            reason = f"table page {page} was freed before"
            self.report("reference to a freed table", -1, reason, grave=True, table=page, ruins=True)

    def put(self, page: int, count: int) -> None:
        self.dropped(page, count)

    def free(self, page: int, count: int) -> None:
        self.dropped(page, count)

    def free_exact(self, page: int, count: int) -> None:
        # A page of the root, which may be freed again before it is ever used.
        self.not_twice(page, count)
        if self.is_being_destroyed(page):
            self.destroyed_while_linked(page, count)

    def not_twice(self, page: int, count: int) -> None:
        """Judge a dropped reference: below zero the page was already free."""
        if count < 0:
            self.report("double free", -1, f"table page {page} was freed before", grave=True, table=page, ruins=True)

    def dropped(self, page: int, count: int) -> None:
        """Judge a dropped reference: at zero the page is free."""
        self.not_twice(page, count)
        destroyed = self.is_being_destroyed(page)
        if destroyed:
            self.destroyed_while_linked(page, count)
        if count == 0:
            self.handed.pop(page, None)
            self.unzeroed.discard(page)
        if count != 0 or destroyed:
            return
        for shadow in self.shadows:
            for table in shadow.roots:
                if table.page == page:
                    self.report("root freed", table.level, f"root page {page} is in use", table=page)
        parent = self.parent_of(page)
        if parent:
            self.report("freed while reachable", -1, f"table page {page} is freed; {parent}", table=page)
        for tlb in self.tlbs:
            owed = tlb.owes_table(page)
            if owed:
                reason = f"table page {page} is freed, a walk cache may hold it: {owed}"
                self.report("freed before the flush", -1, reason, table=page)
        for shadow in self.shadows:
            cut = shadow.shared_cuts.pop(page, None)
            if cut is not None and self.may_be_read(cut):
                reason = (
                    f"table page {page} was cut off with the mmu lock held for reading, and is freed before an RCU "
                    "grace period that began later has ended: another walk may still be in it"
                )
                self.report("freed before a grace period", -1, reason, table=page)

    def may_be_read(self, cut: tuple[int, int]) -> bool:
        """Return whether a walk that began before a table was cut off may still be in it."""
        posted, holds = cut
        return self.kernel.rcu_passed <= posted and self.kernel.mmu_holds == holds

    def call_rcu(self, number: int, page: int) -> None:
        """Judge a page that is to be freed once all current readers have left: it must no longer be reachable."""
        if page < 0 or self.is_being_destroyed(page):
            return
        self.handed[page] = number
        parent = "it is a root" if self.is_root(page) else self.parent_of(page)
        if parent:
            reason = f"call_rcu() is to free table page {page}, which is still reachable: {parent}"
            self.report("handed to RCU while reachable", -1, reason, table=page)

    def rcu_callback(self, number: int) -> None:
        """Forget the pages that the callback is about to free: it may use them, and no other code reaches them."""
        self.handed = {page: by for page, by in self.handed.items() if by != number}

    def destroyed_while_linked(self, page: int, count: int) -> None:
        """Judge a reference dropped while tables are destroyed: nobody may find their root.

        Unmapping also drops references, but holds the lock and clears the entry first. A table that was cut off
        before is unreachable, and RCU may free it at any time.
        """
        guest = self.side.active
        if guest.kvm.pgt is None or guest in self.reported or page not in self.shadows[guest.number].by_page:
            return
        if self.kernel.entry.startswith("kvm_pgtable_hyp_"):
            return
        if ("mmu" in self.kernel.locks and count) or not (self.is_root(page) or self.parent_of(page)):
            return
        self.reported.append(guest)
        self.report(
            "destroyed while the root is linked",
            -1,
            f"table page {page} loses a reference and kvm->arch.mmu.pgt of VM {guest.number} is not NULL yet: "
            "a notifier may walk freed tables",
            taints=False,
            function=self.kernel.entry,
            table=page,
        )

    def is_linked(self, page: int) -> bool:
        """Return whether the hardware can reach a table page."""
        for shadow in self.shadows:
            table = shadow.by_page.get(page)
            if table is not None and table.live:
                return True
        return False

    def is_root(self, page: int) -> bool:
        """Return whether a table page is part of a root."""
        for shadow in self.shadows:
            for table in shadow.roots:
                if table.page == page:
                    return True
        return False

    def no_table(self, call: str, page: int) -> None:
        """Judge references to a page that is no table, such as guest memory, which nobody may free."""
        pa = self.kernel.base + (page << self.granule.page_shift)
        whose, pages = self.owner_of(pa >> self.granule.page_shift)
        what = NO_TABLE.get(call, "reference dropped on a non-table page")
        reason = f"{call}() of physical address {pa:#x}, which is not a table page: {whose}"
        self.report(what, -1, reason, pages, grave=True)

    def owner_of(self, pfn: int) -> tuple[str, GuestPages]:
        """Return the owner of a frame as text, and the guest addresses whose host memory it is."""
        text = ""
        pages = GuestPages((), self.granule.page_size)
        for guest in self.side.guests:
            for layout in guest.layouts:
                end = layout.hva + layout.size
                for hva, stop, run in self.side.host.pieces(layout.hva, end) if layout.live else ():
                    place = hva + (pfn - self.side.host.pfn_in(run, hva) << self.granule.page_shift)
                    if hva <= place < stop and not run.flags & ABSENT and (run.stride or place == hva):
                        ipa = layout.ipa + place - layout.hva
                        text = text or f"frame {pfn:#x}, guest memory at {ipa:#x} of slot {layout.slot.name}"
                        page = guest_pages(frozenset([ipa]), self.granule.page_size)
                        pages = pages.joined(page.in_vm(guest.number))
        if text:
            return text, pages
        if self.side.memory.index_of(pfn) >= 0:
            return f"frame {pfn:#x}, which is in no slot now", pages
        return f"frame {pfn:#x}, which was never handed out", pages

    def parent_of(self, page: int) -> str:
        """Return a text for the live entry that still points to a table page; "" if none does."""
        for shadow in self.shadows:
            for table in shadow.by_page.values():
                if table.live:
                    for index, child in table.children.items():
                        if child.page == page:
                            return f"entry {index} of live table page {table.page} names it"
        return ""

    def went_through(self, page: int, cpu: int, ipa: int, level: int) -> bool:
        """Judge a table page that a hardware walk went through; return whether it is free."""
        counts = self.kernel.counts
        if page < 0 or page >= len(counts) or counts[page] > 0:
            return False
        reason = f"cpu{cpu} at {ipa:#x} went through table page {page}"
        self.report("hardware walk of a freed table", level, reason, grave=True, table=page, ruins=True)
        return True

    def translated(self, cpu: int, access: int, ipa: int, walk: Walk) -> None:
        base, shift = self.kernel.base, self.granule.page_shift
        for _, _, entry in walk.tables:
            if self.went_through((address_bits(entry, self.granule) - base) >> shift, cpu, ipa, walk.level):
                return
        if walk.fault != LOST and walk.ptep >= 0:
            if self.went_through(walk.ptep // self.kernel.entries, cpu, ipa, walk.level):
                return
        if walk.fault == LOST:
            reason = f"cpu{cpu} at {ipa:#x} left the tables"
            self.report("hardware walk of a non-table page", walk.level, reason, ruins=True)
