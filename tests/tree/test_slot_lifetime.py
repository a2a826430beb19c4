# SPDX-License-Identifier: GPL-2.0-only
"""A VM of a kernel tree that ends unregisters its notifier before it frees slots."""

from pathlib import Path
from typing import Final

import pytest

import candidate
from candidate.tree.building.source import KVM_MAIN
from tests.good_bad.case import violations

from .trees import edited, planted, version

TREES: Final = ("6.1", "6.12", "7.3")
PROGRAM: Final = (
    "vm cpus=1{more}\nslot a size=2M backing=anon log=on\nslot b size=4K backing=anon{vm}\ncpu0 write a+0\n"
)
ALONE: Final = PROGRAM.format(more="", vm="")
ENDING: Final = PROGRAM.format(more=" vms=2", vm=" vm=1") + "vm end 0\n"
EARLY: Final = "locking: kvm_destroy_vm: slots freed before the notifier was unregistered"
UNREGISTER: Final = "\tmmu_notifier_unregister(&kvm->mmu_notifier, kvm->mm);\n"
FREE: Final = (
    "\t\tkvm_free_memslots(kvm, &kvm->__memslots[i][0]);\n\t\tkvm_free_memslots(kvm, &kvm->__memslots[i][1]);\n\t}\n"
)
LOOPS: Final = {
    "6.1": "\tfor (i = 0; i < KVM_ADDRESS_SPACE_NUM; i++) {\n",
    "6.12": "\tfor (i = 0; i < kvm_arch_nr_memslot_as_ids(kvm); i++) {\n",
    "7.3": "\tfor (i = 0; i < kvm_arch_nr_memslot_as_ids(kvm); i++) {\n",
}


@pytest.mark.parametrize("name", TREES)
def test_kernels_unregister_first(name: str) -> None:
    sound = candidate.get(version(name))
    assert [violations(sound, text) for text in (ALONE, ENDING)] == [[], []]


@pytest.mark.parametrize("name", TREES)
def test_slots_that_are_freed_first(name: str, tmp_path: Path) -> None:
    loop = LOOPS[name] + FREE
    wrong = candidate.get(edited(name, tmp_path / "tree", KVM_MAIN, [(loop, ""), (UNREGISTER, loop + UNREGISTER)]))
    for program in (ALONE, ENDING):
        found = violations(wrong, program)
        assert [each.signature for each in found][:1] == [EARLY]
        assert "of slots are already freed when the notifier is unregistered; at " in found[0].reason
        assert "kvm_destroy_vm > kvm_free_memslots" in found[0].reason


def test_a_notifier_that_stays_registered(tmp_path: Path) -> None:
    wrong = candidate.get(planted("7.3", tmp_path / "tree", KVM_MAIN, UNREGISTER, ""))
    for program in (ALONE, ENDING):
        found = violations(wrong, program)
        # One for each VM.
        assert [each.signature for each in found] == [EARLY] * (1 + (program == ENDING))
        assert " already freed, and the notifier is never unregistered; at " in found[0].reason
