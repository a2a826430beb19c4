# SPDX-License-Identifier: GPL-2.0-only
"""dirty-log: the dirty bitmap of an installed slot changes only by atomic operations.

Other vCPUs set bits of the bitmap at any time, and do not hold the mmu lock for it (``mark_page_dirty_in_slot()``
uses ``set_bit_le()``). A load and a store between which such a bit is set lose it. A bitmap that is not
installed yet, and the second half of its memory (``dirty_bitmap_buffer``), belong to one caller.

The checker judges the store itself, so it needs no second actor.
"""

from typing import Final

from .checker import GuestChecker
from .dirty_log import DirtyLog
from .guest_pages import GuestPages

STORED: Final = "dirty bitmap changed by a plain store"


class LogStore(GuestChecker):
    """Judges each store to a dirty bitmap that is no atomic operation."""

    rule = DirtyLog.rule

    def log_stored(self, vmid: int, slot: int, gfn: int, pages: int) -> None:
        if vmid != self.vmid:
            return
        start, end = gfn << self.granule.page_shift, gfn + pages << self.granule.page_shift
        reason = f"slot {slot}, {pages} page(s) from {start:#x}: a bit that another vCPU sets meanwhile is lost"
        stored = GuestPages([(start, end)], self.granule.page_size)
        self.report(STORED, -1, reason, stored, taints=False, function=self.kernel.entry)
