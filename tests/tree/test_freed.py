# SPDX-License-Identifier: GPL-2.0-only
"""Freed objects: a build without --sanitize also finds code that reads them."""

from pathlib import Path
from typing import Final

import candidate
from candidate.tree.building.source import KVM_MAIN
from tests.good_bad.case import violations

from .trees import planted

# A deleted slot must not remain the last used one.
LAST: Final = "\t\tif ((long)old == atomic_long_read(&slots->last_used_slot))\n"
PROGRAM: Final = (
    "vm\nslot a size=2M backing=anon\nslot b size=2M backing=anon\n"
    "cpu0 read a+0\nslot a delete\ncpu0 read a+0\ncpu0 read b+0\n"
)


def test_a_look_up_of_a_deleted_slot_is_found(tmp_path: Path) -> None:
    tree = planted("7.3", tmp_path / "tree", KVM_MAIN, LAST, LAST.replace("if (", "if (new && "))
    found = violations(candidate.get(tree), PROGRAM)
    assert [each.what for each in found] == ["oops use after free of an object, read of 8 bytes, in gfn_to_memslot"]
