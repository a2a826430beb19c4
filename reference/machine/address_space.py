# SPDX-License-Identifier: GPL-2.0-only
"""The host process whose memory the guest sees: areas, and the frames behind them.

The rules are those of tests/data/golden/vm/README.md. MMU notifiers are
called as the host kernel does; who listens is a `Listener`.
"""

from typing import Final, NamedTuple

from ..compiled.annotations import mypyc_attr

WRITABLE: Final = 1 << 0
# One entry of level 2 maps it: a huge transparent page, or (with DEVICE) as many frames of a device.
THP: Final = 1 << 1
DEVICE: Final = 1 << 2
# Broken memory: nobody may use it (with ABSENT: and its frame is gone).
POISON: Final = 1 << 3
ABSENT: Final = 1 << 4
# The kernel's page of zeroes, small or (with THP) huge: many addresses have it, nobody owns it, nobody may write it.
ZEROES: Final = 1 << 5
# Read-only, and nobody else has it: a write makes the page writable, in place, and copies nothing.
SOLE: Final = 1 << 6
# Part of a huge page whose pages small entries map (a large folio): what happens to one page happens to all of these.
FOLIO: Final = 1 << 7
# With DEVICE, and of areas: a guest may use it as memory too, without caches (VM_ALLOW_ANY_UNCACHED).
UNCACHED: Final = 1 << 8
# With DEVICE, and of areas: it is memory, and user space maps it with caches.
CACHED: Final = 1 << 9


class HostTraits(NamedTuple):
    """Memory management of Linux where it is not the same in all versions; that of the oldest by default.

    :param drops_zeroes: a huge page that is split gives its pages of nothing but zeroes back (..._USE_SHARED_ZEROPAGE)
    :param fills_zeroes: a write to the huge page of zeroes gets a huge page, and no small one
    :param collapses_read_only: pages that nobody may write can become a huge one
    :param unmaps_by_area: a large folio that small entries map leaves the tables area by area, each with a notification
    :param frees_tables: a discard frees the tables in which nothing is left (CONFIG_PT_RECLAIM)
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
    :param advised: user space wants transparent huge pages here (MADV_HUGEPAGE)
    :param file: of a file, whose pages are its own; else anonymous memory
    :param readonly: user space may not write it (no VM_WRITE)
    :param memory: of a device, `UNCACHED` or `CACHED`; else 0
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
        """Tell whether two areas are alike in place and properties."""
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
        # Frames from one page to the next: all small pages of zeroes are one frame.
        self.stride = 0 if flags & (ZEROES | THP) == ZEROES else 1


def has_frames(run: PageRun) -> bool:
    """Tell whether pages have frames now; those of a device do while there is an area, mapped or not (``vm_pgoff``).

    5.12 maps these when a slot is made, without a look at the tables of user space (``kvm_phys_addr_ioremap()``).
    """
    return run.flags & (ABSENT | DEVICE) != ABSENT


# ``enum mmu_notifier_event``, as far as the host has it, in an order of its own: why pages change. Entries are cleared.
FOR_CLEAR: Final = 0
# munmap(), and what takes the memory of a process that ends.
FOR_UNMAP: Final = 1
# mprotect().
FOR_PROTECTION: Final = 2
# fork(): the rights of each page change, not those of the area.
FOR_SHARING: Final = 3


@mypyc_attr(allow_interpreted_subclasses=True)
class Listener:
    """Receives the changes of an address space: ``struct mmu_notifier_ops``, and the event log."""

    def reason(self, event: int) -> None:
        """Say why the next invalidation, the start and the end of it, takes place; without that it is FOR_CLEAR."""

    def invalidate_range_start(self, start: int, end: int, blockable: bool) -> None:
        """Pages of [start, end) are about to change."""

    def invalidate_range_end(self) -> None:
        """The pages have changed."""

    def must_not_block(self, on: bool) -> None:
        """Notifications from here on must not sleep (``non_block_start()``), or may again (``non_block_end()``)."""

    def change_pte(self, hva: int, pfn: int) -> None:
        """One page now is another frame."""

    def cow(self, hva: int, pages: int, pfn: int) -> None:
        """Copy-on-write was broken."""

    def copying(self, hva: int, pages: int, pfn: int) -> None:
        """Copy-on-write is about to be broken for small pages from *hva* on, one by one, to the frames from *pfn* on.

        Unless others come between, nothing else happens before all are copied.
        """

    def host_update(self) -> None:
        """The host's own tables changed."""

    def areas_dropped(self) -> None:
        """munmap() has dropped its areas: from here on it only reads the address space (mmap_write_downgrade())."""


