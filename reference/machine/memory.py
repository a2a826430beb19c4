# SPDX-License-Identifier: GPL-2.0-only
"""Frames of host memory: owner, and contents as version numbers in the data cache and in memory.

A version is the number of the write that made it. What a frame holds may be
newer in the data cache than at the point of coherency; cleaning makes the two
alike. Instruction caches hold copies that only invalidation removes.
"""

from array import array
from typing import Final

# Version of what the last owner left in memory.
FOREIGN: Final = -1
# Version of a page that the host cleared.
ZEROED: Final = 0

# First frame handed out: physical address 4G.
FIRST_PFN: Final = 0x100000

FREE: Final = 0
OWNED: Final = 1
DEVICE: Final = 2


class Memory:
    """Contents and owners of all frames handed out.

    Per frame, at index ``pfn - FIRST_PFN``: *cached*, what a coherent access
    sees; *poc*, what an access that bypasses the data cache sees; *dirty*, 1
    where the two may differ; *host_dirty*, 1 where the host wrote what has
    not been cleaned since; *stale_code*, 1 where the host wrote since the
    last instruction cache invalidation; *owner*.

    :param page_shift: log2 of the frame size
    """

    def __init__(self, page_shift: int) -> None:
        self.page_shift = page_shift
        self.frames = 0
        self.cached = array("i")
        self.poc = array("i")
        self.dirty = bytearray()
        self.host_dirty = bytearray()
        self.stale_code = bytearray()
        self.owner = bytearray()
        # Instruction caches: all CPUs see the same invalidations, so one will do.
        self.icache: dict[int, int] = {}
        # Frames where a store went past a dirty line: what is read next is
        # unpredictable (Arm ARM B2.8, mismatched memory attributes).
        self.torn: set[int] = set()

    def index_of(self, pfn: int) -> int:
        """Index of frame *pfn*, or -1 where there is no such frame."""
        index = pfn - FIRST_PFN
        return index if 0 <= index < self.frames else -1

    def grow(self, pfn: int, pages: int, owner: int) -> None:
        """Hand out frames up to *pfn* + *pages*; those before *pfn* stay FREE."""
        end = pfn - FIRST_PFN + pages
        more = end - self.frames
        if more > 0:
            self.cached.frombytes(bytes(4 * more))
            self.poc.frombytes(b"\xff" * (4 * more))
            for states in (self.dirty, self.host_dirty, self.stale_code, self.owner):
                states.extend(bytes(more))
            self.frames = end
        start = pfn - FIRST_PFN
        self.owner[start:end] = bytes([owner]) * pages
        if owner == OWNED:
            self.host_write(pfn, pages, ZEROED)

    def host_write(self, pfn: int, pages: int, version: int) -> None:
        """The host stores to *pages* frames through its data cache."""
        start = pfn - FIRST_PFN
        end = start + pages
        ones = b"\x01" * pages
        self.cached[start:end] = array("i", [version]) * pages
        self.dirty[start:end] = ones
        self.host_dirty[start:end] = ones
        self.stale_code[start:end] = ones
        if self.torn:
            self.torn.difference_update(range(pfn, pfn + pages))

    def copy(self, old: int, new: int, pages: int) -> None:
        """The host copies *pages* frames through its data cache."""
        source = old - FIRST_PFN
        versions = self.cached[source : source + pages]
        self.host_write(new, pages, ZEROED)
        start = new - FIRST_PFN
        self.cached[start : start + pages] = versions
        if self.torn:
            self.torn.update([pfn - old + new for pfn in self.torn if old <= pfn < old + pages])

    def release(self, pfn: int, pages: int) -> None:
        """The frames go to another owner, who writes to them."""
        start = pfn - FIRST_PFN
        self.host_write(pfn, pages, FOREIGN)
        self.owner[start : start + pages] = bytes(pages)

    def guest_write(self, pfn: int, version: int, cacheable: bool) -> None:
        """A guest store; one that is not cacheable goes past a dirty line."""
        index = pfn - FIRST_PFN
        if cacheable:
            self.cached[index] = version
            self.dirty[index] = 1
            self.torn.discard(pfn)
        else:
            self.poc[index] = version
            if self.dirty[index]:
                self.torn.add(pfn)
            else:
                self.cached[index] = version
                self.torn.discard(pfn)

    def guest_read(self, pfn: int, cacheable: bool) -> int:
        """The version that a guest load sees."""
        index = pfn - FIRST_PFN
        return self.cached[index] if cacheable else self.poc[index]

    def predictable(self, pfn: int, cacheable: bool, fetch: bool) -> bool:
        """Whether the architecture says what a load or fetch sees.

        It does not where a dirty line may or may not have been written back,
        nor for an instruction that changed since the cache was invalidated.
        """
        index = pfn - FIRST_PFN
        if pfn in self.torn or (self.dirty[index] and not cacheable):
            return False
        if fetch:
            held = self.icache.get(pfn)
            return not self.stale_code[index] and (held is None or held == self.cached[index])
        return True

    def guest_fetch(self, pfn: int, cacheable: bool) -> int:
        """The version that an instruction fetch sees; it stays in the instruction cache."""
        version = self.icache.get(pfn)
        if version is None:
            version = self.guest_read(pfn, cacheable)
            self.icache[pfn] = version
        return version

    def clean_and_invalidate(self, pa: int, size: int) -> None:
        """Data cache clean and invalidate to the point of coherency."""
        start = max((pa >> self.page_shift) - FIRST_PFN, 0)
        end = min(((pa + size - 1) >> self.page_shift) - FIRST_PFN + 1, self.frames)
        if start < end:
            self.poc[start:end] = self.cached[start:end]
            clean = bytes(end - start)
            self.dirty[start:end] = clean
            self.host_dirty[start:end] = clean

    def write_back(self, pfn: int, pages: int) -> None:
        """Dirty lines reach memory without anybody asking: nothing that maintenance may rely on."""
        start = max(pfn - FIRST_PFN, 0)
        end = min(pfn - FIRST_PFN + pages, self.frames)
        if start < end:
            self.poc[start:end] = self.cached[start:end]
            self.dirty[start:end] = bytes(end - start)

    def invalidate_icache(self, pa: int, size: int) -> None:
        """Instruction cache invalidation by address."""
        first = pa >> self.page_shift
        last = (pa + size - 1) >> self.page_shift
        start = max(first - FIRST_PFN, 0)
        end = min(last - FIRST_PFN + 1, self.frames)
        if start < end:
            self.stale_code[start:end] = bytes(end - start)
        if self.icache:
            for pfn in [pfn for pfn in self.icache if first <= pfn <= last]:
                del self.icache[pfn]

    def invalidate_icache_all(self) -> None:
        """Instruction cache invalidation of everything."""
        self.stale_code = bytearray(self.frames)
        self.icache.clear()
