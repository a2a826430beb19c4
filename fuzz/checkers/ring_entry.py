# SPDX-License-Identifier: GPL-2.0-only
"""dirty-log: an entry of a dirty ring is filled, and a barrier of stores follows, before its flag is set.

User space reads the mapped ring at any time, and trusts an entry once it has KVM_DIRTY_GFN_F_DIRTY
(``kvm_dirty_ring_push()``). The checker judges the push itself, so it needs no reader. Only kernel trees have rings.
"""

from typing import Final

from .checker import GuestChecker
from .dirty_log import DirtyLog

EARLY: Final = "dirty ring entry published before it was filled"
UNORDERED: Final = "dirty ring entry published without a barrier"


class RingEntry(GuestChecker):
    """Judges each push to a dirty ring."""

    rule = DirtyLog.rule

    def ring_early(self, vmid: int, gfn: int, filled: bool) -> None:
        if vmid != self.vmid:
            return
        ipa = gfn << self.granule.page_shift
        reason = f"the entry of {ipa:#x}: user space may find its flag with the slot and page of an older entry"
        what = UNORDERED if filled else EARLY
        self.report(what, -1, reason, frozenset([ipa]), taints=False, function=self.kernel.entry)
