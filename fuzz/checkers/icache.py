# SPDX-License-Identifier: GPL-2.0-only
"""icache: no frame becomes executable while an instruction cache may hold what was there before.

Without DIC only. A frame that becomes executable at a guest address must have
been invalidated since the host last wrote to it before the fault, and not before the data
side of the same fault was cleaned: what an instruction cache fetches in
between is stale again.
"""

from reference.machine.descriptor import LEAF, VALID_BIT, XN_BIT, address_bits, kind
from reference.machine.memory import FIRST_PFN
from reference.machine.spans import Spans

from ..guest import Guest
from ..operations import Operation
from .base import GuestChecker
from .shadow import Shadow


class Icache(GuestChecker):
    """Judges each leaf that becomes executable."""

    name = "icache"

    def __init__(self, guest: Guest, shadow: Shadow) -> None:
        super().__init__(guest)
        self.shadow = shadow
        self.shifts = self.granule.shifts
        # Frames invalidated in this operation while host data was in the data
        # cache only: index of the first, index behind the last.
        self.early: list[tuple[int, int]] = []
        # Frames where that data was cleaned only afterwards.
        self.refetched: set[int] = set()
        # What was dirty when the operation's first invalidation came.
        self.dirty_then = Spans()

    def begin(self, op: Operation | None) -> None:
        self.early.clear()
        self.refetched.clear()

    def range_of(self, pa: int, size: int) -> tuple[int, int]:
        """Frame indices that a physical range covers."""
        shift = self.granule.page_shift
        start = (pa >> shift) - FIRST_PFN
        end = ((pa + size - 1) >> shift) - FIRST_PFN + 1
        return max(start, 0), max(end, 0)

    def icache(self, pa: int, size: int) -> None:
        start, end = self.range_of(pa, size)
        if self.refetched:
            self.refetched = {index for index in self.refetched if not start <= index < end}
        if not self.guest.fwb and self.guest.memory.host_dirty.find(1, start, end) >= 0:
            self.early.append((start, end))
            self.dirty_then = self.guest.memory.host_dirty.copy()

    def icache_all(self) -> None:
        self.icache(FIRST_PFN << self.granule.page_shift, self.guest.memory.frames << self.granule.page_shift)

    def dcache(self, pa: int, size: int) -> None:
        if not self.early:
            return
        start, end = self.range_of(pa, size)
        for first, last in self.early:
            low, high = max(first, start), min(last, end)
            if low < high:
                self.refetched.update(self.dirty_then.indices(1, low, high))

    def changed(self, ipa: int, level: int, ptep: int, old: int, new: int) -> None:
        if self.guest.dic or not new & VALID_BIT or new & XN_BIT or kind(new, level, self.granule) != LEAF:
            return
        shift = self.granule.page_shift
        start = (address_bits(new, self.granule) >> shift) - FIRST_PFN
        end = start + (1 << (self.shifts[level] - shift))
        self.judge(ipa, level, new, start, end)

    def judge(self, ipa: int, level: int, new: int, start: int, end: int) -> None:
        """Frames *start* to *end* (indices) become executable from *ipa* on."""
        shift = self.granule.page_shift
        stale_code = self.guest.memory.stale_code
        if start < 0 or (stale_code.find(1, start, end) < 0 and not self.refetched):
            return
        if not self.guest.maps_backing(ipa, start + FIRST_PFN):
            # A leaf that is wrong is the translation checker's business.
            return
        before = self.shadow.exposed_before(ipa, ipa + (1 << self.shifts[level]))
        stale: list[int] = []
        for index in stale_code.indices(1, start, end):
            page = ipa + ((index - start) << shift)
            if before.empty or not before.maps(page, (index + FIRST_PFN) << shift, XN_BIT, 0):
                stale.append(page)
        if stale:
            self.report(
                "executable, not invalidated",
                level,
                f"{self.text(new, level)} at {ipa:#x}: {len(stale)} frame(s) written by the host since the last "
                f"invalidation, the first at {stale[0]:#x}",
                frozenset(stale),
                taints=False,
            )
        early = [
            ipa + ((index - start) << shift)
            for index in sorted(self.refetched)
            if start <= index < end
            and not before.maps(ipa + ((index - start) << shift), (index + FIRST_PFN) << shift, XN_BIT, 0)
        ]
        if early:
            self.report(
                "invalidated before the data side was cleaned",
                level,
                f"{self.text(new, level)} at {ipa:#x}: {len(early)} frame(s) whose data reached memory only after "
                f"the instruction cache was invalidated, the first at {early[0]:#x}",
                frozenset(early),
                taints=False,
            )
