# SPDX-License-Identifier: GPL-2.0-only
"""Spinlocks of each kind, and other contexts in which nothing may sleep: they are balanced, and sleeps are found."""

from pathlib import Path
from typing import Final

import pytest

import candidate
from candidate.tree.building.source import MMU
from tests.good_bad.case import violations

from .dirty_log_call import PROGRAM, tree_with
from .trees import planted

TREES: Final = ("6.1", "6.12", "7.3")
# Locks of each kind are taken in each way, and leave nothing behind.
LOCKS: Final = """
	static DEFINE_SPINLOCK(spin);
	static DEFINE_RAW_SPINLOCK(raw);
	static DEFINE_RWLOCK(rw);
	static DECLARE_RWSEM(sem);
	unsigned long flags;

	BUG_ON(in_atomic() || irqs_disabled());
	spin_lock(&spin);
	BUG_ON(!in_atomic() || irqs_disabled() || spin_trylock(&spin));
	assert_spin_locked(&spin);
	spin_unlock(&spin);
	spin_lock_irqsave(&spin, flags);
	BUG_ON(!irqs_disabled());
	spin_unlock_irqrestore(&spin, flags);
	BUG_ON(irqs_disabled());
	local_irq_disable();
	raw_spin_lock_irqsave(&raw, flags);
	raw_spin_unlock_irqrestore(&raw, flags);
	BUG_ON(!irqs_disabled());
	local_irq_enable();
	spin_lock_irq(&spin);
	BUG_ON(!irqs_disabled());
	spin_unlock_irq(&spin);
	spin_lock_bh(&spin);
	spin_unlock_bh(&spin);
	BUG_ON(!spin_trylock_irqsave(&spin, flags) || !irqs_disabled());
	spin_unlock_irqrestore(&spin, flags);
	BUG_ON(!spin_trylock_bh(&spin));
	spin_unlock_bh(&spin);
	read_lock_irqsave(&rw, flags);
	BUG_ON(write_trylock(&rw) || !irqs_disabled());
	read_unlock_irqrestore(&rw, flags);
	write_lock_irq(&rw);
	write_unlock_irq(&rw);
	read_lock_bh(&rw);
	read_unlock_bh(&rw);
	write_lock_bh(&rw);
	write_unlock_bh(&rw);
	down_write(&sem);
	downgrade_write(&sem);
	BUG_ON(down_write_trylock(&sem));
	up_read(&sem);
	preempt_disable();
	BUG_ON(preemptible());
	preempt_enable();
	local_bh_disable();
	BUG_ON(!in_atomic());
	local_bh_enable();
	BUG_ON(in_atomic() || irqs_disabled() || !preemptible());
	might_sleep();
"""


@pytest.mark.parametrize("name", TREES)
def test_locks_of_each_kind_are_balanced(name: str, tmp_path: Path) -> None:
    assert violations(candidate.get(tree_with(name, tmp_path / "tree", LOCKS)), PROGRAM) == []


ATOMIC: Final = "sleeping call in atomic context"
SPIN: Final = "static DEFINE_SPINLOCK(spin); "
WRONG: Final = {
    "a mutex with a spinlock": (
        SPIN + "spin_lock(&spin); mutex_lock(&kvm->irq_lock); mutex_unlock(&kvm->irq_lock); spin_unlock(&spin);",
        ("mutex_lock may sleep, and a spinlock is held", ATOMIC),
    ),
    "an allocation with a spinlock": (
        SPIN + "spin_lock_irq(&spin); kfree(kmalloc(8, GFP_KERNEL)); spin_unlock_irq(&spin);",
        ("an allocation may sleep, and a spinlock is held", ATOMIC),
    ),
    "a page with a spinlock": (
        SPIN + "spin_lock_bh(&spin); free_page(__get_free_page(GFP_KERNEL)); spin_unlock_bh(&spin);",
        ("get_free_pages may sleep, and a spinlock is held", ATOMIC),
    ),
    "a grace period with interrupts off": (
        "local_irq_disable(); synchronize_rcu(); local_irq_enable();",
        ("synchronize_rcu may sleep, and interrupts are off", ATOMIC),
    ),
    "a semaphore with preemption off": (
        "preempt_disable(); down_read(&shim_mm->mmap_lock); up_read(&shim_mm->mmap_lock); preempt_enable();",
        ("down_read may sleep, and preemption is off", ATOMIC),
    ),
    "might_sleep() with preemption off": (
        "preempt_disable(); might_sleep(); preempt_enable();",
        ("tried may sleep, and preemption is off", ATOMIC),
    ),
    "rescheduling with a spinlock": (
        SPIN + "spin_lock(&spin); cond_resched(); spin_unlock(&spin);",
        ("cond_resched may sleep, and a spinlock is held", ATOMIC),
    ),
    "preemption that stays off": (
        "preempt_disable();",
        ("return to the caller may sleep, and preemption is off", ATOMIC),
    ),
    "a spinlock that stays taken": (
        SPIN + "spin_lock(&spin);",
        ("a lock other than the mmu lock, the mmap lock and SRCU is held on return to the caller", "another lock"),
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_sleeps_in_atomic_context_are_found(what: str, tmp_path: Path) -> None:
    statements, (reason, text) = WRONG[what]
    found = violations(candidate.get(tree_with("7.3", tmp_path / "tree", statements)), PROGRAM)
    assert [(reason in each.reason, text in each.what) for each in found] == [(True, True)]


# In kvm_unmap_gfn_range().
UNMAP: Final = "\t\t\t     range->may_block);\n"
DISCARD: Final = "vm\nslot a size=4K backing=anon\ncpu0 read a+0\nhost discard a+0 4K\n"


@pytest.mark.parametrize(
    ("flags", "expected"), [("GFP_ATOMIC", []), ("GFP_NOWAIT", []), ("GFP_KERNEL", ["allocation under mmu_lock"])]
)
def test_an_object_that_is_allocated_under_the_mmu_lock(flags: str, expected: list[str], tmp_path: Path) -> None:
    """Only the allocations of the stage-2 code itself are judged, so the caller is a function of mmu.c."""
    tree = planted("7.3", tmp_path / "tree", MMU, UNMAP, f"{UNMAP}\tkfree(kmalloc(8, {flags}));\n")
    assert [each.what for each in violations(candidate.get(tree), DISCARD)] == expected
