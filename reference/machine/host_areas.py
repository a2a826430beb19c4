# SPDX-License-Identifier: GPL-2.0-only
"""The areas (VMAs) of the host process: splitting them, removing them, and changing their rights."""

from .address_space import FOR_PROTECTION, SOLE, WRITABLE, Vma
from .host_pages import HostPages, owned


class HostAreas(HostPages):
    """An address space whose areas change, with the notifications of the host kernel."""

    def whole_pages(self, start: int, end: int) -> tuple[int, int]:
        """Return the part of a range that may be removed: of hugetlb, only whole pages."""
        vma = self.find_vma(start)
        if vma is None or not vma.huge_shift:
            return start, end
        size = 1 << vma.huge_shift
        return (start + size - 1) & -size, end & -size

    def split_areas(self, start: int, end: int) -> None:
        """Put area boundaries at the ends of a range: ``__split_vma()``, which calls ``vma_adjust_trans_huge()``.

        A boundary inside a block that lies completely in the area notifies for all of the block, huge or not.
        """
        # Start of the next area to split: not before a boundary that was already put.
        begin = -1
        for edge in (start, end):
            vma = self.find_vma(edge)
            block = edge & -self.pmd_size
            if vma is not None and max(vma.start, begin) < edge:
                if max(vma.start, begin) <= block < edge and block + self.pmd_size <= vma.end:
                    self.split(edge)
                begin = edge

    def drop_areas(self, start: int, end: int) -> None:
        """Remove the areas of a range but keep its pages."""
        vmas: list[Vma] = []
        for vma in self.vmas:
            for first, last in without(vma.start, vma.end, start, end):
                vmas.append(self.part(vma, first, last, vma.readonly))
        self.vmas = vmas

    def part(self, vma: Vma, start: int, end: int, readonly: bool) -> Vma:
        """Return an area that is part of another one.

        :param readonly: user space may only read it
        """
        pgoff = vma.pgoff + ((start - vma.start) >> self.page_shift)
        return Vma(start, end, vma.pfnmap, vma.huge_shift, pgoff, vma.advised, vma.file, readonly, vma.memory)

    def may_write(self, hva: int) -> bool:
        """Return whether there is an area that user space may write."""
        vma = self.vma_at(hva)
        return vma is not None and not vma.readonly

    def protect(self, start: int, end: int, readonly: bool) -> None:
        """mprotect(): make a range read-only for user space, or writable again; of hugetlb, only whole pages.

        It stops where there is no area. Each area whose rights differ is changed separately (``mprotect_fixup()``) and
        notifies once (``change_pud_range()``, ``hugetlb_change_protection()``).
        """
        start, end = self.whole_pages(start, end)
        while start < end:
            vma = self.vma_at(start)
            if vma is None:
                return
            stop = min(vma.end, end)
            if vma.readonly != readonly:
                self.split_areas(start, stop)
                self.set_rights(start, stop, readonly)
                self.receiver.reason(FOR_PROTECTION)
                self.receiver.invalidate_range_start(start, stop, True)
                self.protect_pages(start, stop, readonly, vma.huge_shift != 0)
                self.receiver.invalidate_range_end()
            start = stop

    def set_rights(self, start: int, end: int, readonly: bool) -> None:
        """Change the rights of a range within its area; merge neighbours that are alike."""
        vmas: list[Vma] = []
        for vma in self.vmas:
            if vma.start <= start and end <= vma.end:
                parts = [(vma.start, start, not readonly), (start, end, readonly), (end, vma.end, not readonly)]
                vmas += [self.part(vma, first, last, rights) for first, last, rights in parts if first < last]
            else:
                vmas.append(vma)
        vmas.sort(key=lambda vma: vma.start)
        joined = vmas[:1]
        for vma in vmas[1:]:
            last = joined[-1]
            if last.end == vma.start and self.part(last, vma.start, vma.end, last.readonly).same_as(vma):
                joined[-1] = self.part(last, last.start, vma.end, last.readonly)
            else:
                joined.append(vma)
        self.vmas = joined

    def protect_pages(self, start: int, end: int, readonly: bool, hugetlb: bool) -> None:
        """Remove the write permission of pages in the host's own tables, or restore it for pages that nobody shares.

        For hugetlb the next write restores it (``can_change_pte_writable()`` is not called).
        """
        for hva, stop, run in self.pieces(start, end):
            if not owned(run):
                continue
            flags = run.flags
            if readonly and flags & WRITABLE:
                flags = flags & ~WRITABLE | SOLE
            elif not readonly and flags & SOLE and not hugetlb:
                flags = flags & ~SOLE | WRITABLE
            if flags != run.flags:
                self.replace(hva, stop - hva, self.pfn_in(run, hva), flags)


def without(first: int, last: int, start: int, end: int) -> list[tuple[int, int]]:
    """Return the rest of [first, last) after [start, end) is cut out."""
    parts = [(first, min(last, start)), (max(first, end), last)]
    return [(low, high) for low, high in parts if low < high]
