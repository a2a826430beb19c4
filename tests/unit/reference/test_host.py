# SPDX-License-Identifier: GPL-2.0-only
"""The host's changes of its pages, and its notifications."""

from collections.abc import Callable

import pytest

from reference.machine.address_space import (
    ABSENT,
    POISON,
    SOLE,
    THP,
    WRITABLE,
    ZEROES,
    HostTraits,
    Vma,
)
from reference.machine.host import Host
from reference.machine.memory import FIRST_PFN, FOREIGN, FREE, OWNED

from .one_area import BLOCK, HVA, PAGE, Fixture, Watch, small_entries


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


def test_a_read_of_private_hugetlb_maps_a_page_that_a_write_makes_writable() -> None:
    f = Fixture(0, huge_shift=21)
    f.host.discard(HVA, HVA + BLOCK)
    f.log.calls.clear()
    f.host.populate(HVA + PAGE, False)
    frame = f.frame(5)
    assert f.flags(5) == SOLE
    f.host.break_cow(HVA + 5 * PAGE)
    assert (f.flags(5), f.frame(5), f.log.calls) == (WRITABLE, frame, [])


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
