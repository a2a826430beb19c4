# SPDX-License-Identifier: GPL-2.0-only
"""The pages of the host process: frames with owners and contents, and the pages that an access creates."""

from .address_space import (
    ABSENT,
    DEVICE,
    FOLIO,
    POISON,
    SOLE,
    THP,
    WRITABLE,
    ZEROES,
    AddressSpace,
    PageRun,
    Vma,
    has_frames,
)
from .memory import DEVICE as DEVICE_FRAME
from .memory import FREE, OWNED, Memory


class HostPages(AddressSpace):
    """An address space whose frames have owners and contents.

    :param memory: frames and their contents
    """

    def __init__(self, page_shift: int, pmd_shift: int, memory: Memory) -> None:
        super().__init__(page_shift, pmd_shift, memory.first)
        self.memory = memory
        self.page_size = 1 << page_shift
        self.pmd_size = 1 << pmd_shift
        # Version of the next write; set by the host's driver.
        self.version = 1
        # The first frame of the huge page of zeroes; -1: not needed yet.
        self.huge_zeroes = -1

    def new_frames(self, pages: int, align: int) -> int:
        pfn = super().new_frames(pages, align)
        self.memory.grow(pfn, pages, OWNED)
        return pfn

    def new_device_frames(self, pages: int, align: int) -> int:
        """Return new frames without linear alias."""
        pfn = super().new_frames(pages, align)
        self.memory.grow(pfn, pages, DEVICE_FRAME)
        self.devices.append((pfn, pages))
        return pfn

    def huge_zero_frames(self) -> int:
        """Return the first frame of the huge page of zeroes."""
        if self.huge_zeroes < 0:
            pages = self.pmd_size >> self.page_shift
            self.huge_zeroes = self.new_frames(pages, pages)
        return self.huge_zeroes

    def copy(self, old: int, new: int, pages: int) -> None:
        """Copy frames; pages of zeroes have no tags to copy."""
        self.memory.copy(old, new, pages)
        if self.copies is not None and old != self.zeroes:
            huge = self.huge_zeroes
            if huge < 0 or not huge <= old < huge + (self.pmd_size >> self.page_shift):
                self.copies.append((old, new, pages))

    def copy_frames(self, old: int, new: int, pages: int) -> None:
        self.copy(old, new, pages)
        if old == self.zeroes:
            return
        # The old frames stay with their other owners.
        start = old - self.memory.first
        self.memory.owner.fill(start, start + pages, FREE)

    def hold(self, pfn: int) -> None:
        self.memory.hold(pfn)

    def drop_hold(self, pfn: int) -> None:
        self.memory.drop_hold(pfn)

    def frame_of(self, hva: int) -> int:
        """Return the current frame of *hva*; -1 if there is none."""
        run = self.run_at(hva)
        return -1 if run is None or not has_frames(run) else self.pfn_in(run, hva)

    def unit_at(self, hva: int) -> tuple[int, int]:
        """Return (start, size in bytes) of the host page, huge or small, that contains *hva*."""
        run = self.run_at(hva)
        vma = self.find_vma(hva)
        size = self.page_size
        if vma is not None and vma.huge_shift and vma.start <= hva:
            size = 1 << vma.huge_shift
        elif run is not None and run.flags & THP:
            size = self.pmd_size
        return hva & -size, size

    def pages_to_age(self, start: int, end: int) -> list[tuple[int, int]]:
        """Return (start, size in bytes) of the host pages, huge or small, that are aged together with those of a range.

        Only pages on the LRU lists are aged: no hugetlb, no device, no page of zeroes. All pages of a large folio are
        aged, each separately (``folio_referenced_one()``).
        """
        found: list[tuple[int, int]] = []
        done = -1
        hva = start
        while hva < end:
            run = self.run_at(hva)
            if run is not None and run.flags & (ABSENT | FOLIO):
                # A huge page that could be created there does not exist yet.
                block = hva & -self.pmd_size
                if run.flags & FOLIO and block != done:
                    found += [(page, self.page_size) for page in self.folio_pages(hva)]
                    done = block
                hva = self.end_of(run, hva, min(end, block + self.pmd_size))
                continue
            first, size = self.unit_at(hva)
            run = self.run_at(first)
            vma = self.find_vma(first)
            if run is not None and vma is not None and not vma.huge_shift and owned(run):
                found.append((first, size))
            hva = first + size
        return found

    def aged_range(self, start: int, end: int, pages: list[tuple[int, int]]) -> tuple[int, int]:
        """Return the range around all host pages that are aged, or queried for their age, with those of [start, end).

        :param pages: the pages that are aged (`pages_to_age`)
        """
        first, _ = self.unit_at(start)
        last, size = self.unit_at(end - 1)
        end = last + size
        for hva, page in pages:
            first = min(first, hva)
            end = max(end, hva + page)
        return first, end

    def folio_pages(self, hva: int) -> list[int]:
        """Return the addresses of the pages of the large folio that small entries map in the block around *hva*."""
        block = hva & -self.pmd_size
        found: list[int] = []
        for start, stop, run in self.pieces(block, block + self.pmd_size):
            if run.flags & FOLIO:
                found += range(start, stop, self.page_size)
        return found

    def unmapped_ranges(self, block: int) -> list[tuple[int, int]]:
        """Return the ranges that notify when the huge page or large folio of a block leaves the host's tables.

        For a folio mapped by small entries: all of the block (``split_huge_pmd_address()``), or the part in
        each area, up to the last one with pages of it (``try_to_migrate_one()``, ``folio_not_mapped()``).
        """
        end = block + self.pmd_size
        parts = [(start, stop) for start, stop, run in self.pieces(block, end) if run.flags & FOLIO]
        if self.traits.unmaps_by_area and parts:
            areas = [(max(vma.start, block), min(vma.end, end)) for vma in self.vmas]
            found = sorted([(start, stop) for start, stop in areas if start < min(stop, parts[-1][1])])
            # An area that is being removed still has its pages.
            if all(self.vma_at(hva) is not None for hva in self.folio_pages(block)):
                return found
        return [(block, end)]

    def populate(self, hva: int, write: bool) -> None:
        """Handle an access to a page that is not present.

        A read of anonymous memory maps a page of zeroes, read-only (``do_anonymous_page()``,
        ``do_huge_pmd_anonymous_page()``). A read of private hugetlb maps a page that a later write makes writable
        (``hugetlb_no_page()``, ``hugetlb_wp()``). Reads and writes map a device's own frame (``fixup_user_fault()``).
        """
        run = self.run_at(hva)
        vma = self.vma_at(hva)
        if run is None or vma is None or not run.flags & ABSENT or run.flags & POISON:
            return
        if run.flags & DEVICE:
            self.map_device(vma, run, hva)
            return
        # If the area is read-only, a write finds what a read finds.
        write = write and not vma.readonly
        size = self.page_size
        flags = WRITABLE
        if vma.huge_shift:
            size = 1 << vma.huge_shift
            flags = WRITABLE if write else SOLE
        elif run.flags & THP and self.block_is(hva, ABSENT | THP) and self.block_in(vma, hva):
            size = self.pmd_size
            flags = WRITABLE | THP
        if not write and not vma.huge_shift and not vma.file:
            pfn = self.huge_zero_frames() if flags & THP else self.zero_frame()
            self.replace(hva & -size, size, pfn, ZEROES | flags & THP)
            return
        pages = size >> self.page_shift
        self.replace(hva & -size, size, self.new_frames(pages, pages), flags)

    def map_device(self, vma: Vma, run: PageRun, hva: int) -> None:
        """Map a device's frame again: by a block if none of it is mapped and the area has all of it."""
        size, flags = self.page_size, run.flags & ~(ABSENT | THP)
        if run.flags & THP and self.block_is(hva, ABSENT | THP) and self.block_in(vma, hva):
            size, flags = self.pmd_size, flags | THP
        start = hva & -size
        self.replace(start, size, vma.pgoff + ((start - vma.start) >> self.page_shift), flags)

    def block_in(self, vma: Vma, hva: int) -> bool:
        """Return whether an area contains the whole block around *hva*."""
        start = hva & -self.pmd_size
        return vma.start <= start and start + self.pmd_size <= vma.end

    def block_is(self, hva: int, flags: int) -> bool:
        """Return whether one run with all of *flags* backs the whole block around *hva*."""
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
        """Back a range anew; drop the runs that it hides."""
        end = hva + size
        self.runs = [run for run in self.runs if run.hva < hva or run.hva + (run.npages << self.page_shift) > end]
        self.add_run(hva, size >> self.page_shift, pfn, flags)

    def pieces(self, start: int, end: int) -> list[tuple[int, int, PageRun]]:
        """Return (start, end, run) for each part of a range that one run backs."""
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
        """Release the frames of a range to other owners."""
        for hva, stop, run in self.pieces(start, end):
            if owned(run):
                self.memory.release(self.pfn_in(run, hva), (stop - hva) >> self.page_shift)


def owned(run: PageRun) -> bool:
    """Return whether memory management may take the frames of a run: neither a device's nor a page of zeroes."""
    return not run.flags & (ABSENT | DEVICE | ZEROES)
