# SPDX-License-Identifier: GPL-2.0-only
"""translation: relaxing permissions removes no right.

``kvm_pgtable_stage2_relax_perms()`` adds the rights that the caller asks for, and keeps all others of
a leaf. The same holds for faults, which take its path if a leaf is already there.
"""

from typing import Final

from reference.machine.descriptor import LEAF, VALID_BIT, address_bits, kind

from ..language.operations import GuestAccess, GuestPrefault, Operation, TableRelax
from ..sides.guest import RESET_RINGS, Guest
from ..sides.outcome import Outcome
from .checker import GuestChecker, Peers
from .lost_rights import lost
from .shadow import Shadow
from .translation import Translation

# The text for a right removed while a fault is handled.
FAULTING: Final = "right removed while a fault is handled"


class Rights(GuestChecker):
    """Judges each store that keeps a leaf's output address, while a fault is handled or a leaf is relaxed.

    A leaf that is broken and made anew by a fault may allow less than before, but not by a relax call. Changes by
    the host's notifications meanwhile, to break copy-on-write, do not count; neither does write-protection when user
    space empties the dirty rings between two faults.
    """

    rule = Translation.rule

    def __init__(self, guest: Guest, peers: Peers) -> None:
        super().__init__(guest, peers)
        self.shadow = peers.at(Shadow, guest)
        self.notifications = self.side.notifications
        # The text for a removed right while one is looked for; "" otherwise.
        self.what = ""
        # In a par block: the actors that handle faults.
        self.handling: set[int] = set()
        self.place = -1
        # The leaf to be relaxed: its level, -1 for none, and descriptor.
        self.level = -1
        self.entry = 0

    def before_operation(self, op: Operation | None) -> None:
        self.what = ""
        self.handling.clear()
        self.level = -1
        if isinstance(op, (GuestAccess, GuestPrefault)):
            self.what = FAULTING
        elif isinstance(op, TableRelax):
            self.what = "right removed by relaxing"
            layout = self.side.by_name[op.slot]
            if layout.slot.vm == self.guest.number:
                self.place = layout.ipa + op.offset
                self.level, self.entry = self.shadow.lookup(self.place)

    def actor_begins(self, op: Operation) -> None:
        if isinstance(op, (GuestAccess, GuestPrefault)):
            self.handling.add(self.kernel.actor)
            self.what = FAULTING
        else:
            self.handling.discard(self.kernel.actor)

    def changed(self, ipa: int, level: int, ptep: int, old: int, new: int) -> None:
        if not self.what or not old & new & VALID_BIT:
            return
        actor = self.kernel.actor
        if (actor and actor not in self.handling) or self.notifications.notifying or self.kernel.entry == RESET_RINGS:
            return
        if self.same_leaf(old, new, level):
            self.judge(ipa, level, old, new)

    def same_leaf(self, old: int, new: int, level: int) -> bool:
        """Return whether two entries of a level are leaves with the same output address."""
        granule = self.granule
        if kind(old, level, granule) != LEAF or kind(new, level, granule) != LEAF:
            return False
        return address_bits(old, granule) == address_bits(new, granule)

    def judge(self, ipa: int, level: int, old: int, new: int) -> None:
        """Judge a leaf that changed from *old* to *new* (0: none)."""
        rights = lost(old, new, self.guest.regime.dirty)
        if not rights:
            return
        # Reported once: later changes in the operation are compared with the remaining rights.
        self.level = -1
        reason = f"{self.text(old, level)} at {ipa:#x} became {self.text(new, level)}: no {rights} from here on"
        self.report(self.what, level, reason, frozenset([ipa]))

    def after_operation(self, op: Operation | None, outcome: Outcome) -> None:
        if self.level < 0 or outcome.status != "ok" or self.guest.notified.guest_ranges:
            return
        level, now = self.shadow.lookup(self.place)
        if level != self.level or not self.same_leaf(self.entry, now, level):
            now = 0
        size = 1 << self.granule.shifts[self.level]
        self.judge(self.place & -size, self.level, self.entry, now)
