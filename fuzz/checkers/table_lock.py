# SPDX-License-Identifier: GPL-2.0-only
"""locking: live entries are written only under the mmu lock, and among its readers by compare-exchange only."""

from reference.machine.descriptor import AF_BIT, LEAF, VALID_BIT, kind, memattr, same_address

from ..language.operations import Operation
from ..sides.guest import Guest
from .checker import GuestChecker, Peers
from .locking import Locking
from .shadow import Shadow


class TableLock(GuestChecker):
    """Judges each store to an entry that the hardware can reach.

    Nothing runs on tables that are being created or destroyed; the hardware sets
    the access flag without a lock. Under the lock held for reading, several vCPUs handle faults
    at once. Then an actor claims an entry by a compare-exchange, and only the actor that has won one
    that left a marker may store to the entry (``stage2_try_break_pte()``, ``stage2_make_pte()``).
    """

    rule = Locking.rule

    def __init__(self, guest: Guest, peers: Peers) -> None:
        super().__init__(guest, peers)
        self.shadow = peers.at(Shadow, guest)
        self.destroying = False
        # (actor, entry) pairs: the actor's compare-exchange left a marker in the entry.
        self.marked: set[tuple[int, int]] = set()

    def before_operation(self, op: Operation | None) -> None:
        if self.marked:
            self.marked.clear()

    def before_destruction(self) -> None:
        self.destroying = True

    def changed(self, ipa: int, level: int, ptep: int, old: int, new: int) -> None:
        if self.shadow.by_hardware or self.guest.creating or self.destroying:
            return
        if "mmu" in self.kernel.locks:
            if self.kernel.mmu_shared and (self.side.exchanges_shared or not self.keeps_mapping(level, old, new)):
                self.among_readers(ipa, level, ptep, old, new)
            return
        if self.ages_as_reader(old, new):
            return
        self.report(
            "entry written without mmu_lock",
            level,
            f"{self.text(old, level)} -> {self.text(new, level)} at {ipa:#x}",
            frozenset([ipa]),
            taints=False,
        )

    def keeps_mapping(self, level: int, old: int, new: int) -> bool:
        """Return whether a store changes rights and access flag of a leaf alone.

        Before v6.2, vCPUs relax rights under the mmu lock for reading by plain stores: two of them agree on the rest of
        the leaf. What maps, unmaps or replaces an entry holds it for writing (f587661f21eb, v5.18).
        """
        granule = self.granule
        return (
            kind(old, level, granule) == kind(new, level, granule) == LEAF
            and same_address(old, new, granule)
            and memattr(old) == memattr(new)
        )

    def ages_as_reader(self, old: int, new: int) -> bool:
        """Return whether a store needs no mmu lock because the version ages pages without it.

        The store is a compare-exchange, so it fails if another actor changed the entry; RCU keeps the table.
        """
        return (
            self.side.version.main.AGES_WITHOUT_LOCK
            and self.kernel.exchanging
            and self.kernel.rcu_depth > 0
            and old & VALID_BIT != 0
            and old ^ new == AF_BIT
        )

    def among_readers(self, ipa: int, level: int, ptep: int, old: int, new: int) -> None:
        """Judge a store under the mmu lock while other readers may hold it too."""
        mark = self.kernel.actor, ptep
        if self.kernel.exchanging:
            if new and not new & VALID_BIT:
                self.marked.add(mark)
            else:
                self.marked.discard(mark)
            return
        if mark in self.marked:
            self.marked.discard(mark)
            return
        self.report(
            "entry written without a compare-exchange under mmu_lock for reading",
            level,
            f"{self.text(old, level)} -> {self.text(new, level)} at {ipa:#x}: "
            "another vCPU that handles a fault may change it meanwhile, and its change is lost",
            frozenset([ipa]),
            taints=False,
        )
