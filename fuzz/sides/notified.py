# SPDX-License-Identifier: GPL-2.0-only
"""The notifications that reach a VM: the ranges of an operation, and callbacks around each half of an invalidation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reference.compiled.annotations import mypyc_attr
from reference.machine.address_space import NotifierReceiver

if TYPE_CHECKING:
    from .guest import Guest, SlotLayout


@mypyc_attr(allow_interpreted_subclasses=True)
class Watcher:
    """Callbacks around each half of an invalidation, which may inspect the tables."""

    def invalidating(self) -> None:
        """Called before ``invalidate_range_start()``."""

    def invalidation_ended(self, start: int, end: int) -> None:
        """Called when ``invalidate_range_end()`` for host addresses [start, end) has returned."""

    def invalidated(self, start: int, end: int) -> None:
        """Called when ``invalidate_range_start()`` for host addresses [start, end) has returned."""


class Notified(NotifierReceiver):
    """Passes notifications on to KVM, and records the ranges of this operation.

    *ranges*: [start, end) in host addresses; *guest_ranges*: the guest addresses
    that map them; *watchers*: are called for each
    """

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        self.main = guest.main
        self.ranges: list[tuple[int, int]] = []
        self.guest_ranges: list[tuple[int, int]] = []
        # Ranges whose invalidation has begun, and not ended.
        self.under_way: list[tuple[int, int]] = []
        # Inside of invalidate_range_start(), or of another call that unmaps
        # permanently: everything unmapped must be left clean.
        self.unmapping = False
        # Inside of invalidate_range_start() alone.
        self.invalidating = False
        self.watchers: list[Watcher] = []

    def invalidate_range_start(self, start: int, end: int, blockable: bool) -> None:
        self.under_way.append((start, end))
        self.unmapping_begins(start, end)
        self.main.invalidate_range_start(start, end, blockable)
        self.unmapping_ends(start, end)

    def unmapping_begins(self, start: int, end: int) -> None:
        """Note that KVM is about to unmap host addresses [start, end)."""
        self.ranges.append((start, end))
        self.guest_ranges += self.guest.ipa_ranges(start, end)
        for watcher in self.watchers:
            watcher.invalidating()
        self.unmapping = self.invalidating = True

    def unmapping_ends(self, start: int, end: int) -> None:
        """Note that KVM has unmapped host addresses [start, end)."""
        self.unmapping = self.invalidating = False
        for watcher in self.watchers:
            watcher.invalidated(start, end)

    def lose(self, layout: SlotLayout, offset: int, size: int, failure: bool) -> int:
        """Remove pages from the guest_memfd of a slot: KVM itself unmaps them, without a notifier.

        :param offset: from the start of the slot, in bytes; likewise *size*
        :param failure: memory has failed; otherwise a hole is punched
        :returns: 0 or a negative errno
        """
        start = layout.hva + offset
        self.unmapping_begins(start, start + size)
        if failure:
            host = self.guest.host
            pfn = host.frame_of(start)
            ret = self.main.kvm_gmem_error_folio(layout.id, offset)
            # The call waits for a hole punch in progress, which removes the page; a new page may be there by now.
            if pfn >= 0 and host.frame_of(start) == pfn:
                host.poison(start)
        else:
            ret = self.main.kvm_gmem_punch_hole(layout.id, offset, size)
        self.unmapping_ends(start, start + size)
        for watcher in self.watchers:
            watcher.invalidation_ended(start, start + size)
        return ret

    def close(self, layout: SlotLayout) -> None:
        """Close the guest_memfd of a slot, which user space does not map then: KVM unmaps all of its pages."""
        start, end = layout.hva, layout.hva + layout.size
        self.unmapping_begins(start, end)
        self.main.kvm_gmem_release(layout.id, layout.size)
        self.unmapping_ends(start, end)
        for watcher in self.watchers:
            watcher.invalidation_ended(start, end)

    def forget(self) -> None:
        """Forget the ranges of the previous operation."""
        self.unmapping = self.invalidating = False
        self.ranges.clear()
        self.guest_ranges.clear()
        self.under_way.clear()

    def invalidate_range_end(self) -> None:
        self.main.invalidate_range_end()
        if self.under_way:
            start, end = self.under_way.pop()
            for watcher in self.watchers:
                watcher.invalidation_ended(start, end)

    def change_pte(self, hva: int, pfn: int) -> None:
        self.main.change_pte(hva, pfn)
