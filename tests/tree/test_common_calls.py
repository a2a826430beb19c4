# SPDX-License-Identifier: GPL-2.0-only
"""Models of Linux functions that patches commonly call: locks, RCU, caches of objects, parameters, rate limits."""

from pathlib import Path
from typing import Final

import pytest

import candidate
from candidate.tree.building.source import MMU
from tests.good_bad.case import violations

from .dirty_log_call import PROGRAM, TRIED, tree_with
from .trees import edited

TREES: Final = ("6.1", "6.12", "7.3")
# Statements that crash unless each function does what it should.
RIGHT: Final = """
	struct tried_object { struct rcu_head head; u64 word; struct rcu_head other; } *object;
	static DEFINE_RATELIMIT_STATE(limit, 5 * HZ, 2);
	static DEFINE_STATIC_KEY_FALSE(key);
	struct kmem_cache *cache;
	int i;

	BUG_ON(mutex_is_locked(&kvm->slots_arch_lock) || !mutex_is_locked(&kvm->slots_lock));
	BUG_ON(mutex_lock_interruptible(&kvm->slots_arch_lock) || !mutex_is_locked(&kvm->slots_arch_lock));
	mutex_unlock(&kvm->slots_arch_lock);
	BUG_ON(rwsem_is_locked(&kvm->mm->mmap_lock) || mmap_read_lock_killable(kvm->mm));
	BUG_ON(!rwsem_is_locked(&kvm->mm->mmap_lock) || down_write_trylock(&kvm->mm->mmap_lock));
	mmap_assert_locked(kvm->mm);
	mmap_read_unlock(kvm->mm);
	BUG_ON(mmap_write_lock_killable(kvm->mm) || !rwsem_is_locked(&kvm->mm->mmap_lock));
	mmap_assert_write_locked(kvm->mm);
	mmap_write_unlock(kvm->mm);
	BUG_ON(down_read_interruptible(&kvm->mm->mmap_lock));
	up_read(&kvm->mm->mmap_lock);

	/* An object lives as long as readers that began before. */
	for (i = 0; i < 2; i++) {
		object = kmalloc(sizeof(*object), GFP_KERNEL);
		object->word = 17;
		rcu_read_lock();
		if (i)
			kfree_rcu(object, head);
		else
			kfree_rcu(object, other);
		BUG_ON(READ_ONCE(object->word) != 17);
		rcu_read_unlock();
	}
	object = kmalloc(sizeof(*object), GFP_KERNEL);
	object->word = 17;
	kvfree_rcu_mightsleep(object);
	rcu_barrier();

	cache = kmem_cache_create("tried", sizeof(*object), 8, 0, tried_construct);
	object = kmem_cache_alloc(cache, GFP_KERNEL);
	BUG_ON(!object || object->word != 23);
	kmem_cache_free(cache, object);
	kmem_cache_destroy(cache);
	cache = KMEM_CACHE(tried_object, 0);
	object = kmem_cache_zalloc(cache, GFP_KERNEL);
	BUG_ON(!object || object->word);
	kmem_cache_free(cache, object);
	kmem_cache_destroy(cache);
	kmem_cache_destroy(NULL);

	BUG_ON(!__ratelimit(&limit) || !__ratelimit(&limit) || __ratelimit(&limit));
	mdelay(5001);
	BUG_ON(!__ratelimit(&limit));

	BUG_ON(static_branch_unlikely(&key));
	static_branch_enable(&key);
	BUG_ON(!static_branch_unlikely(&key));
	static_branch_disable(&key);
	BUG_ON(static_branch_unlikely(&key));
	prefetch(kvm);
	prefetchw(kvm);
"""
# Above the functions: a constructor, and a parameter, which a program never sets.
ABOVE: Final = """
#include <linux/ratelimit.h>
#include <linux/prefetch.h>
#include <linux/moduleparam.h>
static void tried_construct(void *object) { ((u64 *)object)[sizeof(struct rcu_head) / 8] = 23; }
static bool tried_flag;
static const struct kernel_param_ops tried_ops = { .set = param_set_bool, .get = param_get_bool };
module_param_cb(tried, &tried_ops, &tried_flag, 0644);
"""
# Statements with a violation, and what it is.
WRONG: Final = {
    "interruptible": ("(void)!mutex_lock_interruptible(&kvm->slots_arch_lock);", "another lock still held"),
    "killable": (
        "write_lock(&kvm->mmu_lock); BUG_ON(mmap_read_lock_killable(kvm->mm)); mmap_read_unlock(kvm->mm);",
        "sleeping call under mmu_lock",
    ),
    "asserted": ("mmap_assert_locked(kvm->mm);", "lock not held"),
    "asserted for writing": (
        "mmap_read_lock(kvm->mm); mmap_assert_write_locked(kvm->mm); mmap_read_unlock(kvm->mm);",
        "lock not held",
    ),
    "freed": (
        "u64 *object = kmalloc(64, GFP_KERNEL); kvfree_rcu_mightsleep(object); rcu_barrier(); BUG_ON(object[3]);",
        "oops use after free of an object, read of 8 bytes, in tried",
    ),
    "sleeping without a head": (
        "u64 *object = kmalloc(64, GFP_KERNEL); write_lock(&kvm->mmu_lock); kvfree_rcu_mightsleep(object);",
        "sleeping call under mmu_lock",
    ),
    "freed cache object": (
        "u64 *object = kmem_cache_alloc(NULL, GFP_KERNEL); kmem_cache_free(NULL, object); BUG_ON(object[3]);",
        "oops use after free of an object, read of 8 bytes, in tried",
    ),
}


@pytest.mark.parametrize("name", TREES)
def test_models_do_what_linux_documents(name: str, tmp_path: Path) -> None:
    tree = tree_with(name, tmp_path / "tree", RIGHT, ABOVE + TRIED)
    assert violations(candidate.get(tree), PROGRAM) == []


@pytest.mark.parametrize("what", WRONG)
def test_mistakes_are_found(what: str, tmp_path: Path) -> None:
    statements, expected = WRONG[what]
    found = violations(candidate.get(tree_with("7.3", tmp_path / "tree", statements)), PROGRAM)
    assert expected in [each.what for each in found]


@pytest.mark.parametrize(("name", "address"), [("6.12", "hva"), ("7.3", "s2fd->hva")])
def test_the_mmap_lock_that_a_fault_holds_is_held(name: str, address: str, tmp_path: Path) -> None:
    text = f"\tvma = vma_lookup(current->mm, {address});\n"
    tree = edited(name, tmp_path / "tree", MMU, ((text, f"\tmmap_assert_locked(current->mm);\n{text}"),))
    assert violations(candidate.get(tree), "vm\nslot a size=64K backing=anon\ncpu0 write a+0\n") == []