@mypyc_attr(allow_interpreted_subclasses=True)
class AddressSpace:
    """Areas and backing of one host process.

    :param page_shift: log2 of the page size
    :param pmd_shift: log2 of the size of a transparent huge page
    :param next_pfn: where the frames for copies are taken from, counting up
    """

    def __init__(self, page_shift: int, pmd_shift: int, next_pfn: int) -> None:
        self.page_shift = page_shift
        self.pmd_shift = pmd_shift
        self.next_pfn = next_pfn
        self.vmas: list[Vma] = []
        self.runs: list[PageRun] = []
        # Frames that are no memory, whatever maps them: the first one, and how many.
        self.devices: list[tuple[int, int]] = []
        # Frames that were copied with their tags: the first of the old ones, of the new ones, how many; None: no memory
        # has tags.
        self.copies: list[tuple[int, int, int]] | None = None
        # The frame of the small page of zeroes; -1: nobody has needed it.
        self.zeroes = -1
        self.traits = HostTraits()
        self.listener = Listener()

    def find_vma(self, hva: int) -> Vma | None:
        """The first area that ends above *hva*."""
        found: Vma | None = None
        for vma in self.vmas:
            if vma.end > hva and (found is None or vma.start < found.start):
                found = vma
        return found

    def vma_at(self, hva: int) -> Vma | None:
        """The area that holds *hva*."""
        vma = self.find_vma(hva)
        return vma if vma is not None and vma.start <= hva else None

    def is_protected(self, hva: int) -> bool:
        """Tell whether user space may read the area that holds *hva*, and not write it."""
        vma = self.vma_at(hva)
        return vma is not None and vma.readonly

    def run_at(self, hva: int) -> PageRun | None:
        """The newest run that backs *hva*."""
        for run in reversed(self.runs):
            if run.hva <= hva < run.hva + (run.npages << self.page_shift):
                return run
        return None

    def add_run(self, hva: int, npages: int, pfn: int, flags: int) -> None:
        """Back a range anew; joined to the newest run where it goes on from it."""
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
        """The frame behind *hva*, which *run* backs."""
        return run.pfn + ((hva - run.hva) >> self.page_shift) * run.stride

    def frame_has(self, pfn: int, flag: int) -> bool:
        """Tell whether frame *pfn* has a flag, by the newest run that holds it."""
        for run in reversed(self.runs):
            frames = run.npages if run.stride else 1
            if run.pfn <= pfn < run.pfn + frames and not run.flags & (ABSENT | POISON):
                return run.flags & flag != 0
        return False

    def is_device(self, pfn: int) -> bool:
        """Tell whether frame *pfn* is no memory; it stays so when nobody maps it any more."""
        for first, frames in self.devices:
            if first <= pfn < first + frames:
                return True
        return False

    def new_frames(self, pages: int, align: int) -> int:
        """Take *pages* unused frames in a row, the first a multiple of *align*."""
        pfn = (self.next_pfn + align - 1) // align * align
        self.next_pfn = pfn + pages
        return pfn

    def zero_frame(self) -> int:
        """The frame of the small page of zeroes."""
        if self.zeroes < 0:
            self.zeroes = self.new_frames(1, 1)
        return self.zeroes

    def hold(self, pfn: int) -> None:
        """Somebody has a reference on a frame; nothing follows from it here."""

    def let_go(self, pfn: int) -> None:
        """Drop one hold of a frame."""

    def copy_frames(self, old: int, new: int, pages: int) -> None:
        """Contents of *pages* frames are copied; nothing to do where contents are not modelled."""

    def populate(self, hva: int, write: bool) -> None:
        """Handle the touch of a page that is not there; nothing follows from it here."""

    def truncate(self, start: int, end: int) -> None:
        """Take pages from a file that user space has not mapped; nothing follows from it here."""

    def break_cow(self, hva: int) -> None:
        """Give *hva* a frame of its own that may be written (``do_wp_page()``, ``hugetlb_wp()``).

        A huge transparent page is split first (``do_huge_pmd_wp_page()``), one of zeroes where the host does not put
        another huge page there. The guest is told by an invalidation, in it (but for hugetlb) by change_pte. Of a page
        that nobody else has nobody is told.
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
        listener = self.listener
        listener.cow(start, pages, pfn)
        listener.invalidate_range_start(start, start + (1 << shift), True)
        run = self.run_at(start)
        # Meanwhile another thread may have copied the page, or taken it away.
        if run is not None and not run.flags & (WRITABLE | ABSENT):
            self.copy_frames(self.pfn_in(run, start), pfn, pages)
            self.add_run(start, pages, pfn, WRITABLE)
            if not vma.huge_shift:
                listener.change_pte(start, pfn)
        listener.invalidate_range_end()

    def fill_zeroes(self, hva: int) -> None:
        """Put a huge page in the place of that of zeroes around *hva*: ``do_huge_zero_wp_pmd()``, since v6.13."""
        start = hva & -(1 << self.pmd_shift)
        pages = 1 << (self.pmd_shift - self.page_shift)
        pfn = self.new_frames(pages, pages)
        self.listener.invalidate_range_start(start, start + (1 << self.pmd_shift), True)
        run = self.run_at(hva)
        # Meanwhile another thread may have done it, or taken the page away.
        if run is not None and run.flags & (THP | ZEROES | ABSENT) == THP | ZEROES:
            self.add_run(start, pages, pfn, WRITABLE | THP)
        self.listener.invalidate_range_end()

    def split(self, hva: int) -> None:
        """Have small entries map the transparent huge page around *hva*: ``__split_huge_pmd()``.

        They map the same frames, those of a huge page of zeroes the small one. Of a device nothing is mapped any more
        (``vma_is_special_huge()``).
        """
        start = hva & -(1 << self.pmd_shift)
        self.listener.invalidate_range_start(start, start + (1 << self.pmd_shift), True)
        self.map_small(hva)
        self.listener.invalidate_range_end()

    def map_small(self, hva: int) -> None:
        """Do what `split` does between the two notifications."""
        start = hva & -(1 << self.pmd_shift)
        pages = 1 << (self.pmd_shift - self.page_shift)
        run = self.run_at(hva)
        # Meanwhile another thread may have split it, or taken it away.
        if run is not None and run.flags & THP and not run.flags & ABSENT:
            if run.flags & ZEROES:
                self.add_run(start, pages, self.zero_frame(), run.flags & ~THP)
            elif run.flags & DEVICE:
                self.add_run(start, pages, self.pfn_in(run, start), run.flags | ABSENT)
            else:
                self.add_run(start, pages, self.pfn_in(run, start), run.flags & ~THP | FOLIO)
