# SPDX-License-Identifier: GPL-2.0-only
"""The host process whose memory the guest sees: areas, and the frames that back them.

The rules are those of tests/data/golden/vm/README.md. MMU notifiers are
called as by the host kernel; a `NotifierReceiver` receives the calls.
"""

from typing import Final, NamedTuple

from ..compiled.annotations import mypyc_attr

WRITABLE: Final = 1 << 0
# One level 2 entry maps it: a transparent huge page, or (with DEVICE) a block of device frames of the same size.
THP: Final = 1 << 1
DEVICE: Final = 1 << 2
# Broken memory that nobody may use (with ABSENT: its frame is gone as well).
POISON: Final = 1 << 3
ABSENT: Final = 1 << 4
# The kernel's page of zeroes, small or (with THP) huge: mapped at many addresses, unowned, and never writable.
ZEROES: Final = 1 << 5
# Read-only but not shared: a write makes the page writable in place, without a copy.
SOLE: Final = 1 << 6
# Part of a large folio, mapped by small entries: what happens to one of its pages happens to all.
FOLIO: Final = 1 << 7
# With DEVICE, also for areas: a guest may also use it as uncached memory (VM_ALLOW_ANY_UNCACHED).
UNCACHED: Final = 1 << 8
# With DEVICE, also for areas: it is memory, and user space maps it cached.
CACHED: Final = 1 << 9


class HostTraits(NamedTuple):
    """Memory management of Linux where versions differ; by default as in the oldest.

    :param drops_zeroes: splitting a huge page frees its all-zero pages (..._USE_SHARED_ZEROPAGE)
    :param fills_zeroes: a write to the huge page of zeroes allocates a huge page instead of a small one
    :param collapses_read_only: pages that nobody may write can become a huge one
    :param unmaps_by_area: a large folio mapped by small entries is unmapped area by area, each with a notification
    :param frees_tables: a discard frees tables that became empty (CONFIG_PT_RECLAIM)
    """

    drops_zeroes: bool = False
    fills_zeroes: bool = False
    collapses_read_only: bool = False
    unmaps_by_area: bool = False
    frees_tables: bool = False


class Vma:
    """One area of user space.

    :param huge_shift: log2 of the hugetlb page size, or 0
    :param pgoff: first frame of a pfnmap area
    :param advised: user space requested transparent huge pages here (MADV_HUGEPAGE)
    :param file: backed by a file, which owns the pages; else anonymous memory
    :param readonly: user space may not write it (no VM_WRITE)
    :param memory: for a device, `UNCACHED` or `CACHED`; else 0
    """

    def __init__(
        self,
        start: int,
        end: int,
        pfnmap: bool,
        huge_shift: int,
        pgoff: int,
        advised: bool = True,
        file: bool = False,
        readonly: bool = False,
        memory: int = 0,
    ) -> None:
        self.start = start
        self.end = end
        self.pfnmap = pfnmap
        self.huge_shift = huge_shift
        self.pgoff = pgoff
        self.advised = advised
        self.file = file
        self.readonly = readonly
        self.memory = memory

    def same_as(self, other: "Vma") -> bool:
        """Return whether two areas have the same bounds and properties."""
        return (self.start, self.end, self.pfnmap, self.huge_shift) == (
            other.start,
            other.end,
            other.pfnmap,
            other.huge_shift,
        ) and (self.pgoff, self.advised, self.file, self.readonly, self.memory) == (
            other.pgoff,
            other.advised,
            other.file,
            other.readonly,
            other.memory,
        )


class PageRun:
    """*npages* host pages from *hva* on, backed by frames from *pfn* on."""

    def __init__(self, hva: int, npages: int, pfn: int, flags: int) -> None:
        self.hva = hva
        self.npages = npages
        self.pfn = pfn
        self.flags = flags
        # Frames from one page to the next: all small pages of zeroes share one frame.
        self.stride = 0 if flags & (ZEROES | THP) == ZEROES else 1


def has_frames(run: PageRun) -> bool:
    """Return whether pages have frames now. Device pages do while an area exists, mapped or not (``vm_pgoff``).

    Linux 5.12 maps them when a slot is created, without reading user space's tables (``kvm_phys_addr_ioremap()``).
    """
    return run.flags & (ABSENT | DEVICE) != ABSENT


# ``enum mmu_notifier_event`` as far as the host uses it, renumbered: why pages change. FOR_CLEAR: entries are cleared.
FOR_CLEAR: Final = 0
# munmap(), and unmapping the memory of a process that ends.
FOR_UNMAP: Final = 1
# mprotect().
FOR_PROTECTION: Final = 2
# fork(): the rights of each page change, while those of the area stay.
FOR_SHARING: Final = 3


