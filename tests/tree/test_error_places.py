# SPDX-License-Identifier: GPL-2.0-only
"""The line that makes an error that nothing calls for is the place of the finding."""

from pathlib import Path
from typing import Final

import candidate
from candidate.tree.building.source import GUEST_MEMFD, MMU
from tests.good_bad.case import violations

from .trees import edited, version

TREE: Final = "7.3"
INDEX: Final = ("return gfn - slot->base_gfn + slot->gmem.pgoff;", "return gfn - slot->base_gfn;")
MADE: Final = "\t\treturn ERR_PTR(-EIO);\n"
PROGRAM: Final = (
    "vm cpus=1 ipa=40\nslot b size=2M backing=anon\nslot a size=4M offset=6M backing=memfd\n{}cpu0 read a+0\n"
)
# An earlier operation that KVM must refuse with -EFAULT.
REFUSED: Final = "slot b delete\nslot b create ipa=0xffffe00000\nslot b delete\nslot b create ipa=0xfffff00000\n"


def reasons(tree: str, before: str = "") -> list[str]:
    """Return the reasons of the errors of a tree that cannot find the page of a file."""
    found = violations(candidate.get(tree), PROGRAM.format(before))
    return [each.reason for each in found if ": error " in each.signature]


def line_of(tree: str, text: str) -> int:
    """Return the number of the only line of guest_memfd.c with a text."""
    lines = (Path(tree.removeprefix("tree:")) / GUEST_MEMFD).read_text().split("\n")
    (found,) = [number for number, line in enumerate(lines, 1) if line == text.strip("\n")]
    return found


def test_the_line_of_an_error_is_its_place(tmp_path: Path) -> None:
    wrong = edited(TREE, tmp_path / "tree", GUEST_MEMFD, [INDEX])
    place = f"__kvm_gmem_get_pfn (guest_memfd.c:{line_of(wrong, MADE)})"
    (reason,) = reasons(wrong)
    assert reason.startswith("kvm_handle_guest_abort() returned -EIO, but slot and host allow cpu0's read of a+0x0; ")
    assert reason.endswith(
        f"; the only line with -EIO that ran is in __kvm_gmem_get_pfn(); at {place}, "
        "by kvm_handle_guest_abort > ... > __kvm_gmem_get_pfn"
    )
    assert reasons(version(TREE)) == []


def test_lines_of_earlier_operations_are_not_named(tmp_path: Path) -> None:
    made = MADE.replace("EIO", "EFAULT").replace("\t\t", "\t\t/* planted */ ")
    wrong = edited(TREE, tmp_path / "tree", GUEST_MEMFD, [INDEX, (MADE, made)])
    place = f"__kvm_gmem_get_pfn (guest_memfd.c:{line_of(wrong, made)})"
    (reason,) = reasons(wrong, REFUSED)
    assert "kvm_arch_prepare_memory_region" not in reason
    assert place in reason


def test_another_error_than_the_one_that_is_due_has_its_place(tmp_path: Path) -> None:
    bound = "\tif ((new->base_gfn + new->npages) > (kvm_phys_size(&kvm->arch.mmu) >> PAGE_SHIFT))\n\t\treturn -E"
    wrong = edited(TREE, tmp_path / "tree", MMU, [(f"{bound}FAULT;\n", f"{bound}IO;\n")])
    (found,) = violations(candidate.get(wrong), PROGRAM.format(REFUSED))
    assert (
        "and gets -EIO in place of -EFAULT; the only line with -EIO that ran is in kvm_arch_prepare_memory_region(); at"
        in found.reason
    )
