# SPDX-License-Identifier: GPL-2.0-only
"""All that a tree allocates for slots and dirty logs is freed when the VM is gone; a leak names the allocation."""

from pathlib import Path
from typing import Final

import pytest

import candidate
from candidate.tree.building.source import KVM_MAIN, MMU
from tests.good_bad.case import violations

from .trees import planted, version

TREES: Final = ("6.1", "6.12", "7.3")
PROGRAM: Final = """vm cpus=1{more}
slot a size=2M backing=anon log=on
slot b size=4K backing=anon{vm}
cpu0 write a+0
log a off
log a on
slot a delete
slot a create
slot a move 8G
{end}"""
ALONE: Final = PROGRAM.format(more="", vm="", end="")
ENDING: Final = PROGRAM.format(more=" vms=2", vm=" vm=1", end="vm end 0\n")
LEFT: Final = "leak: kvm_destroy_vm: allocations left"


@pytest.mark.parametrize("name", TREES)
def test_slots_leave_nothing(name: str) -> None:
    sound = candidate.get(version(name))
    assert [violations(sound, text) for text in (ALONE, ENDING)] == [[], []]


@pytest.mark.parametrize("name", TREES)
def test_a_bitmap_that_is_left_is_found(name: str, tmp_path: Path) -> None:
    text = "if (old->dirty_bitmap && !new->dirty_bitmap)"
    wrong = candidate.get(planted(name, tmp_path / "tree", KVM_MAIN, text, "if (0)"))
    for program in (ALONE, ENDING):
        found = violations(wrong, program)
        assert [each.signature for each in found] == [LEFT]
        assert "1 allocation for slots, dirty logs or the VM itself is not freed; at " in found[0].reason
        assert "kvm_vm_ioctl_set_memory_region" in found[0].reason


def test_a_small_allocation_that_is_left_names_its_place(tmp_path: Path) -> None:
    text = "\t\tfree_percpu(mmu->last_vcpu_ran);\n"
    found = violations(candidate.get(planted("7.3", tmp_path / "tree", MMU, text, "")), ALONE)
    assert [each.signature for each in found] == ["leak: kvm_free_stage2_pgd: allocations left"]
    assert "kvm_init_stage2_mmu (mmu.c:" in found[0].reason
    assert found[0].reason.endswith("where the first of them was allocated")


def test_a_memory_cache_that_is_left_is_named(tmp_path: Path) -> None:
    text = "\tkvm_mmu_free_memory_cache(&kvm->arch.mmu.split_page_cache);\n"
    program = "vm cpus=1 split=2M\nslot a size=2M backing=thp\ncpu0 write a+0\nlog a on\n"
    found = violations(candidate.get(planted("7.3", tmp_path / "tree", MMU, text, "")), program)
    assert [each.signature for each in found] == ["leak: kvm_free_stage2_pgd: memory cache left"]
    assert "still in split_page_cache; at " in found[0].reason
    assert "kvm_mmu_split_huge_pages" in found[0].reason
    assert found[0].reason.endswith("where it was filled last")
    assert violations(candidate.get(version("7.3")), program) == []