@mypyc_attr(allow_interpreted_subclasses=True)
class NotifierReceiver:
    """Receives the changes of an address space: ``struct mmu_notifier_ops``, and events for the log."""

    def reason(self, event: int) -> None:
        """Give the reason for the next invalidation (start and end); FOR_CLEAR unless this is called."""

    def invalidate_range_start(self, start: int, end: int, blockable: bool) -> None:
        """Pages of [start, end) are about to change."""

    def invalidate_range_end(self) -> None:
        """The pages have changed."""

    def must_not_block(self, on: bool) -> None:
        """Notifications from here on must not sleep (``non_block_start()``), or may again (``non_block_end()``)."""

    def change_pte(self, hva: int, pfn: int) -> None:
        """One page is backed by another frame now."""

    def cow(self, hva: int, pages: int, pfn: int) -> None:
        """Copy-on-write was broken."""

    def copying(self, hva: int, pages: int, pfn: int) -> None:
        """Copy-on-write is about to be broken for small pages from *hva* on, one by one, to frames from *pfn* on.

        Unless other actors run in between, nothing else happens before all pages are copied.
        """

    def host_update(self) -> None:
        """The host's own tables changed."""

    def areas_dropped(self) -> None:
        """munmap() has dropped its areas: from here on it only reads the address space (``mmap_write_downgrade()``)."""


