# SPDX-License-Identifier: GPL-2.0-only
"""The host memory of a slot: an area of the host process, and its initial pages."""

from typing import Final

from reference.machine.address_space import ABSENT, CACHED, DEVICE, THP, UNCACHED, WRITABLE, PageRun, Vma
from reference.machine.host import Host
from reference.machine.memory import INITIAL

from ..language import program
from ..language.program import DEVICES, HUGE_SHIFT, MEMFD, Slot

# Memory type of devices, keyed by backing.
MEMORY: Final = {program.UNCACHED: UNCACHED, program.CACHED: CACHED}


def back(host: Host, slot: Slot, hva: int) -> None:
    """Create and populate the area of a slot at a host address, as its backing specifies."""
    backing = slot.backing
    shift = HUGE_SHIFT.get(backing, host.page_shift)
    if backing in ("thp", "anon"):
        shift = host.pmd_shift
    start = hva & -(1 << shift)
    end = (hva + slot.size + (1 << shift) - 1) & -(1 << shift)
    pages = (end - start) >> host.page_shift
    if backing in DEVICES:
        back_by_device(host, start, end, backing == "devicehuge", MEMORY.get(backing, 0))
        return
    if backing == MEMFD:
        # A file without pages: the first access to a page allocates it.
        host.runs.append(PageRun(start, pages, 0, ABSENT))
        host.vmas.append(Vma(start, end, False, 0, 0, advised=False, file=True))
        return
    align = 1 << (shift - host.page_shift)
    pfn = host.new_frames(pages, 1 if backing == "anon" else align)
    host.memory.host_write(pfn, pages, INITIAL)
    host.runs.append(PageRun(start, pages, pfn, WRITABLE | (THP if backing == "thp" else 0)))
    host.vmas.append(Vma(start, end, False, HUGE_SHIFT.get(backing, 0), 0, advised=backing == "thp"))


def back_by_device(host: Host, start: int, end: int, blocks: bool, memory: int) -> None:
    """Create an area of device frames, all of which are mapped (``vfio_pci_mmap_huge_fault()``).

    :param blocks: frames and addresses have the same offset within a level-2 block, and blocks map each whole one
    :param memory: as in `Vma`
    """
    size, shift = host.pmd_size, host.page_shift
    # Frames that are not mapped, from the start of the block.
    skipped = start % size >> shift if blocks else 0
    pfn = skipped + host.new_device_frames(skipped + (end - start >> shift), size >> shift if blocks else 1)
    first, last = (start + size - 1) & -size, end & -size
    if not blocks or first >= last:
        first = last = end
    for at, stop, huge in (start, first, 0), (first, last, THP), (last, end, 0):
        if at < stop:
            frames = pfn + (at - start >> shift)
            host.runs.append(PageRun(at, stop - at >> shift, frames, WRITABLE | DEVICE | memory | huge))
    host.vmas.append(Vma(start, end, True, 0, pfn, memory=memory))
