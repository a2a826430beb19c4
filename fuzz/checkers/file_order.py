# SPDX-License-Identifier: GPL-2.0-only
"""fault-order: a guest_memfd unmaps a page before the page leaves the file.

The file is code under test, and no notifier tells KVM that it loses a page: ``kvm_gmem_punch_hole()`` unmaps the
range first, while an invalidation is in progress, and frees its pages then. In the other order a guest reaches a frame
that may already have another owner. At the end of the call nothing shows that.
"""

from typing import Final

from reference.machine.descriptor import address_bits

from ..sides.guest import Guest
from .checker import GuestChecker, Peers
from .fault_order import FaultOrder
from .guest_pages import GuestPages, Range
from .shadow import Shadow

MAPPED: Final = "page left the guest_memfd before it was unmapped"


class FileOrder(GuestChecker):
    """Judges the leaves of pages that are about to leave a guest_memfd."""

    rule = FaultOrder.rule

    def __init__(self, guest: Guest, peers: Peers) -> None:
        super().__init__(guest, peers)
        self.shadow = peers.at(Shadow, guest)

    def file_loses(self, start: int, end: int) -> None:
        left: list[Range] = []
        for first, last in self.guest.ipa_ranges(start, end):
            for level, base, entry in self.shadow.leaves_in(first, last):
                ipa = max(base, first)
                pfn = address_bits(entry, self.granule) + ipa - base >> self.granule.page_shift
                # A leaf that maps another frame is reported by the translation checker.
                if self.guest.maps_backing(ipa, pfn):
                    left.append((ipa, min(base + self.granule.level_size(level), last)))
        if left:
            reason = f"{len(left)} leaf(s), the first at {left[0][0]:#x}, are still mapped when the pages leave the "
            reason += "file: until they are unmapped, the guest reaches frames that may have another owner"
            self.report(
                MAPPED,
                -1,
                reason,
                GuestPages(left, self.granule.page_size),
                taints=False,
                function=self.kernel.entry,
            )
