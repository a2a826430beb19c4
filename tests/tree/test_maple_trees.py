# SPDX-License-Identifier: GPL-2.0-only
"""Maple trees, own ones of KVM and that of the host's areas: the models do what Linux documents."""

from pathlib import Path
from typing import Final

import pytest

import candidate
from candidate.tree.building.source import MMU
from tests.good_bad.case import violations

from .dirty_log_call import PROGRAM, tree_with
from .trees import edited, version

TREES: Final = ("6.1", "6.12", "7.3")
TRIED: Final = """
#include <linux/maple_tree.h>
#include <linux/mm.h>
static noinline void tried(struct kvm *kvm)
{
	%s
}
"""
# Statements that crash unless each function does what it should.
RANGES: Final = """
	static struct maple_tree mt = MTREE_INIT(mt, MT_FLAGS_ALLOC_RANGE);
	MA_STATE(mas, &mt, 0, 0);
	unsigned long index, at;
	int sum, a, b, c;
	void *entry;

	BUG_ON(!mtree_empty(&mt) || mtree_load(&mt, 5) || mtree_store_range(&mt, 10, 19, &a, GFP_KERNEL));
	BUG_ON(mtree_empty(&mt) || mtree_load(&mt, 9) || mtree_load(&mt, 10) != &a || mtree_load(&mt, 19) != &a);
	BUG_ON(mtree_load(&mt, 20) || mtree_store_range(&mt, 20, 19, &a, GFP_KERNEL) != -EINVAL);
	/* A range in the middle of another one leaves both of its ends. */
	BUG_ON(mtree_store_range(&mt, 12, 14, &b, GFP_KERNEL) || mtree_load(&mt, 11) != &a || mtree_load(&mt, 12) != &b);
	BUG_ON(mtree_load(&mt, 14) != &b || mtree_load(&mt, 15) != &a);
	BUG_ON(mtree_insert_range(&mt, 14, 30, &c, GFP_KERNEL) != -EEXIST || mtree_insert(&mt, 25, &c, GFP_KERNEL));
	index = 0;
	sum = 0;
	mt_for_each(&mt, entry, index, ULONG_MAX)
		sum = sum * 100 + (int)index;
	BUG_ON(sum != 12152026);
	index = 26;
	BUG_ON(mt_find(&mt, &index, ULONG_MAX) || index != 26 || mt_next(&mt, 19, 30) != &c || mt_next(&mt, 19, 24));
	BUG_ON(mt_prev(&mt, 25, 0) != &a || mt_prev(&mt, 25, 20) || mt_prev(&mt, 10, 0));
	/* Each piece of a range is an element of its own. */
	BUG_ON(mtree_erase(&mt, 11) != &a || mtree_load(&mt, 10) || mtree_load(&mt, 15) != &a || mtree_erase(&mt, 11));
	BUG_ON(mtree_alloc_range(&mt, &at, &c, 5, 10, 40, GFP_KERNEL) || at != 20);
	BUG_ON(mtree_alloc_rrange(&mt, &at, &c, 5, 10, 40, GFP_KERNEL) || at != 36);
	BUG_ON(mtree_alloc_range(&mt, &at, &c, 11, 10, 40, GFP_KERNEL) != -EBUSY);

	mas_lock(&mas);
	/* 12-14 b, 15-19 a, 20-24 c, 25 c, 36-40 c */
	sum = 0;
	mas_for_each(&mas, entry, 30)
		sum = sum * 100 + (int)(mas.index + mas.last) / 2;
	BUG_ON(sum != 13172225);
	mas_set(&mas, 17);
	BUG_ON(mas_walk(&mas) != &a || mas.index != 15 || mas.last != 19 || mas_is_err(&mas));
	BUG_ON(mas_next(&mas, ULONG_MAX) != &c || mas.index != 20 || mas_prev(&mas, 0) != &a || mas.last != 19);
	BUG_ON(mas_prev(&mas, 0) != &b || mas_prev(&mas, 0));
	mas_set(&mas, 28);
	BUG_ON(mas_walk(&mas) || mas.index != 26 || mas.last != 35);
	mas_set(&mas, 28);
	BUG_ON(mas_find_rev(&mas, 0) != &c || mas.index != 25 || mas_find_rev(&mas, 22) != &c || mas.last != 24);
	BUG_ON(mas_find_rev(&mas, 22));
	mas_set(&mas, 16);
	BUG_ON(mas_find(&mas, 100) != &a || mas.index != 15);
	mas_pause(&mas);
	BUG_ON(mas_find(&mas, 100) != &c || mas.index != 20);
	mas_set(&mas, 26);
	BUG_ON(mas_find(&mas, 35));
	/* A new range swallows what it overlaps. */
	mas_set_range(&mas, 13, 37);
	BUG_ON(mas_store_gfp(&mas, xa_mk_value(7), GFP_NOWAIT | __GFP_ACCOUNT));
	mas_set(&mas, 0);
	BUG_ON(mas_find(&mas, 100) != &b || mas.index != 12 || mas.last != 12);
	BUG_ON(xa_to_value(mas_find(&mas, 100)) != 7 || mas.index != 13 || mas.last != 37);
	BUG_ON(mas_find(&mas, 100) != &c || mas.index != 38 || mas.last != 40 || mas_find(&mas, 100));
	mas_set(&mas, 20);
	BUG_ON(xa_to_value(mas_erase(&mas)) != 7);
	/* Who removes a range gets the whole gap. */
	mas_set_range(&mas, 38, 40);
	BUG_ON(mas_store_gfp(&mas, NULL, GFP_NOWAIT) || mas.index != 13 || mas.last != ULONG_MAX);
	mas_set_range(&mas, 50, 59);
	BUG_ON(mas_preallocate(&mas, &a, GFP_NOWAIT));
	mas_store_prealloc(&mas, &a);
	mas_set_range(&mas, 70, ULONG_MAX);
	do {
		BUG_ON(mas_store(&mas, &b));
	} while (mas_nomem(&mas, GFP_NOWAIT));
	BUG_ON(mas_is_err(&mas));
	mas_set(&mas, 0);
	BUG_ON(mas_empty_area(&mas, 0, 69, 12) || mas.index != 0 || mas.last != 11);
	mas_set(&mas, 0);
	BUG_ON(mas_empty_area_rev(&mas, 0, 69, 10) || mas.index != 60 || mas.last != 69);
	mas_unlock(&mas);
	rcu_read_lock();
	mas_set(&mas, ULONG_MAX);
	BUG_ON(mas_walk(&mas) != &b || mas_next(&mas, ULONG_MAX));
	rcu_read_unlock();
	mtree_destroy(&mt);
	BUG_ON(!mtree_empty(&mt) || mtree_load(&mt, 50));
	{
		/* In RCU mode, a look-up notices that others have changed the tree. */
		static struct maple_tree safe = MTREE_INIT(safe, MT_FLAGS_USE_RCU);
		MA_STATE(other, &safe, 0, 0);

		BUG_ON(mtree_store(&safe, 1, &a, GFP_KERNEL));
		rcu_read_lock();
		BUG_ON(mas_find(&other, 9) != &a);
		BUG_ON(mtree_store(&safe, 5, &b, GFP_NOWAIT) || mas_find(&other, 9) != &b);
		rcu_read_unlock();
		mtree_destroy(&safe);
	}
"""
AREAS: Final = """
	struct mm_struct *mm = kvm->mm;
	struct vm_area_struct *vma, *first;
	unsigned long end = 0;
	int n = 0;

	mmap_read_lock(mm);
	{
		VMA_ITERATOR(vmi, mm, 0);

		first = find_vma(mm, 0);
		for_each_vma(vmi, vma) {
			BUG_ON(vma->vm_start < end || vma->vm_end <= vma->vm_start || (!n && vma != first));
			end = vma->vm_end;
			n++;
		}
	}
	BUG_ON(n != 2 || vma_lookup(mm, end - 1) == first || vma_lookup(mm, end));
	BUG_ON(vma_lookup(mm, first->vm_start) != first);
	{
		VMA_ITERATOR(vmi, mm, end - 1);

		BUG_ON(vma_find(&vmi, end)->vm_end != end || vma_prev(&vmi) != first || vma_prev(&vmi));
	}
	mmap_read_unlock(mm);
"""
WRONG: Final = {
    "a change without the lock": (
        (
            "static struct maple_tree mt = MTREE_INIT(mt, 0); MA_STATE(mas, &mt, 1, 2); "
            "(void)mas_store_gfp(&mas, kvm, GFP_NOWAIT);"
        ),
        "lock not held",
    ),
    "a look-up without the lock and outside of RCU": (
        "static struct maple_tree mt = MTREE_INIT(mt, 0); MA_STATE(mas, &mt, 1, 2); BUG_ON(mas_find(&mas, 9));",
        "lock not held",
    ),
    "an allocation that may sleep with a spinlock": (
        (
            "static struct maple_tree mt = MTREE_INIT(mt, 0); static DEFINE_SPINLOCK(spin); spin_lock(&spin); "
            "(void)mtree_store(&mt, 1, kvm, GFP_KERNEL); spin_unlock(&spin);"
        ),
        "sleeping call in atomic context",
    ),
    "a removal, for which memory may be needed, with a spinlock": (
        (
            "static struct maple_tree mt = MTREE_INIT(mt, 0); static DEFINE_SPINLOCK(spin); "
            "(void)mtree_store(&mt, 1, kvm, GFP_KERNEL); "
            "spin_lock(&spin); (void)mtree_erase(&mt, 1); spin_unlock(&spin);"
        ),
        "sleeping call in atomic context",
    ),
    "a state that was not reset while others changed the tree": (
        (
            "static struct maple_tree mt = MTREE_INIT(mt, 0); MA_STATE(mas, &mt, 0, 0); "
            "(void)mtree_store(&mt, 1, kvm, GFP_KERNEL); mas_lock(&mas); BUG_ON(!mas_find(&mas, 9)); mas_unlock(&mas); "
            "(void)mtree_store(&mt, 5, kvm, GFP_KERNEL); mas_lock(&mas); BUG_ON(!mas_find(&mas, 9)); mas_unlock(&mas);"
        ),
        "WARN",
    ),
    "a tree that is not destroyed with its object": (
        (
            "struct maple_tree *mt = kzalloc(sizeof(*mt), GFP_KERNEL); mt_init(mt); "
            "(void)mtree_store(mt, 1, kvm, GFP_KERNEL); kfree(mt);"
        ),
        "allocations left",
    ),
    "an entry that is reserved for the tree itself": (
        "static struct maple_tree mt = MTREE_INIT(mt, 0); (void)mtree_store(&mt, 1, XA_RETRY_ENTRY, GFP_KERNEL);",
        "WARN",
    ),
}
# Before each fault, a function stores a range, and warns if there is no memory for that.
FAULT: Final = "int kvm_handle_guest_abort(struct kvm_vcpu *vcpu)\n{\n"
STORES: Final = """
#include <linux/maple_tree.h>
static noinline int tried(struct kvm *kvm)
{
	static struct maple_tree mt = MTREE_INIT(mt, 0);
	MA_STATE(mas, &mt, 1, 2);
	int failed;

	mas_lock(&mas);
	failed = mas_store_gfp(&mas, %s, GFP_NOWAIT);
	BUG_ON(failed && (failed != -ENOMEM || !mas_is_err(&mas) || !mtree_empty(&mt)));
	mas_unlock(&mas);
	return WARN_ON(failed);
}
"""
CALL: Final = "\tint __maybe_unused tried_first = tried(vcpu->kvm);\n"


