# SPDX-License-Identifier: GPL-2.0-only
"""icache: no frame becomes executable while an instruction cache may hold its previous contents.

Without DIC only. A frame that becomes executable at a guest address must have
been invalidated since the host last wrote to it before the fault, and not before the same fault
cleaned its data side: an instruction cache may fetch stale contents in between.
"""

from reference.machine.descriptor import XN_BIT, address_bits
from reference.machine.spans import Spans
from reference.per_actor import PerActor, PerActorStates

from ..language.operations import Operation, Par
from ..sides.guest import Guest
from .beside import not_written, written_beside
from .checker import Peers
from .exposed import Exposed
from .guest_pages import GuestPages, Range
from .rule import Rule
from .severity import Severity
from .visible import VisibleLeaves


class EarlyInvalidations(PerActor):
    """The invalidations of an actor that preceded the clean of the data side.

    *early*: frames invalidated in this operation while the host's data was only in the data cache; *dirty*: the frames
    that were dirty when dirty frames were last invalidated
    """

    def __init__(self) -> None:
        self.early = Spans()
        self.dirty = Spans()

    def copy(self) -> "EarlyInvalidations":
        mine = EarlyInvalidations()
        mine.early, mine.dirty = self.early.copy(), self.dirty.copy()
        return mine


class Icache(VisibleLeaves):
    """Judges each leaf that becomes executable, by its own store or with its table."""

    rule = Rule(
        "icache",
        "memory that becomes executable was invalidated after its data side was cleaned",
        "a guest would execute instructions that are no longer there",
        Severity.CORRUPTION,
        rank=6,
    )

    def __init__(self, guest: Guest, peers: Peers) -> None:
        super().__init__(guest, peers)
        self.nothing_to_judge = guest.dic
        # State of the running actor: only the order of maintenance within one fault is judged.
        self.own = EarlyInvalidations()
        self.per_actor = PerActorStates(self.own)
        # Frames invalidated early, whose data the same actor has cleaned only afterwards.
        self.refetched = Spans()
        # Pages that threads of the host write in this operation.
        self.written: list[Range] = []

    def turn(self, actor: int) -> None:
        self.own = self.per_actor.of(actor)

    def before_operation(self, op: Operation | None) -> None:
        if self.own.early.size:
            self.own.early = Spans()
        if self.written or isinstance(op, Par):
            self.written = written_beside(self.guest, op)
        if self.refetched.size:
            self.refetched = Spans()

    def range_of(self, pa: int, size: int) -> tuple[int, int]:
        """Return the frame indices that a physical range covers."""
        shift = self.granule.page_shift
        start = (pa >> shift) - self.guest.memory.first
        end = ((pa + size - 1) >> shift) - self.guest.memory.first + 1
        return max(start, 0), max(end, 0)

    def icache(self, pa: int, size: int) -> None:
        start, end = self.range_of(pa, size)
        self.refetched.fill(start, min(end, self.refetched.size), 0)
        if not self.guest.fwb and self.guest.memory.host_dirty.find(1, start, end) >= 0:
            own = self.own
            own.early.grow(self.guest.memory.frames, 0)
            own.early.fill(start, min(end, own.early.size), 1)
            own.dirty = self.guest.memory.host_dirty.copy()

    def icache_all(self) -> None:
        self.icache(
            self.guest.memory.first << self.granule.page_shift, self.guest.memory.frames << self.granule.page_shift
        )

    def dcache(self, pa: int, size: int) -> None:
        own = self.own
        if not own.early.size:
            return
        for first, last, invalidated in own.early.runs(*self.range_of(pa, size)):
            for begin, stop, dirty in own.dirty.runs(first, last) if invalidated else ():
                if dirty:
                    self.refetched.grow(self.guest.memory.frames, 0)
                    self.refetched.fill(begin, stop, 1)

    def mapped(self, ipa: int, level: int, new: int) -> None:
        if new & XN_BIT:
            return
        shift = self.granule.page_shift
        start = (address_bits(new, self.granule) >> shift) - self.guest.memory.first
        end = start + (1 << (self.shifts[level] - shift))
        self.judge(ipa, level, new, start, end)

    def judge(self, ipa: int, level: int, new: int, start: int, end: int) -> None:
        """Judge frames *start* to *end* (indices) that become executable from *ipa* on."""
        stale_code = self.guest.memory.stale_code
        if start < 0 or (stale_code.find(1, start, end) < 0 and not self.refetched.size):
            return
        if not self.guest.maps_backing(ipa, start + self.guest.memory.first):
            # A wrong leaf is reported by the translation checker.
            return
        before = self.shadow.exposed_before(ipa, ipa + (1 << self.shifts[level]))
        stale = self.newly(before, ipa, start, stale_code.runs(start, end))
        if stale:
            self.report(
                "executable, not invalidated",
                level,
                f"{self.text(new, level)} at {ipa:#x}: {len(stale)} frame(s) written by the host since the last "
                f"invalidation, the first at {stale.ranges[0][0]:#x}",
                stale,
                taints=False,
            )
        early = self.newly(before, ipa, start, self.refetched.runs(start, end))
        if early:
            self.report(
                "invalidated before the data side was cleaned",
                level,
                f"{self.text(new, level)} at {ipa:#x}: {len(early)} frame(s) whose data reached memory only after "
                f"the instruction cache was invalidated, the first at {early.ranges[0][0]:#x}",
                early,
                taints=False,
            )

    def newly(self, before: Exposed, ipa: int, start: int, runs: list[tuple[int, int, int]]) -> GuestPages:
        """Return the pages that become executable; *runs*: 1 for the frames that count; index *start* is at *ipa*."""
        shift = self.granule.page_shift
        found: list[Range] = []
        for first, last, held in runs:
            if held:
                page = ipa + ((first - start) << shift)
                stop = ipa + ((last - start) << shift)
                found += before.unmapped(page, stop, (first + self.guest.memory.first) << shift, XN_BIT, 0)
        return GuestPages(not_written(found, self.written), self.granule.page_size)
