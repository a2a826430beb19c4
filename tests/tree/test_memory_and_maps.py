# SPDX-License-Identifier: GPL-2.0-only
"""Models of small memory, texts, maps from numbers to pointers, and counts: they do what Linux documents."""

from pathlib import Path
from typing import Final

import pytest

import candidate
from tests.good_bad.case import violations

from .dirty_log_call import PROGRAM, tree_with

TREES: Final = ("6.1", "6.12", "7.3")
TRIED: Final = """
#include <linux/bitmap.h>
#include <linux/idr.h>
#include <linux/llist.h>
#include <linux/refcount.h>
#include <linux/string.h>
static noinline void tried(struct kvm *kvm)
{
	%s
}
"""
# Statements that crash unless each function does what it should, and leave nothing behind.
MEMORY: Final = """
	volatile size_t size = 40;
	char *p, *q, text[8];
	unsigned long *map;

	p = kmemdup("0123456789", size - 30, GFP_KERNEL);
	BUG_ON(!p || memcmp(p, "0123456789", 10));
	p = krealloc(p, size, GFP_KERNEL);
	BUG_ON(!p || memcmp(p, "0123456789", 10));
	p = krealloc(p, 4, GFP_KERNEL);
	BUG_ON(!p || memcmp(p, "0123", 4));
	BUG_ON(krealloc(p, 0, GFP_KERNEL));
	p = kstrdup("words", GFP_KERNEL);
	q = kasprintf(GFP_KERNEL, "%s-%d", p, 7);
	BUG_ON(strcmp(p, "words") || strcmp(q, "words-7"));
	kfree(q);
	kfree(p);
	p = kvmalloc_array(size, 8, GFP_KERNEL | __GFP_ZERO);
	BUG_ON(!p || memchr_inv(p, 0, size * 8));
	p[7] = 1;
	BUG_ON(memchr_inv(p, 0, size * 8) != p + 7);
	kvfree(p);
	BUG_ON(kmalloc_array(size, ~0UL / 8, GFP_KERNEL));
	p = vmalloc(size);
	vfree(p);
	p = kmalloc_node(size, GFP_ATOMIC, 0);
	kfree(p);
	p = kzalloc(1 << 20, GFP_KERNEL);
	BUG_ON(!p || p[(1 << 20) - 1]);
	kfree(p);
	map = bitmap_zalloc(size, GFP_KERNEL);
	BUG_ON(!map || *map || find_first_bit(map, size) != size);
	bitmap_free(map);
	BUG_ON(strscpy(text, "short", sizeof(text)) != 5 || strcmp(text, "short"));
	BUG_ON(strscpy(text, "much too long", sizeof(text)) != -E2BIG || strcmp(text, "much to"));
	BUG_ON(scnprintf(text, sizeof(text), "%d", 123456789) != 7 || strcmp(text, "1234567"));
	BUG_ON(strncmp("abc", "abd", 2) || !strchr("abc", 'c') || strnlen("abc", 2) != 2 || !strstr("abc", "bc"));
"""
MAPS: Final = """
	static DEFINE_XARRAY_ALLOC(map);
	static DEFINE_IDR(idr);
	static DEFINE_IDA(ida);
	int a = 1, b = 2;
	unsigned long index;
	struct kvm_vcpu *vcpu;
	u32 id;
	void *entry;

	BUG_ON(!xa_empty(&map) || xa_load(&map, 5) || xa_store(&map, 5, &a, GFP_KERNEL));
	BUG_ON(xa_load(&map, 5) != &a || xa_store(&map, 5, &b, GFP_KERNEL) != &a || xa_empty(&map));
	BUG_ON(xa_insert(&map, 5, &a, GFP_KERNEL) != -EBUSY || xa_insert(&map, 2, &a, GFP_KERNEL));
	BUG_ON(xa_cmpxchg(&map, 2, &b, &b, GFP_KERNEL) != &a || xa_load(&map, 2) != &a);
	BUG_ON(xa_reserve(&map, 3, GFP_KERNEL) || xa_load(&map, 3) || xa_insert(&map, 3, &a, GFP_KERNEL) != -EBUSY);
	xa_release(&map, 3);
	xa_set_mark(&map, 5, XA_MARK_1);
	BUG_ON(!xa_get_mark(&map, 5, XA_MARK_1) || !xa_marked(&map, XA_MARK_1) || xa_get_mark(&map, 2, XA_MARK_1));
	id = 0;
	xa_for_each(&map, index, entry)
		id = id * 10 + index;
	BUG_ON(id != 25);
	xa_for_each_marked(&map, index, entry, XA_MARK_1)
		BUG_ON(index != 5 || entry != &b);
	xa_for_each_range(&map, index, entry, 3, 4)
		BUG();
	BUG_ON(xa_alloc(&map, &id, &a, XA_LIMIT(2, 5), GFP_KERNEL) || id != 3);
	BUG_ON(xa_alloc(&map, &id, &a, XA_LIMIT(2, 4), GFP_KERNEL) || id != 4);
	BUG_ON(xa_alloc(&map, &id, &a, XA_LIMIT(2, 5), GFP_KERNEL) != -EBUSY);
	BUG_ON(xa_erase(&map, 5) != &b || xa_erase(&map, 5) || xa_marked(&map, XA_MARK_1));
	xa_destroy(&map);
	BUG_ON(!xa_empty(&map));
	xa_lock(&map);
	BUG_ON(__xa_store(&map, 1, xa_mk_value(9), GFP_ATOMIC));
	xa_unlock(&map);
	BUG_ON(xa_to_value(xa_erase(&map, 1)) != 9 || !xa_empty(&map));

	BUG_ON(idr_alloc(&idr, &a, 3, 5, GFP_KERNEL) != 3 || idr_alloc(&idr, &b, 3, 5, GFP_KERNEL) != 4);
	BUG_ON(idr_alloc(&idr, &b, 3, 5, GFP_KERNEL) != -ENOSPC || idr_find(&idr, 4) != &b);
	BUG_ON(idr_remove(&idr, 3) != &a || idr_find(&idr, 3) || idr_remove(&idr, 4) != &b || !idr_is_empty(&idr));
	BUG_ON(ida_alloc(&ida, GFP_KERNEL) || ida_alloc(&ida, GFP_KERNEL) != 1);
	ida_free(&ida, 0);
	BUG_ON(ida_alloc_min(&ida, 1, GFP_KERNEL) != 2 || ida_alloc(&ida, GFP_KERNEL));
	ida_destroy(&ida);

	id = 0;
	kvm_for_each_vcpu(index, vcpu, kvm)
		BUG_ON(vcpu->vcpu_id != id++ || kvm_get_vcpu(kvm, index) != vcpu);
	BUG_ON(id != 2);
	kvm_make_all_cpus_request(kvm, KVM_REQ_UNBLOCK);
	BUG_ON(!kvm_check_request(KVM_REQ_UNBLOCK, kvm_get_vcpu(kvm, 1)));
"""
COUNTS: Final = """
	static LLIST_HEAD(list);
	struct llist_node nodes[3], *node;
	refcount_t count = REFCOUNT_INIT(2);

	BUG_ON(refcount_dec_and_mutex_lock(&count, &kvm->irq_lock) || refcount_read(&count) != 1);
	BUG_ON(refcount_dec_not_one(&count) || !refcount_dec_and_mutex_lock(&count, &kvm->irq_lock));
	mutex_unlock(&kvm->irq_lock);
	refcount_set(&count, 1);
	BUG_ON(!refcount_dec_if_one(&count) || refcount_read(&count));
	BUG_ON(!llist_add(&nodes[0], &list) || llist_add(&nodes[1], &list) || llist_add(&nodes[2], &list));
	BUG_ON(llist_del_first(&list) != &nodes[2]);
	node = llist_reverse_order(llist_del_all(&list));
	BUG_ON(node != &nodes[0] || node->next != &nodes[1] || node->next->next || !llist_empty(&list));
	BUG_ON(usecs_to_jiffies(1500) != 2 || jiffies_to_msecs(7) != 7 || ktime_get_seconds() > ktime_get_real_seconds());
"""
VCPUS: Final = PROGRAM.replace("vm\n", "vm cpus=2\n")