@pytest.mark.parametrize("name", TREES)
def test_ranges_are_what_linux_documents(name: str, tmp_path: Path) -> None:
    tree = tree_with(name, tmp_path / "tree", RANGES, TRIED)
    assert violations(candidate.get(tree), PROGRAM) == []


@pytest.mark.parametrize("name", TREES)
def test_iterators_find_the_areas_of_the_host(name: str, tmp_path: Path) -> None:
    tree = tree_with(name, tmp_path / "tree", AREAS, TRIED)
    program = PROGRAM.replace("cpu0", "slot b size=64K backing=anon\ncpu0")
    assert violations(candidate.get(tree), program) == []


@pytest.mark.parametrize("what", WRONG)
def test_mistakes_of_callers_are_found(what: str, tmp_path: Path) -> None:
    statements, expected = WRONG[what]
    found = violations(candidate.get(tree_with("7.3", tmp_path / "tree", statements, TRIED)), PROGRAM)
    assert {each.what for each in found} == {expected}


@pytest.mark.parametrize("entry", ["kvm", "NULL"])
def test_a_shortage_of_memory_in_a_fault_reaches_the_caller(entry: str, tmp_path: Path) -> None:
    tree = candidate.get(edited("7.3", tmp_path / "tree", MMU, ((FAULT, STORES % entry + FAULT + CALL),)))
    program = "vm\nslot a size=64K backing=anon\ncpu0 write a+0 fail=%d\ncpu0 write a+4K\n"
    assert violations(tree, program % 2) == []
    assert {each.what for each in violations(tree, program % 1)} == {"WARN"}


@pytest.mark.parametrize("name", TREES)
def test_a_look_up_where_no_area_is_reads_no_area_of_an_earlier_look_up(name: str) -> None:
    """The mmap lock of the earlier look-up has been dropped since."""
    program = "vm\nslot a size=64K backing=anon\nslot b size=64K backing=anon\ncpu0 read a+0\n"
    program += "host unmap b+32K 4K\ncpu0 read b+32K\n"
    assert violations(candidate.get(version(name)), program) == []
