# SPDX-License-Identifier: GPL-2.0-only
"""translation: between the halves of an MMU notifier's invalidation, nothing in its range is mapped."""

from typing import Final

from reference.machine.descriptor import VALID_BIT, same_address

from ..language.operations import Operation, Par
from ..sides.guest import Guest
from ..sides.notified import Watcher
from .checker import GuestChecker, Peers
from .shadow import Shadow
from .translation import Translation

# Faults of a leaf that maps what the host has changed since.
STALE: Final = ("wrong frame", "writable, the host's page is not")


class InvalidatedRange(GuestChecker):
    """Judges the leaves of an invalidated range when the first half has returned, and again when the pages changed."""

    rule = Translation.rule
    on_demand = True

    def __init__(self, guest: Guest, peers: Peers) -> None:
        super().__init__(guest, peers)
        self.shadow = peers.at(Shadow, guest)
        self.translation = peers.at(Translation, guest)
        # In a par block: the number of leaves made so far; by address, the number and maker of each leaf; by actor, the
        # number of leaves when its current invalidation began.
        self.leaves = 0
        self.made: dict[int, tuple[int, int]] = {}
        self.since: dict[int, int] = {}
        # A par block runs, so that `changed` is called.
        self.block = False
        guest.notified.watchers.append(BetweenHalves(self))

    def before_operation(self, op: Operation | None) -> None:
        self.made.clear()
        block = isinstance(op, Par)
        if block != self.block:
            self.block = block
            if block:
                self.shadow.observe(self)
            else:
                self.shadow.dismiss(self)

    def before_destruction(self) -> None:
        self.before_operation(None)

    def changed(self, ipa: int, level: int, ptep: int, old: int, new: int) -> None:
        # If only rights or the access flag changed, the leaf was there before.
        if self.kernel.actor and new & VALID_BIT and not (old & VALID_BIT and same_address(old, new, self.granule)):
            self.leaves += 1
            self.made[ipa] = self.leaves, self.kernel.actor

    def invalidated(self, start: int, end: int) -> None:
        since = self.since.get(self.kernel.actor, 0)
        for first, last in self.guest.ipa_ranges(start, end):
            for level, ipa, entry in self.shadow.leaves_in(first, last):
                number, maker = self.made.get(ipa, (0, 0))
                if 0 <= since < number and maker != self.kernel.actor:
                    # Made meanwhile, by ``change_pte()`` of another actor: it is judged when the pages have changed.
                    continue
                if self.of_old_place(level, ipa, entry, start, end):
                    continue
                self.report(
                    "still mapped after invalidation",
                    level,
                    f"{self.text(entry, level)} at {ipa:#x} is still there after {self.kernel.entry}() "
                    f"of [{first:#x}, {last:#x})",
                    frozenset([ipa]),
                )

    def of_old_place(self, level: int, ipa: int, entry: int, start: int, end: int) -> bool:
        """Return whether a leaf maps other pages than host addresses [start, end).

        If a slot moves over its own old place, the old mappings stay until they are unmapped.
        """
        leaving = self.guest.leaving_at(ipa)
        if leaving is None:
            return False
        hva = leaving.hva + ipa - leaving.ipa
        other = hva >= end or hva + self.granule.level_size(level) <= start
        return other and not self.translation.backing.fault_in(leaving, level, ipa, entry)[0]

    def invalidating(self) -> None:
        # Until the actor has the mmu lock, faults may map.
        self.since[self.kernel.actor] = -1

    def lock(self, name: str, vmid: int) -> None:
        if self.since and name == "mmu" and vmid == self.vm_vmid and self.since.get(self.kernel.actor, 0) < 0:
            self.since[self.kernel.actor] = self.leaves

    def host_changed(self, start: int, end: int) -> None:
        """Judge leaves of host addresses [start, end), whose pages have changed: in a par block, none may be stale now.

        Steps that a fault has still to do, such as marking a page, are judged when all actors have returned.
        """
        for first, last in self.guest.ipa_ranges(start, end) if self.kernel.actor else ():
            for level, ipa, entry in self.shadow.leaves_in(first, last):
                wrong, page = self.translation.backing.fault_of(level, ipa, entry)
                if wrong in STALE:
                    self.translation.wrong(wrong, page, level, ipa, entry)


class BetweenHalves(Watcher):
    """Lets the checker look at the tables between the halves of an invalidation."""

    def __init__(self, checker: InvalidatedRange) -> None:
        self.checker = checker

    def invalidating(self) -> None:
        self.checker.invalidating()

    def invalidated(self, start: int, end: int) -> None:
        self.checker.invalidated(start, end)

    def invalidation_ended(self, start: int, end: int) -> None:
        self.checker.host_changed(start, end)
