# SPDX-License-Identifier: GPL-2.0-only
"""A VM of a kernel tree ends by the tree's own ``kvm_destroy_vm()`` while other VMs continue."""

from pathlib import Path
from typing import Final

import pytest

import candidate
from candidate.tree.building.source import KVM_MAIN, MMU
from fuzz.checkers import Violation
from fuzz.language.text import parse

from ..good_bad.case import all_found
from .trees import planted, version

TEXT: Final = """s2fuzz 1
vm cpus=2 vms=3 manual=on grace=99
slot a size=4M backing=thp
slot b size=4M backing=thp vm=1 alias=a log=on
slot c size=1M backing=anon vm=2 log=on
slot d size=64K backing=device vm=1
cpu0 read a+4K
cpu2 write b+4K
log b get
host split a+0
cpu2 write b+8K
slot d delete
vm end 1
host migrate a+0 8K
cpu4 write c+0
log c get
log c clear 0 1M
slot c delete
slot c create log=on
par
  cpu0 write a+64K
  host0 discard a+64K 4K
  switch cpu0 to host0 after lookup 1
end
vm end 0
host discard a+0 4M
par
  cpu4 write c+64K
  host0 unmap c+64K 4K
  switch cpu4 to host0 after lookup 1
end
host share c+0 64K
cpu4 write c+0
"""
END: Final = 6


def shown(name: str) -> list[Violation]:
    """Return the violations that the program shows on a version, in order."""
    return all_found(candidate.get(name), parse(TEXT))


@pytest.mark.parametrize("tree", ["5.12.9", "6.1", "6.12", "7.3"])
def test_kernels_are_clean(tree: str) -> None:
    assert [each.signature for each in shown(version(tree))] == []


def test_leaked_tables_are_judged_when_the_vm_ends(tmp_path: Path) -> None:
    name = planted("6.12", tmp_path / "tree", MMU, "\t\tkvm_pgtable_stage2_destroy(pgt);\n\t\tkfree(pgt);\n", "")
    found = shown(name)
    assert (found[0].signature, found[0].at) == ("leak: kvm_free_stage2_pgd: table pages left", END)
    assert found[0].reason.endswith(", where the first of them was allocated")


def test_all_of_kvm_destroy_vm_runs(tmp_path: Path) -> None:
    """A warning planted after the release of the notifier is found."""
    text = "\tkvm_arch_destroy_vm(kvm);\n\tkvm_destroy_devices(kvm);\n"
    name = planted("6.12", tmp_path / "tree", KVM_MAIN, text, f"\tWARN_ON(1);\n{text}")
    found = [(each.signature, each.at) for each in shown(name)]
    assert found[0] == ("contract: kvm_destroy_vm: WARN", END)
