# SPDX-License-Identifier: GPL-2.0-only
"""Answers to a tree's requests for pages of the host: the entry that the tree finds in the user page table."""

from typing import Final

from reference.machine.address_space import ABSENT, DEVICE, POISON, THP, WRITABLE, AddressSpace
from reference.services.errors import EFAULT, EHWPOISON

# Bits of a request for a page: only look, change nothing; truncate a file, by a number of pages from bit `_PAGES` on.
PEEK: Final = 2
_TRUNCATE: Final = 4
_PAGES: Final = 3
# The answer to a request: 0 or a negative errno, address, frame, level, flags.
Page = tuple[int, int, int, int, int]
NO_ANSWER: Final[Page] = (0, 0, 0, 0, 0)
# How often to try to get a writable page: other actors may take it away again.
_ATTEMPTS: Final = 8


def page_of(mm: AddressSpace, hva: int, how: int) -> Page:
    """Return the host's page at an address, for the user page table in the process; a write breaks copy-on-write.

    :param mm: the host's memory
    :param how: bit 0: the access is a write; with `PEEK` nothing of the host changes; with `_TRUNCATE` a file loses as
        many pages as the bits from `_PAGES` on specify
    :returns: arguments of OP_RESUME: 0 or a negative errno, address, frame, level,
        writable | device << 1 | transparent huge page << 2
    """
    if how & _TRUNCATE:
        mm.truncate(hva, hva + (how >> _PAGES << mm.page_shift))
        return 0, hva, 0, 3, 0
    if how & 1 and mm.is_protected(hva):
        return -EFAULT, 0, 0, 0, 0
    run = mm.run_at(hva)
    if run is not None and run.flags & POISON:
        return -EHWPOISON, 0, 0, 0, 0
    if not how & PEEK:
        for _ in range(_ATTEMPTS):
            if run is None or run.flags & ABSENT:
                mm.populate(hva, how & 1 != 0)
                run = mm.run_at(hva)
            if run is None or not how & 1 or run.flags & (ABSENT | WRITABLE | DEVICE):
                break
            mm.break_cow(hva)
            # Other actors may have run meanwhile, and taken the page away.
            run = mm.run_at(hva)
    if run is not None and run.flags & POISON:
        return -EHWPOISON, 0, 0, 0, 0
    if run is None or run.flags & ABSENT:
        return -EFAULT, 0, 0, 0, 0
    if not how & PEEK and how & 1 and not run.flags & WRITABLE:
        return -EFAULT, 0, 0, 0, 0
    writable = 1 if run.flags & WRITABLE else 0
    device = 2 if run.flags & DEVICE else 0
    vma = mm.find_vma(hva)
    pud_shift = 2 * mm.pmd_shift - mm.page_shift
    huge = vma.huge_shift if vma is not None and vma.start <= hva else 0
    shift, level, thp = mm.page_shift, 3, 0
    if run.flags & THP:
        # Frames of a device have no struct page that could mark them as a transparent huge page.
        shift, level, thp = mm.pmd_shift, 2, 0 if device else 4
    elif huge >= pud_shift:
        shift, level = pud_shift, 1
    elif huge >= mm.pmd_shift:
        shift, level = mm.pmd_shift, 2
    start = hva & -(1 << shift)
    return 0, start, mm.pfn_in(run, start), level, writable | device | thp