@mypyc_attr(allow_interpreted_subclasses=True)
class AddressSpace:
    """Areas and backing pages of one host process.

    :param page_shift: log2 of the page size
    :param pmd_shift: log2 of the size of a transparent huge page
    :param next_pfn: first frame for copies; counts up
    """

    def __init__(self, page_shift: int, pmd_shift: int, next_pfn: int) -> None:
        self.page_shift = page_shift
        self.pmd_shift = pmd_shift
        self.next_pfn = next_pfn
        self.vmas: list[Vma] = []
        self.runs: list[PageRun] = []
        # Frames that are not memory, whatever maps them: first frame, and number of frames.
        self.devices: list[tuple[int, int]] = []
        # Frames copied with their tags: first old frame, first new frame, number of frames; None if no memory has tags.
        self.copies: list[tuple[int, int, int]] | None = None
        # The frame of the small page of zeroes; -1: not needed yet.
        self.zeroes = -1
        self.traits = HostTraits()
        self.receiver = NotifierReceiver()

    def find_vma(self, hva: int) -> Vma | None:
        """Return the first area that ends above *hva*."""
        found: Vma | None = None
        for vma in self.vmas:
            if vma.end > hva and (found is None or vma.start < found.start):
                found = vma
        return found

    def vma_at(self, hva: int) -> Vma | None:
        """Return the area that contains *hva*."""
        vma = self.find_vma(hva)
        return vma if vma is not None and vma.start <= hva else None

    def is_protected(self, hva: int) -> bool:
        """Return whether user space may read but not write the area that contains *hva*."""
        vma = self.vma_at(hva)
        return vma is not None and vma.readonly

    def run_at(self, hva: int) -> PageRun | None:
        """Return the newest run that backs *hva*."""
        for run in reversed(self.runs):
            if run.hva <= hva < run.hva + (run.npages << self.page_shift):
                return run
        return None

    def add_run(self, hva: int, npages: int, pfn: int, flags: int) -> None:
        """Back a range anew; extend the newest run if the range continues it."""
        if self.runs:
            last = self.runs[-1]
            if (
                last.hva + (last.npages << self.page_shift) == hva
                and last.pfn + last.npages * last.stride == pfn
                and last.flags == flags
            ):
                self.runs[-1] = PageRun(last.hva, last.npages + npages, last.pfn, flags)
                return
        self.runs.append(PageRun(hva, npages, pfn, flags))

    def pfn_in(self, run: PageRun, hva: int) -> int:
        """Return the frame of *hva*, which *run* backs."""
        return run.pfn + ((hva - run.hva) >> self.page_shift) * run.stride

    def run_with(self, pfn: int) -> PageRun | None:
        """Return the newest run that holds frame *pfn*."""
        for run in reversed(self.runs):
            frames = run.npages if run.stride else 1
            if run.pfn <= pfn < run.pfn + frames and not run.flags & (ABSENT | POISON):
                return run
        return None

    def frame_has(self, pfn: int, flag: int) -> bool:
        """Return whether frame *pfn* has a flag, by the newest run that holds it."""
        run = self.run_with(pfn)
        return run is not None and run.flags & flag != 0

    def frames_around(self, pfn: int) -> int:
        """Return the number of frames of the host's page that has frame *pfn*, by the newest run that holds it."""
        run = self.run_with(pfn)
        if run is None:
            return 1
        if run.flags & THP:
            return 1 << (self.pmd_shift - self.page_shift)
        vma = self.vma_at(run.hva + ((pfn - run.pfn) << self.page_shift))
        return 1 << (vma.huge_shift - self.page_shift) if vma is not None and vma.huge_shift else 1

    def is_device(self, pfn: int) -> bool:
        """Return whether frame *pfn* is not memory, which remains so when nobody maps it any more."""
        for first, frames in self.devices:
            if first <= pfn < first + frames:
                return True
        return False

    def new_frames(self, pages: int, align: int) -> int:
        """Allocate *pages* consecutive unused frames, the first a multiple of *align*."""
        pfn = (self.next_pfn + align - 1) // align * align
        self.next_pfn = pfn + pages
        return pfn

    def zero_frame(self) -> int:
        """Return the frame of the small page of zeroes."""
        if self.zeroes < 0:
            self.zeroes = self.new_frames(1, 1)
        return self.zeroes

    def hold(self, pfn: int) -> None:
        """Take a reference on a frame; no effect in this class."""

    def drop_hold(self, pfn: int) -> None:
        """Drop one reference on a frame."""

    def copy_frames(self, old: int, new: int, pages: int) -> None:
        """Copy the contents of *pages* frames; no effect here, since contents are not modelled."""

    def populate(self, hva: int, write: bool) -> None:
        """Handle an access to a page that is not present; no effect in this class."""

    def truncate(self, start: int, end: int) -> None:
        """Remove pages from a file that user space has not mapped; no effect in this class."""

    def break_cow(self, hva: int) -> None:
        """Give *hva* a writable frame of its own (``do_wp_page()``, ``hugetlb_wp()``).

        A transparent huge page is split first (``do_huge_pmd_wp_page()``). A huge page of zeroes is split too, unless
        the host replaces it by another huge page. The guest is notified by an invalidation and, within it, by
        change_pte (except for hugetlb). A page with no other owner causes no notification.
        """
        run = self.run_at(hva)
        vma = self.vma_at(hva)
        assert run is not None
        if vma is None:
            # munmap() is about to take the page away.
            return
        shift = vma.huge_shift if vma.huge_shift else self.page_shift
        if run.flags & SOLE:
            start = hva & -(1 << shift)
            self.add_run(start, 1 << (shift - self.page_shift), self.pfn_in(run, start), run.flags & ~SOLE | WRITABLE)
            return
        if run.flags & (THP | ZEROES) == THP | ZEROES and self.traits.fills_zeroes:
            self.fill_zeroes(hva)
            return
        if run.flags & THP:
            self.split(hva)
            run = self.run_at(hva)
            assert run is not None
        start = hva & -(1 << shift)
        pages = 1 << (shift - self.page_shift)
        pfn = self.new_frames(pages, pages)
        receiver = self.receiver
        receiver.cow(start, pages, pfn)
        receiver.invalidate_range_start(start, start + (1 << shift), True)
        run = self.run_at(start)
        # Meanwhile another thread may have copied the page or taken it away.
        if run is not None and not run.flags & (WRITABLE | ABSENT):
            self.copy_frames(self.pfn_in(run, start), pfn, pages)
            self.add_run(start, pages, pfn, WRITABLE)
            if not vma.huge_shift:
                receiver.change_pte(start, pfn)
        receiver.invalidate_range_end()

    def fill_zeroes(self, hva: int) -> None:
        """Replace the huge page of zeroes around *hva* by a new huge page: ``do_huge_zero_wp_pmd()``, since v6.13."""
        start = hva & -(1 << self.pmd_shift)
        pages = 1 << (self.pmd_shift - self.page_shift)
        pfn = self.new_frames(pages, pages)
        self.receiver.invalidate_range_start(start, start + (1 << self.pmd_shift), True)
        run = self.run_at(hva)
        # Meanwhile another thread may have done this or taken the page away.
        if run is not None and run.flags & (THP | ZEROES | ABSENT) == THP | ZEROES:
            self.add_run(start, pages, pfn, WRITABLE | THP)
        self.receiver.invalidate_range_end()

    def split(self, hva: int) -> None:
        """Map the transparent huge page around *hva* by small entries: ``__split_huge_pmd()``.

        They map the same frames; a huge page of zeroes becomes the small page of zeroes. A device's block is unmapped
        (``vma_is_special_huge()``).
        """
        start = hva & -(1 << self.pmd_shift)
        self.receiver.invalidate_range_start(start, start + (1 << self.pmd_shift), True)
        self.map_small(hva)
        self.receiver.invalidate_range_end()

    def map_small(self, hva: int) -> None:
        """Perform the work of `split` between its two notifications."""
        start = hva & -(1 << self.pmd_shift)
        pages = 1 << (self.pmd_shift - self.page_shift)
        run = self.run_at(hva)
        # Meanwhile another thread may have split it or taken it away.
        if run is not None and run.flags & THP and not run.flags & ABSENT:
            if run.flags & ZEROES:
                self.add_run(start, pages, self.zero_frame(), run.flags & ~THP)
            elif run.flags & DEVICE:
                self.add_run(start, pages, self.pfn_in(run, start), run.flags | ABSENT)
            else:
                self.add_run(start, pages, self.pfn_in(run, start), run.flags & ~THP | FOLIO)
