# SPDX-License-Identifier: GPL-2.0-only
"""Freed objects: a build without --sanitize also finds code that reads them."""

from pathlib import Path
from typing import Final

import candidate
from candidate.tree.building.source import KVM_MAIN, MMU
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


def test_the_place_is_that_of_the_read(tmp_path: Path) -> None:
    """The outermost function of the tree reads the object, so its caller is no code of the tree."""
    text = "\tmemslot = gfn_to_memslot(vcpu->kvm, gfn);\n"
    kept = "\tstatic struct kvm_memory_slot *kept;\n\n"
    stale = "\tmemslot = kept && gfn - kept->base_gfn < kept->npages ? kept : gfn_to_memslot(vcpu->kvm, gfn);\n"
    tree = planted("7.3", tmp_path / "tree", MMU, text, f"\t{{\n{kept}{stale}\tkept = memslot;\n\t}}\n")
    (found,) = violations(candidate.get(tree), PROGRAM)
    assert found.what == "oops use after free of an object, read of 8 bytes, in kvm_handle_guest_abort"
    assert " at kvm_handle_guest_abort (mmu.c:" in found.reason
