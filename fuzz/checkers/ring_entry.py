# SPDX-License-Identifier: GPL-2.0-only
"""dirty-log: a vCPU logs pages in its dirty ring; an entry is filled before its flag is set, with a barrier between.

User space reads the mapped ring at any time, and trusts an entry once it has KVM_DIRTY_GFN_F_DIRTY
(``kvm_dirty_ring_push()``). The checker judges the push itself, so it needs no reader. A bitmap beside the rings
(KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP) is for pages that no vCPU dirties: user space collects it once, when the VM stands
still. Only kernel trees have rings.
"""

from typing import Final

from .checker import GuestChecker
from .dirty_log import DirtyLog

EARLY: Final = "dirty ring entry published before it was filled"
BESIDE: Final = "page logged in the bitmap, not in the ring"
UNORDERED: Final = "dirty ring entry published without a barrier"


class RingEntry(GuestChecker):
    """Judges each push to a dirty ring, and each page that should have been pushed."""

    rule = DirtyLog.rule

    def ring_early(self, vmid: int, gfn: int, filled: bool) -> None:
        if vmid != self.vmid:
            return
        ipa = gfn << self.granule.page_shift
        reason = f"the entry of {ipa:#x}: user space may find its flag with the slot and page of an older entry"
        what = UNORDERED if filled else EARLY
        self.report(what, -1, reason, frozenset([ipa]), taints=False, function=self.kernel.entry)

    def log_beside_ring(self, vmid: int, gfn: int) -> None:
        if vmid != self.vmid:
            return
        ipa = gfn << self.granule.page_shift
        reason = f"a vCPU dirtied {ipa:#x}: its ring has no entry for it and never fills up, and user space that "
        reason += "collects rings while the VM runs does not learn of the page"
        self.report(BESIDE, -1, reason, frozenset([ipa]), taints=False, function=self.kernel.entry)
