# SPDX-License-Identifier: GPL-2.0-only
"""The host's changes of its pages, and its notifications."""

from collections.abc import Callable

import pytest

from reference.machine.address_space import (
    ABSENT,
    FOLIO,
    POISON,
    SOLE,
    THP,
    WRITABLE,
    ZEROES,
    HostTraits,
    NotifierReceiver,
    Vma,
)
from reference.machine.granule import Granule
from reference.machine.host import Host
from reference.machine.memory import FIRST_PFN, FOREIGN, FREE, INITIAL, OWNED, Memory

HVA = 0x7F0000000000
PAGE = 4096
BLOCK = 2 << 20


class Log(NotifierReceiver):
    """Records notifications as short texts, in pages relative to HVA."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def invalidate_range_start(self, start: int, end: int, blockable: bool) -> None:
        self.calls.append(f"start {(start - HVA) // PAGE}..{(end - HVA) // PAGE}")

    def invalidate_range_end(self) -> None:
        self.calls.append("end")

    def change_pte(self, hva: int, pfn: int) -> None:
        self.calls.append(f"change {(hva - HVA) // PAGE}")

    def cow(self, hva: int, pages: int, pfn: int) -> None:
        self.calls.append(f"cow {(hva - HVA) // PAGE}+{pages}")


class Watch(Log):
    """Records the frames that changed outside of any notification."""

    def __init__(self, host: Host) -> None:
        super().__init__()
        self.host = host
        self.depth = 0
        self.frames = self.look()
        self.untold: list[int] = []

    def look(self) -> list[int]:
        return [self.host.frame_of(HVA + page * PAGE) for page in range(1024)]

    def compare(self) -> None:
        now = self.look()
        self.untold += [page for page in range(1024) if now[page] != self.frames[page] != -1]
        self.frames = now

    def invalidate_range_start(self, start: int, end: int, blockable: bool) -> None:
        super().invalidate_range_start(start, end, blockable)
        if not self.depth:
            self.compare()
        self.depth += 1

    def invalidate_range_end(self) -> None:
        super().invalidate_range_end()
        self.depth -= 1
        if not self.depth:
            self.frames = self.look()


class Fixture:
    """A host with one area of 4M."""

    def __init__(self, flags: int, huge_shift: int = 0) -> None:
        self.host = Host(12, 21, Memory(Granule(12)))
        self.log = Log()
        self.host.receiver = self.log
        pfn = self.host.new_frames(1024, 512)
        self.host.add_run(HVA, 1024, pfn, WRITABLE | flags)
        self.host.vmas.append(Vma(HVA, HVA + 2 * BLOCK, False, huge_shift, 0))

    def frame(self, page: int) -> int:
        return self.host.frame_of(HVA + page * PAGE)

    def flags(self, page: int) -> int:
        run = self.host.run_at(HVA + page * PAGE)
        assert run is not None
        return run.flags


def test_collapse_copies_into_one_huge_page() -> None:
    f = Fixture(0)
    f.host.version = 3
    f.host.write(HVA + 5 * PAGE, HVA + 6 * PAGE)
    old = f.frame(5)
    f.host.collapse(HVA + 7 * PAGE)
    assert f.log.calls == ["start 0..512", "end"]
    assert f.flags(0) == f.flags(511) == WRITABLE | THP
    assert f.flags(512) == WRITABLE
    assert f.frame(0) % 512 == 0
    assert f.host.memory.guest_read(f.frame(5), True) == 3
    assert f.host.memory.owner[old - FIRST_PFN] == FREE


@pytest.mark.parametrize("flags", [THP, ABSENT])
def test_collapse_of_a_huge_or_absent_page_does_nothing(flags: int) -> None:
    f = Fixture(flags)
    f.host.collapse(HVA)
    assert f.log.calls == []


def test_split_keeps_the_frames() -> None:
    f = Fixture(THP)
    before = f.frame(3)
    f.host.split_huge(HVA + PAGE)
    assert f.log.calls == ["start 0..512", "end"]
    assert f.frame(3) == before
    assert (f.flags(3), f.flags(600)) == (WRITABLE, WRITABLE | THP)
    f.host.split_huge(HVA + PAGE)
    assert len(f.log.calls) == 2


def test_migration_moves_whole_host_pages() -> None:
    f = Fixture(THP)
    old = f.frame(0)
    f.host.migrate(HVA + PAGE, HVA + 2 * PAGE)
    assert f.log.calls == ["start 0..512", "end"]
    assert f.frame(0) != old
    assert f.flags(0) == WRITABLE | THP
    assert f.host.memory.guest_read(old, True) == FOREIGN


def test_discard_splits_at_its_edges_and_touching_makes_a_fresh_page() -> None:
    f = Fixture(THP)
    f.host.discard(HVA + PAGE, HVA + 3 * PAGE)
    assert f.log.calls == ["start 1..3", "start 0..512", "end", "end"]
    assert f.frame(1) == f.frame(2) == -1
    assert f.frame(3) >= 0
    f.log.calls.clear()
    f.host.discard(HVA + 5 * PAGE, HVA + 6 * PAGE)
    assert f.log.calls == ["start 5..6", "end"]
    f.host.populate(HVA + PAGE, True)
    assert f.frame(1) >= 0
    assert f.frame(2) == -1
    assert f.host.memory.guest_read(f.frame(1), True) == 0


def test_a_discarded_block_returns_as_a_huge_page() -> None:
    f = Fixture(THP)
    f.host.discard(HVA, HVA + BLOCK)
    f.host.populate(HVA + 9 * PAGE, True)
    assert f.frame(0) % 512 == 0
    assert f.flags(0) == WRITABLE | THP


@pytest.mark.parametrize("frees", [False, True])
def test_a_discard_of_small_entries_frees_their_table(frees: bool) -> None:
    """Check this as the kernel behaves since v7.0, if the version declares it: a huge page may then return."""
    f = Fixture(THP)
    f.host.traits = HostTraits(frees_tables=frees)
    small_entries(f)
    f.host.discard(HVA, HVA + BLOCK - PAGE)
    assert f.flags(0) == ABSENT
    f.host.discard(HVA, HVA + BLOCK)
    assert f.flags(0) == f.flags(511) == (ABSENT | THP if frees else ABSENT)


def test_without_advice_a_discarded_block_returns_as_small_pages() -> None:
    f = Fixture(0)
    f.host.vmas[0].advised = False
    f.host.collapse(HVA)
    f.host.discard(HVA, HVA + BLOCK)
    f.host.populate(HVA, True)
    assert (f.flags(0), f.flags(1)) == (WRITABLE, ABSENT)


def test_a_read_maps_the_page_of_zeroes_and_a_write_copies_it() -> None:
    f = Fixture(0)
    f.host.discard(HVA, HVA + 4 * PAGE)
    f.log.calls.clear()
    for page in (0, 1, 3):
        f.host.populate(HVA + page * PAGE, False)
    zero = f.frame(0)
    assert (f.frame(1), f.frame(2), f.frame(3)) == (zero, -1, zero)
    assert f.flags(0) == f.flags(1) == ZEROES
    assert f.host.memory.guest_read(zero, True) == 0
    # The page of zeroes cannot be moved, merged, broken, or shared anew.
    f.host.migrate(HVA, HVA + PAGE)
    f.host.merge(HVA)
    f.host.fail_memory(HVA)
    assert f.log.calls == []
    f.host.version = 7
    f.host.write(HVA + PAGE, HVA + 2 * PAGE)
    assert f.log.calls == ["cow 1+1", "start 1..2", "change 1", "end"]
    assert f.flags(1) == WRITABLE
    assert (f.host.memory.guest_read(f.frame(1), True), f.host.memory.guest_read(zero, True)) == (7, 0)
    f.host.discard(HVA, HVA + 4 * PAGE)
    assert f.host.memory.owner[zero - FIRST_PFN] == OWNED


def test_a_read_of_a_whole_block_maps_the_huge_page_of_zeroes_and_a_write_splits_it() -> None:
    f = Fixture(THP)
    f.host.discard(HVA, HVA + 2 * BLOCK)
    f.log.calls.clear()
    f.host.populate(HVA + 9 * PAGE, False)
    f.host.populate(HVA + BLOCK, False)
    huge = f.frame(0)
    assert (huge % 512, f.frame(511), f.frame(512)) == (0, huge + 511, huge)
    assert f.flags(9) == ZEROES | THP
    f.host.migrate(HVA, HVA + PAGE)
    f.host.split_huge(HVA)
    f.host.collapse(HVA)
    f.host.fail_memory(HVA)
    assert f.log.calls == []
    f.host.break_cow(HVA + PAGE)
    assert f.log.calls == ["start 0..512", "end", "cow 1+1", "start 1..2", "change 1", "end"]
    assert (f.flags(0), f.flags(1), f.flags(600)) == (ZEROES, WRITABLE, ZEROES | THP)
    assert f.frame(0) == f.frame(2) == f.frame(511) not in range(huge, huge + 512)


def test_a_read_of_private_hugetlb_maps_a_page_that_a_write_makes_writable() -> None:
    f = Fixture(0, huge_shift=21)
    f.host.discard(HVA, HVA + BLOCK)
    f.log.calls.clear()
    f.host.populate(HVA + PAGE, False)
    frame = f.frame(5)
    assert f.flags(5) == SOLE
    f.host.break_cow(HVA + 5 * PAGE)
    assert (f.flags(5), f.frame(5), f.log.calls) == (WRITABLE, frame, [])


def test_collapse_includes_shared_and_absent_pages() -> None:
    f = Fixture(0)
    f.host.version = 3
    f.host.write(HVA, HVA + 4 * PAGE)
    f.host.share(HVA, HVA + 2 * PAGE)
    f.host.discard(HVA + 2 * PAGE, HVA + 4 * PAGE)
    f.host.populate(HVA + 3 * PAGE, False)
    f.log.calls.clear()
    f.host.collapse(HVA)
    assert f.log.calls == ["start 0..512", "end"]
    assert f.flags(0) == f.flags(511) == WRITABLE | THP
    assert [f.host.memory.guest_read(f.frame(page), True) for page in range(4)] == [3, 3, 0, 0]


def test_collapse_needs_a_writable_page() -> None:
    f = Fixture(0)
    f.host.share(HVA, HVA + BLOCK)
    f.host.discard(HVA, HVA + PAGE)
    f.log.calls.clear()
    f.host.collapse(HVA)
    assert f.log.calls == []
    f.host.populate(HVA, True)
    f.host.collapse(HVA)
    assert f.log.calls == ["start 0..512", "end"]


def test_collapse_of_read_only_pages() -> None:
    """Check this as the kernel behaves since v6.18, if the version declares it; the area decides who may write."""
    f = Fixture(0)
    f.host.traits = HostTraits(collapses_read_only=True)
    f.host.share(HVA, HVA + BLOCK)
    f.host.collapse(HVA)
    assert f.flags(0) == f.flags(511) == WRITABLE | THP
    f = Fixture(0)
    f.host.traits = HostTraits(collapses_read_only=True)
    f.host.protect(HVA, HVA + BLOCK, True)
    f.host.collapse(HVA)
    assert f.flags(0) == f.flags(511) == SOLE | THP
    f.host.protect(HVA, HVA + BLOCK, False)
    assert f.flags(0) == WRITABLE | THP


def test_boundaries_of_areas_notify_for_whole_blocks() -> None:
    f = Fixture(0)
    f.host.share(HVA + PAGE, HVA + 513 * PAGE)
    assert f.log.calls == ["start 0..512", "end", "start 512..1024", "end", "start 1..513", "end"]
    f.log.calls.clear()
    # Both ends lie in one block; the second is in an area that has only a part of the block.
    f.host.unmap(HVA + PAGE, HVA + 2 * PAGE)
    assert f.log.calls == ["start 0..512", "end", "start 1..2", "end"]
    f.log.calls.clear()
    f.host.unmap(HVA + 4 * PAGE, HVA + 5 * PAGE)
    assert f.log.calls == ["start 4..5", "end"]


def small_entries(f: Fixture) -> None:
    """Map the first huge page by small entries, except its page 1."""
    f.host.discard(HVA + PAGE, HVA + 2 * PAGE)
    f.log.calls.clear()


def test_a_large_folio_mapped_by_small_entries_moves_as_a_whole() -> None:
    f = Fixture(THP)
    small_entries(f)
    assert (f.flags(0), f.flags(1), f.flags(2)) == (WRITABLE | FOLIO, ABSENT, WRITABLE | FOLIO)
    old = f.frame(300)
    f.host.migrate(HVA, HVA + 2 * PAGE)
    assert f.log.calls == ["start 0..512", "end"]
    assert f.frame(300) not in (old, -1)
    assert f.frame(1) == -1
    # The folio had lost a page, so it was split.
    assert f.flags(0) == f.flags(511) == WRITABLE
    f.log.calls.clear()
    f.host.migrate(HVA, HVA + 2 * PAGE)
    assert f.log.calls == ["start 0..1", "end"]


def test_a_partly_shared_large_folio_is_still_complete() -> None:
    f = Fixture(THP)
    f.host.share(HVA + PAGE, HVA + 2 * PAGE)
    f.host.migrate(HVA, HVA + PAGE)
    assert (f.flags(0), f.flags(1), f.flags(2)) == (WRITABLE | FOLIO, FOLIO, WRITABLE | FOLIO)


def test_each_area_notifies_for_its_part_of_a_large_folio() -> None:
    """Check this as the kernel behaves since v6.18, if the version declares it; up to the last area with its pages."""
    for by_area, calls in (
        (False, ["start 0..512", "end"]),
        (True, ["start 0..4", "start 5..256", "end", "end"]),
    ):
        for act in ("split", "move"):
            f = Fixture(THP)
            f.host.traits = HostTraits(unmaps_by_area=by_area)
            f.host.unmap(HVA + 4 * PAGE, HVA + 5 * PAGE)
            f.host.protect(HVA + 256 * PAGE, HVA + BLOCK, True)
            f.host.discard(HVA + 256 * PAGE, HVA + BLOCK)
            f.log.calls.clear()
            if act == "split":
                f.host.split_huge(HVA)
            else:
                f.host.migrate(HVA, HVA + PAGE)
            assert f.log.calls == calls
            assert (f.flags(0), f.flags(5)) == (WRITABLE, WRITABLE)


def test_a_huge_page_notifies_once() -> None:
    for act in ("split", "move"):
        f = Fixture(THP)
        f.host.traits = HostTraits(unmaps_by_area=True)
        if act == "split":
            f.host.split_huge(HVA)
        else:
            f.host.migrate(HVA, HVA + PAGE)
        assert f.log.calls == ["start 0..512", "end"]


def test_a_large_folio_mapped_by_small_entries_is_split() -> None:
    f = Fixture(THP)
    small_entries(f)
    f.host.split_huge(HVA + PAGE)
    assert f.log.calls == []
    f.host.fail_memory(HVA + 2 * PAGE)
    assert f.log.calls == ["start 0..512", "end", "start 2..3", "end"]
    assert f.flags(0) == WRITABLE


def test_a_write_fills_the_huge_page_of_zeroes() -> None:
    """Check this as the kernel behaves since v6.13, if the version declares it; the VM is notified of the old page."""
    f = Fixture(THP)
    f.host.discard(HVA, HVA + BLOCK)
    f.host.populate(HVA, False)
    assert (f.flags(0), f.flags(511)) == (ZEROES | THP, ZEROES | THP)
    old = f.frame(0)
    f.log.calls.clear()
    f.host.traits = HostTraits(fills_zeroes=True)
    f.host.break_cow(HVA + 7 * PAGE)
    assert f.log.calls == ["start 0..512", "end"]
    assert (f.flags(0), f.flags(511)) == (WRITABLE | THP, WRITABLE | THP)
    assert f.frame(511) == f.frame(0) + 511
    assert f.frame(0) != old
    assert f.host.memory.guest_read(f.frame(7), True) == 0


def test_a_split_frees_pages_that_contain_only_zeroes() -> None:
    """Check this as the kernel behaves since v6.12, if the version declares it."""
    f = Fixture(THP)
    f.host.version = 3
    f.host.write(HVA + 2 * PAGE, HVA + 4 * PAGE)
    f.host.split_huge(HVA)
    assert f.flags(0) == f.flags(2) == WRITABLE
    f.host.traits = HostTraits(drops_zeroes=True)
    old = f.frame(1)
    f.host.collapse(HVA)
    f.host.memory.host_write(f.frame(8), 1, INITIAL)
    f.host.split_huge(HVA)
    assert [f.flags(page) for page in (0, 1, 2, 3, 4, 8, 511)] == [
        *(ZEROES, ZEROES, WRITABLE, WRITABLE, ZEROES, WRITABLE, ZEROES)
    ]
    assert f.frame(0) == f.frame(1) == f.frame(511) != old
    assert f.host.memory.guest_read(f.frame(8), True) == 0


@pytest.mark.parametrize("small", [False, True])
@pytest.mark.parametrize(
    "change",
    [
        lambda host: host.split_huge(HVA + PAGE),
        lambda host: host.fail_memory(HVA + PAGE),
        lambda host: host.merge(HVA + PAGE),
        lambda host: host.collapse(HVA + BLOCK),
        lambda host: host.migrate(HVA + PAGE, HVA + 2 * PAGE),
        lambda host: host.discard(HVA + PAGE, HVA + 2 * PAGE),
        lambda host: host.unmap(HVA + PAGE, HVA + 2 * PAGE),
        lambda host: host.share(HVA + PAGE, HVA + 2 * PAGE),
    ],
    ids=["split", "poison", "merge", "collapse", "migrate", "discard", "unmap", "share"],
)
def test_no_frame_changes_outside_of_a_notification(change: Callable[[Host], None], small: bool) -> None:
    """Watch for such frames:

    a vCPU may have mapped the page again after a notification, and KVM would not learn of it.
    """
    f = Fixture(0)
    f.host.collapse(HVA)
    if small:
        # Small entries map the rest of the huge page.
        f.host.discard(HVA, HVA + PAGE)
    f.host.traits = HostTraits(drops_zeroes=True)
    f.host.receiver = watch = Watch(f.host)
    change(f.host)
    watch.compare()
    assert watch.untold == []
    assert "end" in watch.calls


def test_a_large_folio_mapped_by_small_entries_is_aged_as_a_whole() -> None:
    f = Fixture(THP)
    small_entries(f)
    f.host.populate(HVA + PAGE, True)
    pages = [HVA + page * PAGE for page in range(512) if page != 1]
    aged = f.host.pages_to_age(HVA, HVA + PAGE)
    assert aged == [(page, PAGE) for page in pages]
    assert f.host.aged_range(HVA, HVA + PAGE, aged) == (HVA, HVA + BLOCK)
    assert f.host.pages_to_age(HVA + PAGE, HVA + 2 * PAGE) == [(HVA + PAGE, PAGE)]
    assert len(f.host.pages_to_age(HVA, HVA + BLOCK)) == 512


def test_hugetlb_gives_up_whole_pages_only() -> None:
    f = Fixture(0, huge_shift=21)
    f.host.discard(HVA + PAGE, HVA + BLOCK)
    assert f.log.calls == []
    f.host.discard(HVA + PAGE, HVA + 2 * BLOCK)
    assert f.log.calls == ["start 512..1024", "end"]


def test_copy_on_write_notifies_by_invalidation_and_change_pte() -> None:
    f = Fixture(0)
    f.host.share(HVA + PAGE, HVA + 2 * PAGE)
    f.log.calls.clear()
    old = f.frame(1)
    f.host.write(HVA + PAGE, HVA + 2 * PAGE)
    assert f.log.calls == ["cow 1+1", "start 1..2", "change 1", "end"]
    assert f.frame(1) != old
    assert f.flags(1) == WRITABLE


def test_copy_on_write_in_a_huge_page_splits_it_first() -> None:
    f = Fixture(THP)
    f.host.share(HVA, HVA + BLOCK)
    f.log.calls.clear()
    f.host.break_cow(HVA + PAGE)
    assert f.log.calls == ["start 0..512", "end", "cow 1+1", "start 1..2", "change 1", "end"]
    assert f.flags(0) == FOLIO


def test_adjacent_runs_are_merged() -> None:
    f = Fixture(0)
    f.host.share(HVA, HVA + 4 * PAGE)
    for page in range(4):
        f.host.break_cow(HVA + page * PAGE)
    assert len(f.host.runs) <= 3


def test_unmap_leaves_neither_page_nor_area() -> None:
    f = Fixture(THP)
    last = f.frame(511)
    behind = f.frame(514)
    f.host.unmap(HVA + 511 * PAGE, HVA + 513 * PAGE)
    assert f.log.calls == ["start 0..512", "end", "start 512..1024", "end", "start 511..513", "end"]
    assert (f.frame(510), f.frame(511), f.frame(512), f.frame(514)) == (last - 1, -1, -1, behind)
    assert f.host.memory.owner[last - FIRST_PFN] == FREE
    assert [(vma.start, vma.end) for vma in f.host.vmas] == [
        (HVA, HVA + 511 * PAGE),
        (HVA + 513 * PAGE, HVA + 2 * BLOCK),
    ]
    f.log.calls.clear()
    f.host.write(HVA + 510 * PAGE, HVA + 515 * PAGE)
    f.host.collapse(HVA)
    f.host.migrate(HVA + 511 * PAGE, HVA + 513 * PAGE)
    f.host.populate(HVA + 511 * PAGE, True)
    assert f.log.calls == []
    assert f.frame(511) == -1


def test_unmap_of_a_pfn_mapping_keeps_the_frames_after_it() -> None:
    f = Fixture(0)
    f.host.vmas[0] = Vma(HVA, HVA + 2 * BLOCK, True, 0, 1000)
    f.host.unmap(HVA + 4 * PAGE, HVA + 6 * PAGE)
    assert [(vma.start, vma.pgoff) for vma in f.host.vmas] == [(HVA, 1000), (HVA + 6 * PAGE, 1006)]


def test_unmap_removes_whole_hugetlb_pages_only() -> None:
    f = Fixture(0, 21)
    f.host.unmap(HVA + PAGE, HVA + BLOCK)
    assert f.log.calls == []
    f.host.unmap(HVA + PAGE, HVA + 2 * BLOCK)
    assert f.log.calls == ["start 512..1024", "end"]
    assert (f.frame(511) >= 0, f.frame(512)) == (True, -1)


@pytest.mark.parametrize(
    ("flags", "huge_shift", "calls", "pages"),
    [
        (0, 0, ["start 5..6", "end"], range(5, 6)),
        (THP, 0, ["start 0..512", "end", "start 5..6", "end"], range(5, 6)),
        (0, 21, ["start 0..512", "end"], range(512)),
    ],
)
def test_broken_memory_is_unmapped_and_never_reused(
    flags: int, huge_shift: int, calls: list[str], pages: range
) -> None:
    f = Fixture(flags, huge_shift)
    frame = f.frame(5)
    f.host.fail_memory(HVA + 5 * PAGE)
    assert f.log.calls == calls
    assert [page for page in range(1024) if f.flags(page) & POISON] == list(pages)
    assert f.host.memory.cached[frame - FIRST_PFN] == FOREIGN
    f.log.calls.clear()
    f.host.write(HVA + 4 * PAGE, HVA + 7 * PAGE)
    f.host.fail_memory(HVA + 5 * PAGE)
    f.host.collapse(HVA)
    f.host.merge(HVA + 5 * PAGE)
    f.host.populate(HVA + 5 * PAGE, True)
    assert f.log.calls == []
    assert f.flags(5) & POISON
    f.host.discard(HVA, HVA + BLOCK)
    f.host.populate(HVA + 5 * PAGE, True)
    assert not f.flags(5) & (POISON | ABSENT)
    assert f.frame(5) not in (frame, -1)


def test_no_huge_page_is_aged_where_nothing_is_mapped() -> None:
    f = Fixture(THP)
    f.host.discard(HVA, HVA + BLOCK)
    f.host.unmap(HVA + PAGE, HVA + 2 * PAGE)
    f.host.populate(HVA, True)
    assert f.host.pages_to_age(HVA, HVA + PAGE) == [(HVA, PAGE)]
    assert f.host.pages_to_age(HVA + 10 * PAGE, HVA + 12 * PAGE) == []
    assert f.host.pages_to_age(HVA + 10 * PAGE, HVA + 2 * BLOCK) == [(HVA + BLOCK, BLOCK)]


def test_a_merge_write_protects_a_page_and_then_replaces_it() -> None:
    """Check that each step sends its own notification; a page written in between has a copy, which stays."""
    f = Fixture(0)
    old = f.frame(1)
    f.host.merge(HVA + PAGE)
    once = ["start 1..2", "change 1", "end"]
    assert f.log.calls == once * 2
    assert (f.flags(1), f.frame(1) != old) == (0, True)
    f = Fixture(0)
    assert f.host.write_protect(HVA + PAGE, old)
    assert (f.flags(1), f.frame(1)) == (0, old)
    f.host.write(HVA + PAGE, HVA + 2 * PAGE)
    copy = f.frame(1)
    f.log.calls.clear()
    f.host.replace_page(HVA + PAGE, old)
    assert f.log.calls == ["start 1..2", "end"]
    assert (f.flags(1), f.frame(1)) == (WRITABLE, copy)
    assert not f.host.write_protect(HVA + PAGE, old)
