# SPDX-License-Identifier: GPL-2.0-only
"""A vCPU logs pages in its dirty ring. An entry is filled before it is published, with a barrier in between."""

from pathlib import Path
from typing import Final

import pytest

import candidate
from candidate.tree.building.source import DIRTY_RING, KVM_MAIN
from fuzz.checkers.ring_entry import BESIDE, EARLY, UNORDERED
from tests.good_bad.case import violations

from .trees import edited, version

SLOT: Final = "\tentry->slot = slot;\n"
OFFSET: Final = "\tentry->offset = offset;\n"
BARRIER: Final = "\tsmp_wmb();\n"
PUBLISH: Final = "\tkvm_dirty_gfn_set_dirtied(entry);\n"
FLAG: Final = "\tgfn->flags = KVM_DIRTY_GFN_F_DIRTY;\n"
PROGRAM: Final = "vm cpus=1 ring=4K\nslot a size=2M backing=anon log=on\ncpu0 write a+4K\nlog a get\n"
FOUND: Final = "dirty-log: kvm_handle_guest_abort: "

WRONG: Final = {
    "offset last": ([(OFFSET, ""), (PUBLISH, PUBLISH + OFFSET)], EARLY),
    "flag first": ([(PUBLISH, ""), (SLOT, f"{PUBLISH}{BARRIER}{SLOT}")], EARLY),
    "no barrier": ([(BARRIER, "")], UNORDERED),
    "barrier first": ([(BARRIER, ""), (SLOT, BARRIER + SLOT)], UNORDERED),
    "barrier of loads": ([(BARRIER, "\tsmp_rmb();\n")], UNORDERED),
}
RIGHT: Final = {
    "as it is": [],
    "offset first": [(OFFSET, ""), (SLOT, OFFSET + SLOT)],
    "full barrier": [(BARRIER, "\tsmp_mb();\n")],
    "release": [(BARRIER, ""), (FLAG, "\tsmp_store_release(&gfn->flags, KVM_DIRTY_GFN_F_DIRTY);\n")],
    "WRITE_ONCE()": [(FLAG, "\tWRITE_ONCE(gfn->flags, KVM_DIRTY_GFN_F_DIRTY);\n")],
    "the flag is tested before": [(SLOT, f"\tWARN_ON_ONCE(entry->flags & KVM_DIRTY_GFN_F_DIRTY);\n{SLOT}")],
}


@pytest.mark.parametrize("tree", ["6.12", "7.3"])
@pytest.mark.parametrize("name", WRONG)
def test_entries_that_are_published_too_early(tree: str, name: str, tmp_path: Path) -> None:
    edits, what = WRONG[name]
    found = violations(candidate.get(edited(tree, tmp_path / "tree", DIRTY_RING, edits)), PROGRAM)
    assert [each.signature for each in found[:1]] == [FOUND + what]
    assert "the entry of 0x40001000:" in found[0].reason


@pytest.mark.parametrize("name", RIGHT)
def test_entries_that_are_published_in_order(name: str, tmp_path: Path) -> None:
    changed = candidate.get(edited("6.12", tmp_path / "tree", DIRTY_RING, RIGHT[name]))
    assert violations(changed, PROGRAM) == []


# The choice between ring and bitmap, and programs in which vCPUs write pages beside a bitmap, concurrently too.
CHOICE: Final = "\t\tif (kvm->dirty_ring_size && vcpu)\n"
BITMAP_FIRST: Final = "\t\tif (kvm->dirty_ring_size && vcpu && !memslot->dirty_bitmap)\n"
WITH_BITMAP: Final = "vm cpus=2 ring=4K bitmap={}\nslot a size=2M backing=anon log=on\n{}log a get\n"
WRITES: Final = "cpu0 write a+0\ncpu1 write a+4K\ncpu1 write a+4K\n"
AT_ONCE: Final = "par\n  cpu0 write a+0\n  cpu1 write a+4K\n  switch cpu0 to cpu1 before lock 1\nend\n"


@pytest.mark.parametrize("tree", ["6.12", "7.3"])
def test_pages_that_are_logged_beside_the_ring(tree: str, tmp_path: Path) -> None:
    wrong = candidate.get(edited(tree, tmp_path / "tree", KVM_MAIN, [(CHOICE, BITMAP_FIRST)]))
    for writes in (WRITES, AT_ONCE):
        found = violations(wrong, WITH_BITMAP.format("on", writes))
        assert [each.signature for each in found] == [FOUND + BESIDE] * 2
        reasons = sorted(each.reason for each in found)
        assert "a vCPU dirtied 0x40000000:" in reasons[0]
        assert "mark_page_dirty_in_slot (kvm_main.c:" in reasons[0]
    # Without a bitmap there is no other place.
    assert violations(wrong, WITH_BITMAP.format("off", WRITES)) == []
    sound = candidate.get(version(tree))
    assert [violations(sound, WITH_BITMAP.format("on", writes)) for writes in (WRITES, AT_ONCE)] == [[], []]
