# SPDX-License-Identifier: GPL-2.0-only
"""The host process: how user space and memory management change guest memory.

Each function acts as the host kernel (Linux 6.12; `HostTraits` lists differences of later versions), with MMU
notifiers in the same places. It does nothing where the kernel would do nothing: for a page that is already huge, or
for a range that covers only part of a hugetlb page.
"""

from typing import Final

from .address_space import (
    ABSENT,
    DEVICE,
    FOLIO,
    FOR_SHARING,
    FOR_UNMAP,
    POISON,
    SOLE,
    THP,
    WRITABLE,
    ZEROES,
    PageRun,
)
from .host_areas import HostAreas, without
from .host_pages import owned
from .memory import ZEROED

# Maximum number of page copies that one call to the receiver announces.
_MAX_ANNOUNCED: Final = 32


class Host(HostAreas):
    """Guest memory as user space uses it, and as memory management moves, merges and takes it."""

    def split_at_edges(self, start: int, end: int) -> None:
        """Split the huge pages that a range covers only partly: ``zap_pmd_range()``."""
        for edge in (start, end):
            # Again if another thread has made a new huge page meanwhile.
            while edge & (self.pmd_size - 1) and self.is_huge(edge):
                self.split(edge)

    def is_huge(self, hva: int) -> bool:
        """Return whether a transparent huge page is mapped there."""
        run = self.run_at(hva)
        return run is not None and run.flags & (THP | ABSENT) == THP

    def write(self, start: int, end: int) -> None:
        """User space stores to every page of the range."""
        hva = announced_to = start
        while hva < end:
            run = self.run_at(hva)
            if run is None or not self.may_write(hva):
                # User space gets a signal and continues after the page.
                hva += self.page_size
                continue
            if run.flags & ABSENT:
                self.populate(hva, True)
            elif not run.flags & WRITABLE:
                if hva >= announced_to:
                    announced_to = self.announce_copies(run, hva, end)
                self.break_cow(hva)
            run = self.run_at(hva)
            if run is not None and not run.flags & POISON and (run.flags & ABSENT or not run.flags & WRITABLE):
                # Another thread has run in between.
                continue
            assert run is not None
            stop = self.end_of(run, hva, end)
            if run.flags & POISON:
                # User space gets a signal and continues after the pages.
                hva = stop
                continue
            self.memory.host_write(self.pfn_in(run, hva), (stop - hva) >> self.page_shift, self.version)
            hva = stop

    def announce_copies(self, run: PageRun, hva: int, end: int) -> int:
        """Announce to the receiver that small pages of *run*, from *hva* up to *end*, are about to be copied.

        :returns: the address after the announced pages
        """
        vma = self.vma_at(hva)
        if vma is None or vma.huge_shift or run.flags & (SOLE | THP | DEVICE):
            return hva
        hva &= -self.page_size
        stop = min(self.end_of(run, hva, end), vma.end, hva + _MAX_ANNOUNCED * self.page_size)
        self.receiver.copying(hva, (stop - hva + self.page_size - 1) >> self.page_shift, self.next_pfn)
        return stop

    def collapse(self, hva: int) -> None:
        """madvise(MADV_COLLAPSE): ``collapse_huge_page()`` of the block around *hva*, missing pages included."""
        start = hva & -self.pmd_size
        end = start + self.pmd_size
        if not self.can_collapse(start):
            return
        self.receiver.invalidate_range_start(start, end, True)
        if not self.can_collapse(start):
            # Another thread has run in between.
            self.receiver.invalidate_range_end()
            return
        pieces = self.pieces(start, end)
        pages = self.pmd_size >> self.page_shift
        pfn = self.new_frames(pages, pages)
        for piece, stop, run in pieces:
            if owned(run):
                count = (stop - piece) >> self.page_shift
                new = pfn + ((piece - start) >> self.page_shift)
                self.copy(self.pfn_in(run, piece), new, count)
        self.release_frames(start, end)
        self.replace(start, self.pmd_size, pfn, (WRITABLE if self.may_write(start) else SOLE) | THP)
        self.receiver.invalidate_range_end()

    def can_collapse(self, start: int) -> bool:
        """Return whether the pages of a block can become a huge page: ``hpage_collapse_scan_pmd()``.

        One area must contain them all. At least one must be present (and writable, if the host requires it). No page
        may be poisoned, huge or a device's. The others may be shared, pages of zeroes, or absent.
        """
        end = start + self.pmd_size
        vma = self.find_vma(start)
        if vma is None or vma.start > start or vma.end < end:
            return False
        runs = [run for _, _, run in self.pieces(start, end)]
        if any(run.flags & (THP | POISON | DEVICE) != 0 for run in runs):
            return False
        wanted = 0 if self.traits.collapses_read_only else WRITABLE
        return any(run.flags & (wanted | ABSENT) == wanted for run in runs)

    def split_huge(self, hva: int) -> None:
        """``split_huge_page()`` of the huge page around *hva*, or of the large folio that small entries map.

        From ``unmap_folio()`` to ``remap_page()`` migration entries replace the pages, and a look-up waits for them.
        Therefore the model puts the pages back before the notification ends.
        """
        run = self.run_at(hva)
        if run is None or not run.flags & (THP | FOLIO) or run.flags & (ABSENT | ZEROES):
            return
        block = hva & -self.pmd_size
        ranges = self.notify_unmap(block)
        self.map_small(hva)
        self.dissolve(hva)
        self.end_notifications(ranges)

    def notify_unmap(self, block: int) -> int:
        """Notify that the pages of a block leave the host's tables; return the number of notifications to end.

        All stay open until the pages are back, since migration entries replace the pages that long.
        """
        ranges = self.unmapped_ranges(block)
        for start, end in ranges:
            self.receiver.invalidate_range_start(start, end, True)
        return len(ranges)

    def end_notifications(self, notifications: int) -> None:
        """End this many notifications."""
        for _ in range(notifications):
            self.receiver.invalidate_range_end()

    def dissolve(self, hva: int) -> None:
        """Dissolve the large folio in the block around *hva*: ``__split_huge_page()``, ``remap_page()``."""
        block = hva & -self.pmd_size
        for start, stop, run in self.pieces(block, block + self.pmd_size):
            if run.flags & FOLIO:
                pfn = self.pfn_in(run, start)
                self.replace(start, stop - start, pfn, run.flags & ~FOLIO)
                if self.traits.drops_zeroes:
                    self.drop_zeroes(start, stop, pfn)

    def drop_zeroes(self, start: int, end: int, pfn: int) -> None:
        """Free all-zero pages and map the page of zeroes instead: ``try_to_map_unused_to_zeropage()``.

        :param pfn: first frame of the pages, whose frames are consecutive
        """
        index = pfn - self.memory.first
        for first, stop, version in self.memory.cached.runs(index, index + ((end - start) >> self.page_shift)):
            if version == ZEROED:
                hva = start + ((first - index) << self.page_shift)
                self.memory.release(first + self.memory.first, stop - first)
                self.replace(hva, (stop - first) << self.page_shift, self.zero_frame(), ZEROES)

    def migrate(self, start: int, end: int) -> None:
        """``migrate_pages()``: move each host page of the range to other frames, a large folio as a whole."""
        moved = -1
        hva = start
        while hva < end:
            first, size = self.unit_at(hva)
            run = self.run_at(first)
            hva = first + size
            if run is None or not owned(run):
                continue
            if not run.flags & FOLIO:
                self.move_page(first, size)
            elif first & -self.pmd_size != moved:
                moved = first & -self.pmd_size
                self.move_folio(moved)

    def move_page(self, start: int, size: int) -> None:
        """Move one page, huge or small, to another frame."""
        pages = size >> self.page_shift
        old = self.frame_of(start)
        self.receiver.invalidate_range_start(start, start + size, True)
        run = self.run_at(start)
        if run is not None and self.still_there(start, size, old):
            new = self.new_frames(pages, pages)
            self.copy(old, new, pages)
            self.memory.release(old, pages)
            self.replace(start, size, new, run.flags)
        self.receiver.invalidate_range_end()

    def move_folio(self, block: int) -> None:
        """Move the large folio that small entries map in a block; a folio that has lost pages is split first.

        ``migrate_pages_batch()``, ``try_to_migrate_one()``
        """
        end = block + self.pmd_size
        ranges = self.notify_unmap(block)
        parts = [(start, stop) for start, stop, run in self.pieces(block, end) if run.flags & FOLIO]
        if sum([stop - start for start, stop in parts]) != self.pmd_size:
            self.dissolve(block)
        pages = self.pmd_size >> self.page_shift
        first = self.new_frames(pages, pages) if parts else 0
        for start, stop, run in [each for part in parts for each in self.pieces(*part)]:
            if not owned(run):
                continue
            old, count = self.pfn_in(run, start), (stop - start) >> self.page_shift
            new = first + ((start - block) >> self.page_shift)
            self.copy(old, new, count)
            self.memory.release(old, count)
            self.replace(start, stop - start, new, run.flags)
        self.end_notifications(ranges)

    def still_there(self, start: int, size: int, pfn: int) -> bool:
        """Return whether a host page still has this frame: other threads may have run in between."""
        return self.frame_of(start) == pfn and self.unit_at(start) == (start, size)

    def discard(self, start: int, end: int) -> None:
        """madvise(MADV_DONTNEED): ``zap_page_range_single()`` for each area, across holes (``madvise_walk_vmas()``).

        Of hugetlb, only whole pages are dropped. A partly covered huge page is split, which notifies for all of it.
        """
        start, end = self.whole_pages(start, end)
        if start >= end:
            return
        areas = [(max(vma.start, start), min(vma.end, end)) for vma in self.vmas if vma.start < end and start < vma.end]
        for first, last in sorted(areas):
            self.discard_in_area(first, last)

    def reap(self, start: int, end: int) -> None:
        """Drop private pages as the OOM reaper does, while notifiers must not block: ``__oom_reap_task_mm()``.

        It handles whole areas, here the blocks around the range within an area, and therefore splits no huge page.
        Its process survives and may touch the pages again.
        """
        block = self.pmd_size
        start, end = start & -block, (end + block - 1) & -block
        for vma in sorted(self.vmas, key=lambda vma: vma.start):
            if vma.start < end and start < vma.end and not (vma.huge_shift or vma.pfnmap or vma.file):
                first, last = max(vma.start, start), min(vma.end, end)
                self.receiver.must_not_block(True)
                self.receiver.reason(FOR_UNMAP)
                self.receiver.invalidate_range_start(first, last, False)
                self.zap(first, last)
                self.receiver.invalidate_range_end()
                self.receiver.must_not_block(False)

    def discard_in_area(self, start: int, end: int) -> None:
        """Discard the part of a range that lies in one area."""
        self.receiver.invalidate_range_start(start, end, True)
        # Block by block: after it, another thread may create a huge page of which only a part must be dropped.
        last = max(start, end & -self.pmd_size)
        for first, stop in ((start, last), (last, end)):
            if first < stop:
                self.zap(first, stop)
                if self.traits.frees_tables:
                    self.free_tables(first, stop)
        self.receiver.invalidate_range_end()

    def zap(self, start: int, end: int) -> None:
        """Drop the pages of a range: ``zap_pmd_range()``."""
        self.split_at_edges(start, end)
        self.release_frames(start, end)
        for hva, stop, run in self.pieces(start, end):
            vma = self.find_vma(hva)
            huge = run.flags & THP if vma is not None and vma.advised else 0
            self.replace(hva, stop - hva, 0, ABSENT | huge)

    def free_tables(self, start: int, end: int) -> None:
        """Free tables of small entries that became empty (``try_get_and_clear_pmd()``): huge pages may follow."""
        size = self.pmd_size
        for block in range((start + size - 1) & -size, end - size + 1, size):
            vma = self.find_vma(block)
            if vma is not None and vma.advised and self.block_in(vma, block):
                self.replace(block, size, 0, ABSENT | THP)

    def truncate(self, start: int, end: int) -> None:
        """Remove pages from a file that user space does not map; the file's owner unmaps them, without a notifier."""
        self.release_frames(start, end)
        for hva, stop, _ in self.pieces(start, end):
            self.replace(hva, stop - hva, 0, ABSENT)

    def poison(self, hva: int) -> None:
        """Break the frame of a file's page; the owner of the file unmaps it, without a notifier."""
        self.release_frames(hva, hva + self.page_size)
        self.replace(hva, self.page_size, 0, POISON | ABSENT)

    def unmap(self, start: int, end: int) -> None:
        """munmap(): remove pages and areas; of hugetlb, only whole pages."""
        start, end = self.whole_pages(start, end)
        if start >= end:
            return
        if not any(vma.start < end and start < vma.end for vma in self.vmas):
            return
        self.split_areas(start, end)
        self.drop_areas(start, end)
        self.receiver.areas_dropped()
        self.receiver.reason(FOR_UNMAP)
        self.receiver.invalidate_range_start(start, end, True)
        self.split_at_edges(start, end)
        self.release_frames(start, end)
        runs: list[PageRun] = []
        for run in self.runs:
            stop = run.hva + (run.npages << self.page_shift)
            for first, last in without(run.hva, stop, start, end):
                runs.append(PageRun(first, (last - first) >> self.page_shift, self.pfn_in(run, first), run.flags))
        self.runs = runs
        self.receiver.invalidate_range_end()

    def fail_memory(self, hva: int) -> None:
        """``memory_failure()``: split a transparent huge page; drop a hugetlb page as a whole.

        The page is looked up first (``madvise_inject_error()``). A page of zeroes stays as it is (``me_kernel()``).
        """
        self.populate(hva, False)
        self.split_huge(hva)
        start, size = self.unit_at(hva)
        run = self.run_at(start)
        if run is None or not owned(run):
            return
        pfn = self.pfn_in(run, start)
        self.receiver.invalidate_range_start(start, start + size, True)
        if self.still_there(start, size, pfn):
            self.memory.release(pfn, size >> self.page_shift)
            self.replace(start, size, 0, POISON | ABSENT)
        self.receiver.invalidate_range_end()

    def write_back(self, start: int, end: int) -> None:
        """Let the data caches write back their dirty lines of a range."""
        for hva, stop, run in self.pieces(start, end):
            if owned(run):
                self.memory.write_back(self.pfn_in(run, hva), (stop - hva) >> self.page_shift)

    def merge(self, hva: int) -> None:
        """KSM: ``write_protect_page()``, then ``replace_page()`` by a read-only page with the same contents.

        Each step notifies separately. A write in between gets a copy, which stays.
        """
        self.split_huge(hva)
        run = self.run_at(hva)
        if run is None or not owned(run) or self.vma_at(hva) is None:
            return
        pfn = self.pfn_in(run, hva)
        if self.write_protect(hva, pfn):
            self.replace_page(hva, pfn)

    def write_protect(self, hva: int, pfn: int) -> bool:
        """Make a page read-only; return whether it was still there."""
        self.receiver.invalidate_range_start(hva, hva + self.page_size, True)
        run = self.run_at(hva)
        found = run is not None and self.still_there(hva, self.page_size, pfn)
        if run is not None and found:
            self.replace(hva, self.page_size, pfn, run.flags & ~(WRITABLE | SOLE))
            self.receiver.change_pte(hva, pfn)
        self.receiver.invalidate_range_end()
        return found

    def replace_page(self, hva: int, pfn: int) -> None:
        """Replace a page by the merged one if its entry is unchanged: ``pte_same()``."""
        self.receiver.invalidate_range_start(hva, hva + self.page_size, True)
        run = self.run_at(hva)
        if run is not None and not run.flags & WRITABLE and self.still_there(hva, self.page_size, pfn):
            new = self.new_frames(1, 1)
            self.copy(pfn, new, 1)
            self.memory.release(pfn, 1)
            self.replace(hva, self.page_size, new, run.flags & ~FOLIO)
            self.receiver.change_pte(hva, new)
        self.receiver.invalidate_range_end()

    def share(self, start: int, end: int) -> None:
        """fork() whose child inherits only the range (MADV_DONTFORK): pages become read-only, a write copies."""
        self.split_areas(start, end)
        self.receiver.reason(FOR_SHARING)
        self.receiver.invalidate_range_start(start, end, True)
        self.split_at_edges(start, end)
        for hva, stop, run in self.pieces(start, end):
            if owned(run):
                self.replace(hva, stop - hva, self.pfn_in(run, hva), run.flags & ~(WRITABLE | SOLE))
        self.receiver.invalidate_range_end()
