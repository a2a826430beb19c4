# SPDX-License-Identifier: GPL-2.0-only
"""Faults that sample the notifier sequence twice: the value that they compare must be from before the look-up."""

from pathlib import Path
from typing import Final

import pytest

from candidate.tree.building.source import MMU

from ..unit.block_run import Run
from .runs import trace
from .test_guest_memfd import memfd_tree
from .trees import edited, version

TREE: Final = "6.12"
PROGRAM: Final = (
    "s2fuzz 1\nvm cpus=2\nslot a size=2M backing=anon log=on\ncpu0 read a+0\ncpu1 write a+0\ncpu0 write a+4K\n"
    "host share a+0 64K\ncpu0 write a+0\nlog a off\ncpu1 fetch a+0\n"
)
IN_MEMFD: Final = (
    "s2fuzz 1\nvm cpus=2\nslot a size=4M backing=memfd\ncpu0 write a+0\nhost discard a+0 4K\ncpu1 read a+0\n"
)
LOCK: Final = (
    "\tread_lock(&kvm->mmu_lock);\n\tpgt = vcpu->arch.hw_mmu->pgt;\n\tif (mmu_invalidate_retry(kvm, mmu_seq)) {\n"
)
LOCK_IN_MEMFD: Final = "\tkvm_fault_lock(kvm);\n\tif (mmu_invalidate_retry(kvm, mmu_seq)) {\n"
AGAIN: Final = "\tmmu_seq = kvm->mmu_invalidate_seq;\n"
LATE: Final = "fault-order: kvm_handle_guest_abort: notifier sequence sampled after the look-up after a {} fault"
# Code before the lock that reads the sequence again, and compares the first value later.
RIGHT: Final = {
    "not used": "\tif (READ_ONCE(kvm->mmu_invalidate_seq) == ~0UL)\n\t\treturn -EFAULT;\n" + LOCK,
    "a check before the lock": "\tbool stale = kvm->mmu_invalidate_seq != mmu_seq;\n"
    + LOCK.replace("if (", "if (stale || "),
}


def test_the_second_sample_is_compared(tmp_path: Path) -> None:
    run = Run(edited(TREE, tmp_path / "tree", MMU, [(LOCK, AGAIN + LOCK)]), PROGRAM)
    assert LATE.format("translation") in [each.signature for each in run.violations]
    assert LATE.format("permission") in [each.signature for each in run.violations]


@pytest.mark.parametrize("name", RIGHT)
def test_the_first_sample_is_compared(name: str, tmp_path: Path) -> None:
    """The fault is retried once where another notifier has run between the samples, and then maps."""
    run = Run(edited(TREE, tmp_path / "tree", MMU, [(LOCK, RIGHT[name])]), PROGRAM)
    right = Run(version(TREE), PROGRAM)
    assert (run.refused, run.violations) == ("", [])
    assert [str(each) for each in run.outcomes if each.status != "ok"] == []
    assert run.count("notifier: sequence") > right.count("notifier: sequence")


def test_one_sample_is_not_disturbed() -> None:
    assert not [line for line in trace(version(TREE)) if "notifier: sequence" in line]


def test_the_second_sample_of_a_fault_on_a_guest_memfd(tmp_path: Path) -> None:
    tree = memfd_tree()
    assert Run(version(tree), IN_MEMFD).violations == []
    run = Run(edited(tree, tmp_path / "tree", MMU, [(LOCK_IN_MEMFD, AGAIN + LOCK_IN_MEMFD)]), IN_MEMFD)
    assert LATE.format("translation") in [each.signature for each in run.violations]
