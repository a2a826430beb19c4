# SPDX-License-Identifier: GPL-2.0-only
"""Frames of host memory: owner, and contents as version numbers in the data cache and in memory.

A version is the number of the write that made it. The data cache may hold a
newer version of a frame than the point of coherency; cleaning makes the two
equal. Instruction caches hold copies that only invalidation removes.
"""

from typing import Final

from .arena import memory_start
from .granule import Granule
from .spans import Spans
from .whole_frames import WholeFrames

# Version of the contents that the last owner left in memory.
FOREIGN: Final = -1
# Version of a page that the host cleared: nothing but zeroes.
ZEROED: Final = 0
# Version of the data that user space put there before the program began; a guest reads it as 0 too.
INITIAL: Final = -2

# First frame handed out, if memory begins at address 0 and pages have 4K: physical address 4G.
FIRST_PFN: Final = 0x100000

FREE: Final = 0
OWNED: Final = 1
DEVICE: Final = 2
# Taken away by an operation that is not over: the operation frees its pages at its end.
LEAVING: Final = 3


class Memory:
    """Contents and owners of all frames handed out.

    *first*: the number of the first frame handed out. Per frame, at index
    ``pfn - first``: *cached*, what a coherent access sees; *poc*, what an
    access that bypasses the data cache sees; *dirty*, 1 where the two may
    differ; *host_dirty*, 1 where the host wrote what has not been cleaned
    since; *stale_code*, 1 where the host wrote since the last instruction
    cache invalidation; *owner*.

    :param granule: frame size, and where memory begins
    """

    def __init__(self, granule: Granule) -> None:
        self.page_shift = granule.page_shift
        self.first = FIRST_PFN + (memory_start(granule) >> granule.page_shift)
        self.frames = 0
        self.cached = Spans()
        self.poc = Spans()
        self.dirty = Spans()
        self.host_dirty = Spans()
        self.stale_code = Spans()
        self.owner = Spans()
        # Instruction caches: all CPUs see the same invalidations, so one cache is enough.
        self.icache: dict[int, int] = {}
        # Frames completely covered by maintenance of data and instruction caches.
        self.cleaned = WholeFrames(granule.page_shift)
        self.invalidated = WholeFrames(granule.page_shift)
        # Frames where a store bypassed a dirty line: the next read is
        # unpredictable (Arm ARM B2.8, mismatched memory attributes).
        self.torn: set[int] = set()
        # Frames where a store bypassed the data cache, which may still hold a clean line from before the store: the
        # host's own mapping is cacheable, so CPUs may have read the frame ahead.
        self.bypassed: set[int] = set()
        # The actor whose operation takes pages away now (0: none), and the frames that operations have yet to free:
        # first frame and number of pages, by actor.
        self.taker = 0
        self.taken: dict[int, list[tuple[int, int]]] = {}
        # References of fault handlers on frames; and frames that are free except for these references.
        self.holds: dict[int, int] = {}
        self.last: set[int] = set()

    def index_of(self, pfn: int) -> int:
        """Return the index of frame *pfn*, or -1 if there is no such frame."""
        index = pfn - self.first
        return index if 0 <= index < self.frames else -1

    def grow(self, pfn: int, pages: int, owner: int) -> None:
        """Hand out frames up to *pfn* + *pages*; frames before *pfn* stay FREE."""
        end = pfn - self.first + pages
        if end > self.frames:
            self.cached.grow(end, ZEROED)
            self.poc.grow(end, FOREIGN)
            for states in (self.dirty, self.host_dirty, self.stale_code, self.owner):
                states.grow(end, 0)
            self.frames = end
        self.owner.fill(pfn - self.first, end, owner)
        if owner == OWNED:
            self.host_write(pfn, pages, ZEROED)

    def host_write(self, pfn: int, pages: int, version: int) -> None:
        """Store to *pages* frames through the host's data cache."""
        start = pfn - self.first
        end = start + pages
        self.cached.fill(start, end, version)
        self.dirty.fill(start, end, 1)
        self.host_dirty.fill(start, end, 1)
        self.stale_code.fill(start, end, 1)
        if self.torn:
            self.torn.difference_update([torn for torn in self.torn if pfn <= torn < pfn + pages])
        if self.bypassed:
            self.bypassed.difference_update([each for each in self.bypassed if pfn <= each < pfn + pages])

    def copy(self, old: int, new: int, pages: int) -> None:
        """Copy *pages* frames through the host's data cache."""
        source = old - self.first
        versions = self.cached.runs(source, source + pages)
        self.host_write(new, pages, ZEROED)
        self.cached.paste(new - self.first, versions, source)
        if self.torn:
            self.torn.update([pfn - old + new for pfn in self.torn if old <= pfn < old + pages])

    def release(self, pfn: int, pages: int) -> None:
        """Give frames to another owner, who writes to them; at the end of the operation if one is taking pages away."""
        start = pfn - self.first
        if self.taker:
            self.taken.setdefault(self.taker, []).append((pfn, pages))
            self.owner.fill(start, start + pages, LEAVING)
            return
        self.host_write(pfn, pages, FOREIGN)
        self.owner.fill(start, start + pages, FREE)

    def release_taken(self, taker: int) -> None:
        """The operation of an actor is over: free the frames it has taken away, except those that are held."""
        for pfn, pages in self.taken.pop(taker, []):
            start = pfn
            for held in sorted([each for each in self.holds if pfn <= each < pfn + pages]):
                self.last.add(held)
                if start < held:
                    self.release(start, held - start)
                start = held + 1
            if start < pfn + pages:
                self.release(start, pfn + pages - start)

    def hold(self, pfn: int) -> None:
        """Take a fault handler's reference on a frame."""
        self.holds[pfn] = self.holds.get(pfn, 0) + 1

    def drop_hold(self, pfn: int) -> None:
        """Drop one reference on a frame; the last one releases a frame that its owner has given up."""
        left = self.holds.pop(pfn, 0) - 1
        if left > 0:
            self.holds[pfn] = left
        elif pfn in self.last:
            self.last.remove(pfn)
            self.release(pfn, 1)

    def is_leaving(self, pfn: int) -> bool:
        """Return whether a frame was taken away by an operation that has yet to free it."""
        index = self.index_of(pfn)
        return index >= 0 and self.owner[index] == LEAVING

    def guest_write(self, pfn: int, version: int, cacheable: bool) -> None:
        """Store from the guest; a non-cacheable store bypasses a dirty line."""
        index = pfn - self.first
        if cacheable:
            self.cached.fill(index, index + 1, version)
            self.dirty.fill(index, index + 1, 1)
            self.torn.discard(pfn)
            self.bypassed.discard(pfn)
        else:
            self.poc.fill(index, index + 1, version)
            self.bypassed.add(pfn)
            if self.dirty[index]:
                self.torn.add(pfn)
            else:
                self.cached.fill(index, index + 1, version)
                self.torn.discard(pfn)

    def guest_read(self, pfn: int, cacheable: bool) -> int:
        """Return the version that a guest load sees."""
        return seen(self.held(pfn, cacheable))

    def held(self, pfn: int, cacheable: bool) -> int:
        """Return the version in the data cache, or in memory."""
        index = pfn - self.first
        return self.cached[index] if cacheable else self.poc[index]

    def predictable(self, pfn: int, cacheable: bool, fetch: bool) -> bool:
        """Return whether the architecture defines the value that a load or fetch sees.

        It does not if a dirty line may or may not have been written back,
        nor for an instruction that changed since the cache was invalidated.
        """
        index = pfn - self.first
        if pfn in self.torn or (self.dirty[index] and not cacheable):
            return False
        if fetch:
            held = self.icache.get(pfn)
            return not self.stale_code[index] and (held is None or held == self.cached[index])
        return True

    def guest_fetch(self, pfn: int, cacheable: bool) -> int:
        """Return the version that an instruction fetch sees, which stays in the instruction cache."""
        version = self.icache.get(pfn)
        if version is None:
            version = self.held(pfn, cacheable)
            self.icache[pfn] = version
        return seen(version)

    def clean_and_invalidate(self, pa: int, size: int) -> None:
        """Data cache clean and invalidate to the point of coherency."""
        first, end_pfn = self.cleaned.through(pa, size)
        start = max(first - self.first, 0)
        end = min(end_pfn - self.first, self.frames)
        if start < end:
            self.poc.take(self.cached, start, end)
            self.dirty.fill(start, end, 0)
            self.host_dirty.fill(start, end, 0)
        if self.bypassed:
            self.bypassed.difference_update([pfn for pfn in self.bypassed if first <= pfn < end_pfn])

    def write_back(self, pfn: int, pages: int) -> None:
        """Write dirty lines back without maintenance: code must not rely on either outcome."""
        start = max(pfn - self.first, 0)
        end = min(pfn - self.first + pages, self.frames)
        if start < end:
            self.poc.take(self.cached, start, end)
            self.dirty.fill(start, end, 0)

    def invalidate_icache(self, pa: int, size: int) -> None:
        """Instruction cache invalidation by address."""
        first, end_pfn = self.invalidated.through(pa, size)
        start = max(first - self.first, 0)
        end = min(end_pfn - self.first, self.frames)
        if start < end:
            self.stale_code.fill(start, end, 0)
        if self.icache:
            for pfn in [pfn for pfn in self.icache if first <= pfn < end_pfn]:
                del self.icache[pfn]

    def invalidate_icache_all(self) -> None:
        """Instruction cache invalidation of everything."""
        self.stale_code.fill(0, self.frames, 0)
        self.icache.clear()


def seen(version: int) -> int:
    """Return a version as a guest reads it."""
    return ZEROED if version == INITIAL else version
