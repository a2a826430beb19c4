# SPDX-License-Identifier: GPL-2.0-only
"""KVM_SET_USER_MEMORY_REGION gets too little memory: the call changes nothing, and frees what it has allocated."""

from pathlib import Path
from typing import Final

import pytest

import candidate
from candidate.tree.building.source import KVM_MAIN
from tests.good_bad.case import violations

from .trees import edited, version

CALLS: Final = """\
log a on fail={0}
cpu0 write a+4K
log a get
slot a move 4G fail={0}
slot a delete
slot a create log=on fail={0}
cpu0 write a+0
log a get
slot a delete
slot a create fail={0}
"""
PROGRAM: Final = "vm cpus=1\nslot a size=2M backing={1}\ncpu0 write a+0\n" + CALLS
BITMAP: Final = "\tif (!memslot->dirty_bitmap)\n\t\treturn -ENOMEM;\n"
INVALID: Final = "\t\tif (!invalid_slot) {\n\t\t\tmutex_unlock(&kvm->slots_arch_lock);\n"
LEFT: Final = "\t} else {\n\t\tmutex_unlock(&kvm->slots_arch_lock);\n\t}\n\treturn r;\n"
FREED: Final = "out:\n\tkfree(new);\n\treturn r;\n}\n\nint kvm_set_internal_memslot"
# Text and replacement in kvm_main.c; the finding.
WRONG: Final = {
    "a log begins without its bitmap": (BITMAP, "", "contract: kvm_vm_ioctl_get_dirty_log: error -2"),
    "the slot is not freed": (FREED, FREED.replace("\tkfree(new);\n", ""), "leak: kvm_destroy_vm: allocations left"),
    "a lock is not released": (
        *(LEFT, LEFT.replace("\t\tmutex_unlock(&kvm->slots_arch_lock);\n", "")),
        "locking: kvm_set_memory_region: another lock still held",
    ),
    "a lock is not released before a move": (
        *(INVALID, "\t\tif (!invalid_slot) {\n"),
        "locking: kvm_set_memory_region: another lock still held",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_calls_that_leave_something_behind(name: str, tmp_path: Path) -> None:
    text, instead, signature = WRONG[name]
    wrong = candidate.get(edited("7.3", tmp_path / "tree", KVM_MAIN, [(text, instead)]))
    found = [each.signature for fail in (1, 2) for each in violations(wrong, PROGRAM.format(fail, "anon"))]
    assert signature in found


@pytest.mark.parametrize("tree", ["5.12.9", "6.1", "6.12", "7.3"])
def test_calls_that_get_too_little_memory(tree: str) -> None:
    sound = candidate.get(version(tree))
    for backing in ("anon", "thp", "hugetlb2m"):
        for fail in (1, 2, 3, 4):
            assert violations(sound, PROGRAM.format(fail, backing)) == []


def test_an_error_without_a_shortage_is_a_finding(tmp_path: Path) -> None:
    """The call fails although it has got its memory, and has freed it."""
    text = "\tnew->as_id = as_id;\n\tnew->id = id;\n"
    instead = text + "\tif (id == 0 && old) {\n\t\tr = -ENOMEM;\n\t\tgoto out;\n\t}\n"
    wrong = candidate.get(edited("7.3", tmp_path / "tree", KVM_MAIN, [(text, instead)]))
    found = violations(wrong, "vm cpus=1\nslot a size=2M backing=anon\nlog a on fail=9\n")
    # The second call of user space fails too.
    assert [each.signature for each in found] == 2 * ["contract: kvm_set_memory_region: error -12"]
