# SPDX-License-Identifier: GPL-2.0-only
"""Per-VMA locks, taken instead of the mmap lock: reads under such a lock, and concurrent actors."""

from pathlib import Path
from typing import Final

import pytest

import candidate
from candidate.tree.building.source import MMU
from fuzz.judging.differential import REGRESSION, Differential
from fuzz.language.text import parse

from ..unit.block_run import Run
from .trees import edited, version

TREE: Final = "7.3"
# Trees of both generations of the lock: a semaphore outside of the VMA, and a count in it.
TREES: Final = ("6.8", "6.12", TREE)
NAME: Final = "kvm_handle_guest_abort: "
PROGRAM: Final = "s2fuzz 1\nvm\nslot a size=2M backing=anon\ncpu0 read a+0\nhost discard a+0 4K\ncpu0 write a+0\n"
LOOK_UP: Final = "\tmmap_read_lock(current->mm);\n\tvma = vma_lookup(current->mm, {});\n"
SAMPLE: Final = "\t{} = {}->mmu_invalidate_seq;\n"
# By tree: expressions for the address to look up, the sample, and the VM.
NAMES: Final = {
    "6.8": ("hva", "mmu_seq", "vcpu->kvm"),
    "6.12": ("hva", "mmu_seq", "vcpu->kvm"),
    "7.3": ("s2fd->hva", "s2vi->mmu_seq", "kvm"),
}
UNLOCK: Final = "\tmmap_read_unlock(current->mm);\n"
LOCKS: Final = """\
	struct vm_area_struct *locked = lock_vma_under_rcu(current->mm, {});

	if (!locked)
		mmap_read_lock(current->mm);
	vma = locked ? locked : vma_lookup(current->mm, {});
"""
UNLOCKS: Final = "\tif (locked)\n\t\tvma_end_read(locked);\n\telse\n\t\tmmap_read_unlock(current->mm);\n"
READS: Final = "\tif (locked && locked->vm_flags & VM_PFNMAP)\n\t\treturn -EFAULT;\n"
# Other actors may run between lock and unlock.
PLACE: Final = "\tread_lock(&kvm->mmu_lock);\n\tread_unlock(&kvm->mmu_lock);\n"
# Code after the use of the VMA; %s is the sample.
RIGHT: Final = f"%s{UNLOCKS}"
WRONG: Final = {
    "read after it": (f"%s{UNLOCKS}{READS}", f"locking: {NAME}VMA read after its own lock was dropped"),
    "sampled after it": (
        f"{UNLOCKS}%s\tsmp_rmb();\n",
        f"fault-order: {NAME}notifier sequence sampled after the lock of the VMA was dropped after a translation fault",
    ),
    "not sampled": (UNLOCKS, f"fault-order: {NAME}notifier sequence not sampled after a translation fault"),
    "kept": ("%s\tif (!locked)\n\t\tmmap_read_unlock(current->mm);\n", f"locking: {NAME}lock still held"),
    "dropped twice": (f"%s{UNLOCKS}\tif (locked)\n\t\tvma_end_read(locked);\n", f"locking: {NAME}lock not held"),
}


def locking(tree: str, folder: Path, after_use: str) -> str:
    """Copy a tree so that faults lock only the VMA, or the address space if that fails; return the version's name."""
    address, sample, vm = NAMES[tree]
    before = SAMPLE.format(sample, vm)
    edits = [
        (LOOK_UP.format(address), LOCKS.format(address, address)),
        (before + UNLOCK, after_use.replace("%s", before)),
    ]
    return edited(tree, folder, MMU, edits)


def regressions(tree: str, changed: str, program: str) -> list[str]:
    """Return the signatures of the regressions of a changed tree."""
    findings = Differential(candidate.get(version(tree)), candidate.get(changed)).run(parse(program)).findings
    return [each.signature for each in findings if each.kind == REGRESSION]


@pytest.mark.parametrize("tree", TREES)
def test_reads_of_a_vma_under_its_lock(tree: str, tmp_path: Path) -> None:
    changed = locking(tree, tmp_path / "tree", RIGHT)
    run = Run(changed, PROGRAM)
    assert (run.refused, run.violations) == ("", [])
    # Two faults, each of which takes the lock and drops it.
    assert run.count("lock vma") == 4
    assert run.count("lock mmap") == Run(version(tree), PROGRAM).count("lock mmap") - 4
    assert regressions(tree, changed, PROGRAM) == []


@pytest.mark.parametrize(("tree", "name"), [*((TREE, name) for name in WRONG), ("6.8", "read after it")])
def test_mistakes_with_the_lock(tree: str, name: str, tmp_path: Path) -> None:
    after_use, signature = WRONG[name]
    assert signature in regressions(tree, locking(tree, tmp_path / "tree", after_use), PROGRAM)


def test_the_mmap_lock_allows_reads_too(tmp_path: Path) -> None:
    """The holder of the mmap lock may continue to read, and a true assertion causes no warning."""
    asserts = "\tvma_assert_locked(locked);\n\tvma_assert_stabilised(locked);\n"
    again = f"\tmmap_read_lock(current->mm);\n\tvma_end_read(locked);\n{READS}\tmmap_read_unlock(current->mm);\n"
    changed = locking(TREE, tmp_path / "tree", f"{asserts}%s{again}")
    assert Run(changed, PROGRAM).violations == []
    asserted = locking(TREE, tmp_path / "another", f"%s{UNLOCKS}\tvma_assert_locked(vma);\n")
    assert f"locking: {NAME}lock not held" in regressions(TREE, asserted, PROGRAM)


def test_concurrent_actors(tmp_path: Path) -> None:
    changed = locking(TREE, tmp_path / "tree", f"{PLACE}{RIGHT}")
    block = "par\n{}\n{}\nswitch {}\nend\ncpu0 read a+0\n"
    write, share = "cpu0 write a+0", "host0 share a+0 4K"
    head = PROGRAM.partition("cpu0")[0]
    # A writer of the address space waits for the reader of a VMA, and makes later readers take the mmap lock.
    run = Run(changed, head + block.format(write, share, "cpu0 to host0 after unlock 1"))
    assert (run.violations, run.count("waits for the vma lock, which cpu0 holds")) == ([], 1)
    run = Run(changed, head + block.format(share, write, "host0 to cpu0 after start 1"))
    assert (run.violations, run.count("waits for the mmap lock, which host0 holds")) == ([], 1)
    # Other actors do not wait.
    run = Run(changed, head + block.format(write, "host0 discard a+0 4K", "cpu0 to host0 after unlock 1"))
    assert (run.violations, run.count("waits for")) == ([], 0)


def test_an_address_without_an_area(tmp_path: Path) -> None:
    changed = locking(TREE, tmp_path / "tree", RIGHT)
    run = Run(changed, f"{PROGRAM}host unmap a+0 2M\ncpu0 write a+0\n")
    assert (run.violations, run.outcomes[-1].status, run.count("lock vma")) == ([], "efault", 4)
    assert run.count("lock mmap")


@pytest.mark.parametrize("call", ["vma_start_write(vma)", "mmap_lock_speculate_try_begin(current->mm, &seq)"])
def test_unmodelled_calls(call: str, tmp_path: Path) -> None:
    changed = locking(TREE, tmp_path / "tree", f"\tunsigned int seq = 0;\n\n\t(void)seq;\n\t{call};\n{RIGHT}")
    assert call.partition("(")[0] in Run(changed, PROGRAM).refused