@pytest.mark.parametrize("name", TREES)
def test_models_do_what_linux_documents(name: str, tmp_path: Path) -> None:
    tree = tree_with(name, tmp_path / "tree", f"{{{MEMORY}}}\n{{{MAPS}}}\n{{{COUNTS}}}", TRIED)
    assert violations(candidate.get(tree), VCPUS) == []


# The models notice mistakes of their callers.
WRONG: Final = {
    "an allocation for a map with a spinlock": (
        (
            "static DEFINE_XARRAY(map); static DEFINE_SPINLOCK(spin); spin_lock(&spin); "
            "xa_store(&map, 1, kvm, GFP_KERNEL); spin_unlock(&spin);"
        ),
        "sleeping call in atomic context",
    ),
    "a number that is freed twice": (
        "static DEFINE_IDA(ida); ida_free(&ida, ida_alloc(&ida, GFP_KERNEL)); ida_free(&ida, 0);",
        "WARN",
    ),
    "a count that drops below zero": (
        "refcount_t count = REFCOUNT_INIT(1); (void)!refcount_dec_and_test(&count); refcount_dec(&count);",
        "WARN",
    ),
    "a copy with a spinlock": (
        'static DEFINE_SPINLOCK(spin); spin_lock(&spin); kfree(kstrdup("a", GFP_KERNEL)); spin_unlock(&spin);',
        "sleeping call in atomic context",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_mistakes_of_callers_are_found(what: str, tmp_path: Path) -> None:
    statements, expected = WRONG[what]
    found = violations(candidate.get(tree_with("7.3", tmp_path / "tree", statements, TRIED)), PROGRAM)
    assert [each.what for each in found] == [expected]
