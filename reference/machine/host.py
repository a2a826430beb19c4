# SPDX-License-Identifier: GPL-2.0-only
"""The host process with contents: user space and memory management act on guest memory.

Each function does what the host kernel does, MMU notifiers in the same
places; where the kernel would do nothing (a page that is huge already, a
range that a huge page cannot give up) it does nothing.
"""

from .address_space import ABSENT, DEVICE, POISON, THP, WRITABLE, AddressSpace, PageRun, Vma
from .memory import DEVICE as DEVICE_FRAME
from .memory import FREE, OWNED, Memory


class Host(AddressSpace):
    """An address space whose frames have owners and contents.

    :param memory: frames and their contents
    """

    def __init__(self, page_shift: int, pmd_shift: int, memory: Memory) -> None:
        super().__init__(page_shift, pmd_shift, memory.first)
        self.memory = memory
        self.page_size = 1 << page_shift
        self.pmd_size = 1 << pmd_shift
        # Version of the next write; set by the driver of the host.
        self.version = 1

    def new_frames(self, pages: int, align: int) -> int:
        pfn = super().new_frames(pages, align)
        self.memory.grow(pfn, pages, OWNED)
        return pfn

    def new_device_frames(self, pages: int, align: int) -> int:
        """Frames without linear alias."""
        pfn = super().new_frames(pages, align)
        self.memory.grow(pfn, pages, DEVICE_FRAME)
        return pfn

    def copy_frames(self, old: int, new: int, pages: int) -> None:
        self.memory.copy(old, new, pages)
        # The old frames stay with their other owners.
        start = old - self.memory.first
        self.memory.owner.fill(start, start + pages, FREE)

    def frame_of(self, hva: int) -> int:
        """The frame behind *hva* now; -1 where there is none."""
        run = self.run_at(hva)
        return -1 if run is None or run.flags & ABSENT else self.pfn_in(run, hva)

    def unit_at(self, hva: int) -> tuple[int, int]:
        """(start, size in bytes) of the host page, huge or not, that holds *hva*."""
        run = self.run_at(hva)
        vma = self.find_vma(hva)
        size = self.page_size
        if vma is not None and vma.huge_shift and vma.start <= hva:
            size = 1 << vma.huge_shift
        elif run is not None and run.flags & THP:
            size = self.pmd_size
        return hva & -size, size

    def pages_to_age(self, start: int, end: int) -> list[tuple[int, int]]:
        """(start, size in bytes) of the host pages, huge or not, that meet a range and are aged.

        Only pages on the LRU lists are: no hugetlb, no device.
        """
        found: list[tuple[int, int]] = []
        hva = start
        while hva < end:
            run = self.run_at(hva)
            if run is not None and run.flags & ABSENT:
                # A huge page that may come there is none yet.
                hva = self.end_of(run, hva, end)
                continue
            first, size = self.unit_at(hva)
            run = self.run_at(first)
            vma = self.find_vma(first)
            if run is not None and vma is not None and not vma.huge_shift and not run.flags & (ABSENT | DEVICE):
                found.append((first, size))
            hva = first + size
        return found

    def populate(self, hva: int) -> None:
        run = self.run_at(hva)
        vma = self.vma_at(hva)
        if run is None or vma is None or not run.flags & ABSENT or run.flags & POISON:
            return
        size = self.page_size
        if vma.huge_shift:
            size = 1 << vma.huge_shift
        elif run.flags & THP and self.block_is(hva, ABSENT | THP) and self.block_in(vma, hva):
            size = self.pmd_size
        flags = WRITABLE | (THP if size == self.pmd_size and run.flags & THP else 0)
        pages = size >> self.page_shift
        self.replace(hva & -size, size, self.new_frames(pages, pages), flags)

    def block_in(self, vma: Vma, hva: int) -> bool:
        """Tell whether an area holds the whole block around *hva*."""
        start = hva & -self.pmd_size
        return vma.start <= start and start + self.pmd_size <= vma.end

    def block_is(self, hva: int, flags: int) -> bool:
        """Tell whether one run with all of *flags* backs the whole block around *hva*."""
        start = hva & -self.pmd_size
        seen = start
        while seen < start + self.pmd_size:
            run = self.run_at(seen)
            if run is None or run.flags & flags != flags:
                return False
            seen = self.end_of(run, seen, start + self.pmd_size)
        return True

    def end_of(self, run: PageRun, hva: int, limit: int) -> int:
        """Return the address at which *run* stops backing from *hva* on: its end, or a newer run."""
        end = min(limit, run.hva + (run.npages << self.page_shift))
        for newer in reversed(self.runs):
            if newer is run:
                break
            if hva < newer.hva < end:
                end = newer.hva
        return end

    def replace(self, hva: int, size: int, pfn: int, flags: int) -> None:
        """New backing for a range; runs that it hides go."""
        end = hva + size
        self.runs = [run for run in self.runs if run.hva < hva or run.hva + (run.npages << self.page_shift) > end]
        self.add_run(hva, size >> self.page_shift, pfn, flags)

    def pieces(self, start: int, end: int) -> list[tuple[int, int, PageRun]]:
        """(start, end, run) of the parts of a range that one run backs."""
        found: list[tuple[int, int, PageRun]] = []
        hva = start
        while hva < end:
            run = self.run_at(hva)
            if run is None:
                hva += self.page_size
                continue
            stop = self.end_of(run, hva, end)
            found.append((hva, stop, run))
            hva = stop
        return found

    def release_frames(self, start: int, end: int) -> None:
        """The frames behind a range go to other owners."""
        for hva, stop, run in self.pieces(start, end):
            if not run.flags & (ABSENT | DEVICE):
                self.memory.release(self.pfn_in(run, hva), (stop - hva) >> self.page_shift)

    def split_at_edges(self, start: int, end: int) -> None:
        """Split the huge pages that a range covers only in part."""
        for edge in (start, end):
            if edge & (self.pmd_size - 1):
                self.split_huge(edge)

    def write(self, start: int, end: int) -> None:
        """User space stores to every page of the range."""
        hva = start
        while hva < end:
            run = self.run_at(hva)
            if run is None or self.vma_at(hva) is None:
                hva += self.page_size
                continue
            if run.flags & ABSENT:
                self.populate(hva)
            elif not run.flags & WRITABLE:
                self.break_cow(hva)
            run = self.run_at(hva)
            if run is not None and not run.flags & POISON and (run.flags & ABSENT or not run.flags & WRITABLE):
                # Another thread has come between.
                continue
            assert run is not None
            stop = self.end_of(run, hva, end)
            if run.flags & POISON:
                # A signal for user space, which goes on behind it.
                hva = stop
                continue
            self.memory.host_write(self.pfn_in(run, hva), (stop - hva) >> self.page_shift, self.version)
            hva = stop

    def collapse(self, hva: int) -> None:
        """khugepaged: ``collapse_huge_page()`` of the block around *hva*."""
        start = hva & -self.pmd_size
        end = start + self.pmd_size
        if not self.collapses(start):
            return
        self.listener.invalidate_range_start(start, end, True)
        if not self.collapses(start):
            # Another thread has come between.
            self.listener.invalidate_range_end()
            return
        pieces = self.pieces(start, end)
        pages = self.pmd_size >> self.page_shift
        pfn = self.new_frames(pages, pages)
        for piece, stop, run in pieces:
            count = (stop - piece) >> self.page_shift
            new = pfn + ((piece - start) >> self.page_shift)
            self.memory.copy(self.pfn_in(run, piece), new, count)
        self.release_frames(start, end)
        self.replace(start, self.pmd_size, pfn, WRITABLE | THP)
        self.listener.invalidate_range_end()

    def collapses(self, start: int) -> bool:
        """Tell whether the pages of a block can become a huge page: all are there and writable, and none is huge."""
        pieces = self.pieces(start, start + self.pmd_size)
        if sum([stop - piece for piece, stop, _ in pieces]) != self.pmd_size:
            return False
        if any(not run.flags & WRITABLE or run.flags & ABSENT for _, _, run in pieces):
            return False
        return not (pieces[0][2].flags & THP and len(pieces) == 1)

    def split_huge(self, hva: int) -> None:
        """``split_huge_pmd()`` of the block around *hva*, if it is huge."""
        run = self.run_at(hva)
        if run is not None and run.flags & THP and not run.flags & ABSENT:
            self.split(hva)

    def migrate(self, start: int, end: int) -> None:
        """``migrate_pages()``: each host page of the range moves to other frames."""
        hva = start
        while hva < end:
            first, size = self.unit_at(hva)
            run = self.run_at(first)
            hva = first + size
            if run is None or run.flags & (ABSENT | DEVICE):
                continue
            pages = size >> self.page_shift
            old = self.pfn_in(run, first)
            self.listener.invalidate_range_start(first, hva, True)
            run = self.run_at(first)
            if run is not None and self.still_there(first, size, old):
                new = self.new_frames(pages, pages)
                self.memory.copy(old, new, pages)
                self.memory.release(old, pages)
                self.replace(first, size, new, run.flags)
            self.listener.invalidate_range_end()

    def still_there(self, start: int, size: int, pfn: int) -> bool:
        """Tell whether a page of the host has still this frame: other threads may have come between."""
        return self.frame_of(start) == pfn and self.unit_at(start) == (start, size)

    def whole_pages(self, start: int, end: int) -> tuple[int, int]:
        """The part of a range that may go: of hugetlb the pages that lie in it as a whole."""
        vma = self.find_vma(start)
        if vma is None or not vma.huge_shift:
            return start, end
        size = 1 << vma.huge_shift
        return (start + size - 1) & -size, end & -size

    def discard(self, start: int, end: int) -> None:
        """madvise(MADV_DONTNEED), or a hole punched into hugetlbfs (whole pages only)."""
        if self.vma_at(start) is None:
            return
        start, end = self.whole_pages(start, end)
        if start >= end:
            return
        self.split_at_edges(start, end)
        self.listener.invalidate_range_start(start, end, True)
        # A huge page that has come since is split now.
        self.split_at_edges(start, end)
        self.release_frames(start, end)
        for hva, stop, run in self.pieces(start, end):
            self.replace(hva, stop - hva, 0, ABSENT | run.flags & THP)
        self.listener.invalidate_range_end()

    def truncate(self, start: int, end: int) -> None:
        """Take pages from a file that user space does not map: no notifier is called, the file's owner unmaps them."""
        self.release_frames(start, end)
        for hva, stop, _ in self.pieces(start, end):
            self.replace(hva, stop - hva, 0, ABSENT)

    def poison(self, hva: int) -> None:
        """Break the frame of a file's page; no notifier is called, the owner of the file unmaps it."""
        run = self.run_at(hva)
        if run is not None and not run.flags & ABSENT:
            self.release_frames(hva, hva + self.page_size)
            self.replace(hva, self.page_size, 0, POISON | ABSENT)

    def unmap(self, start: int, end: int) -> None:
        """munmap(): neither pages nor an area are left; of hugetlb only whole pages go."""
        start, end = self.whole_pages(start, end)
        if start >= end:
            return
        self.split_at_edges(start, end)
        self.drop_areas(start, end)
        self.listener.areas_dropped()
        self.listener.invalidate_range_start(start, end, True)
        self.release_frames(start, end)
        runs: list[PageRun] = []
        for run in self.runs:
            stop = run.hva + (run.npages << self.page_shift)
            for first, last in without(run.hva, stop, start, end):
                runs.append(PageRun(first, (last - first) >> self.page_shift, self.pfn_in(run, first), run.flags))
        self.runs = runs
        self.listener.invalidate_range_end()

    def drop_areas(self, start: int, end: int) -> None:
        """There is no area in a range any more; its pages are there."""
        vmas: list[Vma] = []
        for vma in self.vmas:
            for first, last in without(vma.start, vma.end, start, end):
                pgoff = vma.pgoff + ((first - vma.start) >> self.page_shift)
                vmas.append(Vma(first, last, vma.pfnmap, vma.huge_shift, pgoff))
        self.vmas = vmas

    def fail_memory(self, hva: int) -> None:
        """``memory_failure()``: a huge transparent page is split, a hugetlb page goes as a whole."""
        self.split_huge(hva)
        start, size = self.unit_at(hva)
        run = self.run_at(start)
        if run is None or run.flags & (ABSENT | DEVICE):
            return
        pfn = self.pfn_in(run, start)
        self.listener.invalidate_range_start(start, start + size, True)
        if self.still_there(start, size, pfn):
            self.memory.release(pfn, size >> self.page_shift)
            self.replace(start, size, 0, POISON | ABSENT)
        self.listener.invalidate_range_end()

    def write_back(self, start: int, end: int) -> None:
        """The data caches write back what they hold of a range."""
        for hva, stop, run in self.pieces(start, end):
            if not run.flags & (ABSENT | DEVICE):
                self.memory.write_back(self.pfn_in(run, hva), (stop - hva) >> self.page_shift)

    def merge(self, hva: int) -> None:
        """KSM: ``replace_page()`` by one with the same contents that may only be read."""
        self.split_huge(hva)
        run = self.run_at(hva)
        if run is None or run.flags & (ABSENT | DEVICE) or self.vma_at(hva) is None:
            return
        listener = self.listener
        old = self.pfn_in(run, hva)
        listener.invalidate_range_start(hva, hva + self.page_size, True)
        run = self.run_at(hva)
        if run is not None and self.still_there(hva, self.page_size, old):
            new = self.new_frames(1, 1)
            self.memory.copy(old, new, 1)
            self.memory.release(old, 1)
            self.replace(hva, self.page_size, new, run.flags & ~WRITABLE)
            listener.change_pte(hva, new)
        listener.invalidate_range_end()

    def share(self, start: int, end: int) -> None:
        """fork() or KSM: the pages may only be read from here on, a write gets a copy."""
        self.split_at_edges(start, end)
        self.listener.invalidate_range_start(start, end, True)
        self.split_at_edges(start, end)
        for hva, stop, run in self.pieces(start, end):
            if not run.flags & (ABSENT | DEVICE):
                self.replace(hva, stop - hva, self.pfn_in(run, hva), run.flags & ~WRITABLE)
        self.listener.invalidate_range_end()


def without(first: int, last: int, start: int, end: int) -> list[tuple[int, int]]:
    """Return the rest of [first, last) when [start, end) is cut out."""
    parts = [(first, min(last, start)), (max(first, end), last)]
    return [(low, high) for low, high in parts if low < high]
