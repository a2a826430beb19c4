# SPDX-License-Identifier: GPL-2.0-only
"""Device memory that user space maps by blocks: effects of removing part of a block."""

import pytest

from reference.machine.address_space import ABSENT, DEVICE, THP, WRITABLE, PageRun, Vma
from reference.machine.granule import Granule
from reference.machine.host import Host
from reference.machine.memory import Memory

from .one_area import BLOCK, HVA, PAGE, Log

PRESENT = WRITABLE | DEVICE
GONE = PRESENT | THP | ABSENT


class Fixture:
    """A host with an area of two blocks, followed by one page."""

    def __init__(self) -> None:
        self.host = Host(12, 21, Memory(Granule(12)))
        self.log = Log()
        self.host.receiver = self.log
        self.pfn = self.host.new_device_frames(1025, 512)
        self.host.runs.append(PageRun(HVA, 1024, self.pfn, PRESENT | THP))
        self.host.runs.append(PageRun(HVA + 2 * BLOCK, 1, self.pfn + 1024, PRESENT))
        self.host.vmas.append(Vma(HVA, HVA + 2 * BLOCK + PAGE, True, 0, self.pfn))

    def flags(self, page: int) -> int:
        run = self.host.run_at(HVA + page * PAGE)
        return 0 if run is None else run.flags

    def frame(self, page: int) -> int:
        """Return the frame of a page, relative to the first frame of the area, or -1 if there is none."""
        frame = self.host.frame_of(HVA + page * PAGE)
        return frame if frame < 0 else frame - self.pfn


def test_removing_part_of_a_block_removes_the_whole_block() -> None:
    f = Fixture()
    f.host.unmap(HVA + 5 * PAGE, HVA + 6 * PAGE)
    assert f.log.calls == ["start 0..512", "end", "start 5..6", "end"]
    assert (f.flags(0), f.flags(5), f.flags(6)) == (GONE, 0, GONE)
    assert (f.flags(512), f.flags(1024)) == (PRESENT | THP, PRESENT)


def test_the_rest_of_a_block_returns_as_pages_with_the_same_frames() -> None:
    f = Fixture()
    f.host.unmap(HVA + 5 * PAGE, HVA + 6 * PAGE)
    for page in 0, 4, 6, 511:
        assert (f.flags(page), f.frame(page)) == (GONE, page)
        f.host.populate(HVA + page * PAGE, write=False)
        assert (f.flags(page), f.frame(page)) == (PRESENT, page)
    assert (f.flags(1), f.flags(7)) == (GONE, GONE)
    f.host.populate(HVA + 5 * PAGE, write=True)
    assert f.frame(5) == -1


def test_a_block_returns_if_the_area_has_all_of_it_and_no_page_is_mapped() -> None:
    f = Fixture()
    f.host.split(HVA + 3 * PAGE)
    assert f.log.calls == ["start 0..512", "end"]
    assert f.flags(3) == f.flags(0) == GONE
    f.host.populate(HVA + 7 * PAGE, write=True)
    assert f.flags(0) == f.flags(511) == PRESENT | THP
    assert (f.frame(0), f.frame(511)) == (0, 511)


@pytest.mark.parametrize(("start", "end"), [(0, 512), (512, 1024), (1024, 1025), (0, 1025)])
def test_removing_whole_blocks_leaves_the_others(start: int, end: int) -> None:
    f = Fixture()
    f.host.unmap(HVA + start * PAGE, HVA + end * PAGE)
    assert f.log.calls[-2:] == [f"start {start}..{end}", "end"]
    for page in 0, 511, 512, 1023:
        assert f.flags(page) == (0 if start <= page < end else PRESENT | THP)


def test_a_device_has_no_pages_to_age_or_to_move() -> None:
    f = Fixture()
    assert f.host.pages_to_age(HVA, HVA + 2 * BLOCK) == []
    f.host.migrate(HVA, HVA + BLOCK)
    f.host.collapse(HVA)
    assert f.log.calls == []
