# SPDX-License-Identifier: GPL-2.0-only
"""An entry of a dirty ring is filled before it is published, with a barrier in between."""

from pathlib import Path
from typing import Final

import pytest

import candidate
from candidate.tree.building.source import DIRTY_RING
from fuzz.checkers.ring_entry import EARLY, UNORDERED
from tests.good_bad.case import violations

from .trees import edited

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
