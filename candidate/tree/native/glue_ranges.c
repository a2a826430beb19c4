// SPDX-License-Identifier: GPL-2.0-only
/*
 * Maple trees: maps from ranges of numbers to pointers, which glue_ranges.h keeps.
 *
 * A state (struct ma_state) keeps the range that was found last. In Linux it also points to the node of that range, which
 * anybody else who changes the tree may free. So a state that has found something remembers the number of the tree's last
 * change, and using it after a change of others is a mistake. Only in a tree in RCU mode a look-up notices that its node is
 * dead, and begins again.
 */
#include "probe.h"
#include "glue.h"
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>
#ifdef HAVE_MAPLE_TREE
#include <linux/maple_tree.h>
#include <linux/xarray.h>

#include "glue_ranges.h"

/* ---- states ---- */

enum { STARTS, FOUND, NOTHING, PAUSED, FAILED };

#ifdef HAVE_MAPLE_STATUS
static int status_of(const struct ma_state *mas)
{
	switch (mas->status) {
	case ma_start:
		return STARTS;
	case ma_pause:
		return PAUSED;
	case ma_error:
		return FAILED;
	case ma_active:
	case ma_root:
		return FOUND;
	default:
		return NOTHING;
	}
}

static void set_status(struct ma_state *mas, int status)
{
	static const enum maple_status of[] = { ma_start, ma_active, ma_none, ma_pause, ma_error };

	mas->status = of[status];
	mas->node = NULL;
}
#else
/* Any address of a node. */
#define A_NODE	((struct maple_enode *)0x100UL)
static int status_of(const struct ma_state *mas)
{
	if (xa_is_err(mas->node))
		return FAILED;
	return mas->node == MAS_START ? STARTS : mas->node == MAS_PAUSE ? PAUSED : mas->node == MAS_NONE ? NOTHING : FOUND;
}

static void set_status(struct ma_state *mas, int status)
{
	struct maple_enode *of[] = { MAS_START, A_NODE, MAS_NONE, MAS_PAUSE, MAS_NONE };

	mas->node = of[status];
}

bool mas_is_err(struct ma_state *mas) { return xa_is_err(mas->node); }
#endif

static void fail(struct ma_state *mas, long error)
{
	set_status(mas, FAILED);
	mas->node = MA_ERROR(error);
}

/* A state has found something in the tree as it is now. */
static void finds(struct ma_state *mas)
{
	set_status(mas, FOUND);
	mas->max = last_change(mas->tree);
}

/* A state that has found something is used again, for a look-up or a change. Return whether it had. */
static bool had_found(const struct ma_state *mas, bool changes_tree)
{
	if (status_of(mas) != FOUND)
		return false;
	if (!changes_tree && mt_in_rcu(mas->tree))
		return true;
	WARN(mas->max != last_change(mas->tree), "a maple state is used after others have changed the tree");
	return true;
}

static void *found_at(struct ma_state *mas, const struct element *found)
{
	mas->index = found->first;
	mas->last = found->last;
	finds(mas);
	return found->entry;
}

static void *nothing_at(struct ma_state *mas, unsigned long index)
{
	mas->index = mas->last = index;
	set_status(mas, NOTHING);
	return NULL;
}

void *mas_walk(struct ma_state *mas)
{
	const struct element found = range_at(mas->tree, mas->index);

	had_found(mas, false);
	looks_up(mas->tree, mas->index);
	return found_at(mas, &found);
}

/* Where a search upwards begins; return whether there is such a number. */
static bool upwards(const struct ma_state *mas, bool after, unsigned long max, unsigned long *from)
{
	const int status = status_of(mas);
	const bool goes_on = had_found(mas, false) || status == PAUSED;

	*from = mas->index;
	if (after && status == STARTS)
		*from = range_at(mas->tree, mas->index).last;
	else if (goes_on)
		*from = mas->last;
	if (after || goes_on)
		return (*from)++ < max;
	return *from <= max;
}

/* Where a search downwards begins; return whether there is such a number. */
static bool downwards(const struct ma_state *mas, bool before, unsigned long min, unsigned long *to)
{
	const int status = status_of(mas);
	const bool goes_on = had_found(mas, false) || status == PAUSED;

	*to = mas->index;
	if (before && status == STARTS)
		*to = range_at(mas->tree, mas->index).first;
	if (before || goes_on)
		return (*to)-- > min;
	return *to >= min;
}

/* The first element, or the range if *gaps*, from a number on, upwards to the limit or downwards. */
static void *search(struct ma_state *mas, unsigned long at, unsigned long limit, bool up, bool gaps)
{
	struct element found;
	bool there = true;

	looks_up(mas->tree, at);
	if (gaps)
		found = range_at(mas->tree, at);
	else if (up)
		there = element_from(mas->tree, at, &found) && found.first <= limit;
	else
		there = element_up_to(mas->tree, at, &found) && found.last >= limit;
	return there ? found_at(mas, &found) : nothing_at(mas, limit);
}

static void *look_up(struct ma_state *mas, bool after, bool gaps, unsigned long max)
{
	unsigned long from;

	return upwards(mas, after, max, &from) ? search(mas, from, max, true, gaps) : nothing_at(mas, max);
}

static void *look_down(struct ma_state *mas, bool before, bool gaps, unsigned long min)
{
	unsigned long to;

	return downwards(mas, before, min, &to) ? search(mas, to, min, false, gaps) : nothing_at(mas, min);
}

void *mas_find(struct ma_state *mas, unsigned long max) { return look_up(mas, false, false, max); }
void *mas_next(struct ma_state *mas, unsigned long max) { return look_up(mas, true, false, max); }
void *mas_find_rev(struct ma_state *mas, unsigned long min) { return look_down(mas, false, false, min); }
void *mas_prev(struct ma_state *mas, unsigned long min) { return look_down(mas, true, false, min); }
/* The same, where a gap is found, too. */
void *mas_find_range(struct ma_state *mas, unsigned long max) { return look_up(mas, false, true, max); }
void *mas_next_range(struct ma_state *mas, unsigned long max) { return look_up(mas, true, true, max); }
void *mas_find_range_rev(struct ma_state *mas, unsigned long min) { return look_down(mas, false, true, min); }
void *mas_prev_range(struct ma_state *mas, unsigned long min) { return look_down(mas, true, true, min); }

void mas_pause(struct ma_state *mas) { set_status(mas, PAUSED); }
void mas_destroy(struct ma_state *mas) { }
int mas_expected_entries(struct ma_state *mas, unsigned long entries) { return 0; }

/* A state that has removed its range has all of the gap that results. */
static void *store(struct ma_state *mas, void *entry)
{
	void *old = first_in(mas->tree, mas->index, mas->last);
	struct element now;

	had_found(mas, true);
	assert_changes(mas->tree);
	set_range(mas->tree, mas->index, mas->last, entry);
	if (!entry) {
		now = range_at(mas->tree, mas->index);
		mas->index = now.first;
		mas->last = now.last;
	}
	finds(mas);
	return old;
}

void *mas_store(struct ma_state *mas, void *entry)
{
	if (mas->index > mas->last)
		fail(mas, -EINVAL);
	else if (shim_small_fails())
		fail(mas, -ENOMEM);
	else
		return store(mas, entry);
	return NULL;
}

bool mas_nomem(struct ma_state *mas, gfp_t gfp)
{
	if (mas->node != MA_ERROR(-ENOMEM) || !has_nodes(mas->tree, gfp, "mas_nomem"))
		return false;
	set_status(mas, STARTS);
	return true;
}

int mas_preallocate(struct ma_state *mas, void *entry, gfp_t gfp)
{
	if (gfpflags_allow_blocking(gfp))
		shim_might_sleep("mas_preallocate");
	return !(gfp & __GFP_NOFAIL) && shim_small_fails() ? -ENOMEM : 0;
}

void mas_store_prealloc(struct ma_state *mas, void *entry) { store(mas, entry); }

int mas_store_gfp(struct ma_state *mas, void *entry, gfp_t gfp)
{
	if (mas->index > mas->last)
		return -EINVAL;
	if (!has_nodes(mas->tree, gfp, "mas_store_gfp")) {
		fail(mas, -ENOMEM);
		return -ENOMEM;
	}
	store(mas, entry);
	return 0;
}

/* Linux tries to get nodes without sleeping, and if there are none, with GFP_KERNEL. */
void *mas_erase(struct ma_state *mas)
{
	const unsigned long index = mas->index;
	void *old;

	set_status(mas, STARTS);
	old = mas_walk(mas);
	if (!old)
		return NULL;
	if (!has_nodes(mas->tree, GFP_KERNEL, "mas_erase")) {
		fail(mas, -ENOMEM);
		return old;
	}
	/* The lock was dropped. */
	mas->index = index;
	set_status(mas, STARTS);
	old = mas_walk(mas);
	if (old)
		store(mas, NULL);
	return old;
}

/* The lowest or highest free range of a size between two numbers. */
static int free_range(struct ma_state *mas, unsigned long min, unsigned long max, unsigned long size, bool highest)
{
	unsigned long at = highest ? max : min;

	looks_up(mas->tree, min);
	if (!size || min > max || max - min < size - 1)
		return -EINVAL;
	for (;;) {
		struct element r = range_at(mas->tree, at);
		const unsigned long first = max(r.first, min), last = min(r.last, max);

		if (!r.entry && last - first >= size - 1) {
			r.first = highest ? last - (size - 1) : first;
			r.last = r.first + (size - 1);
			found_at(mas, &r);
			return 0;
		}
		if (highest ? r.first <= min : r.last >= max)
			return -EBUSY;
		at = highest ? r.first - 1 : r.last + 1;
	}
}

int mas_empty_area(struct ma_state *mas, unsigned long min, unsigned long max, unsigned long size)
{
	return free_range(mas, min, max, size, false);
}

int mas_empty_area_rev(struct ma_state *mas, unsigned long min, unsigned long max, unsigned long size)
{
	return free_range(mas, min, max, size, true);
}

/* ---- functions that take the lock, or are readers of RCU, themselves ---- */

/* An entry that only reserves its range is nothing to those that look it up. */
static void *seen(void *entry) { return xa_is_zero(entry) ? NULL : entry; }

/* A look-up of an area is an event; these functions need no lock of the caller. */
static void looks_up_safely(const struct maple_tree *mt, unsigned long index)
{
	if (is_host(mt))
		looks_up(mt, index);
}

void *mtree_load(struct maple_tree *mt, unsigned long index)
{
	looks_up_safely(mt, index);
	return seen(range_at(mt, index).entry);
}

void *mt_find(struct maple_tree *mt, unsigned long *index, unsigned long max)
{
	struct element found = { .last = 0 };
	unsigned long from = *index;

	looks_up_safely(mt, from);
	while (from <= max && element_from(mt, from, &found) && found.first <= max) {
		if (seen(found.entry)) {
			*index = found.last + 1;
			return found.entry;
		}
		if (found.last == ULONG_MAX)
			break;
		from = found.last + 1;
	}
	return NULL;
}

void *mt_find_after(struct maple_tree *mt, unsigned long *index, unsigned long max)
{
	return *index ? mt_find(mt, index, max) : NULL;
}

void *mt_next(struct maple_tree *mt, unsigned long index, unsigned long max)
{
	const struct element at = range_at(mt, index);
	struct element found;

	looks_up_safely(mt, index);
	return at.last < max && element_from(mt, at.last + 1, &found) && found.first <= max ? found.entry : NULL;
}

void *mt_prev(struct maple_tree *mt, unsigned long index, unsigned long min)
{
	const struct element at = range_at(mt, index);
	struct element found;

	looks_up_safely(mt, index);
	return at.first > min && element_up_to(mt, at.first - 1, &found) && found.last >= min ? found.entry : NULL;
}

/* Map a range that must be free if *fresh*. */
static int store_range(struct maple_tree *mt, unsigned long first, unsigned long last, void *entry, gfp_t gfp, bool fresh)
{
	int ret = 0;

	if (WARN_ON_ONCE(xa_is_advanced(entry)) || first > last)
		return -EINVAL;
	mtree_lock(mt);
	if (!has_nodes(mt, gfp, "mtree_store_range"))
		ret = -ENOMEM;
	else if (fresh && first_in(mt, first, last))
		ret = -EEXIST;
	else
		set_range(mt, first, last, entry);
	mtree_unlock(mt);
	return ret;
}

int mtree_store_range(struct maple_tree *mt, unsigned long first, unsigned long last, void *entry, gfp_t gfp)
{
	return store_range(mt, first, last, entry, gfp, false);
}

int mtree_store(struct maple_tree *mt, unsigned long index, void *entry, gfp_t gfp)
{
	return store_range(mt, index, index, entry, gfp, false);
}

int mtree_insert_range(struct maple_tree *mt, unsigned long first, unsigned long last, void *entry, gfp_t gfp)
{
	return store_range(mt, first, last, entry, gfp, true);
}

int mtree_insert(struct maple_tree *mt, unsigned long index, void *entry, gfp_t gfp)
{
	return store_range(mt, index, index, entry, gfp, true);
}

static int alloc_range(struct maple_tree *mt, unsigned long *start, void *entry, unsigned long size, unsigned long min,
		       unsigned long max, gfp_t gfp, bool highest)
{
	MA_STATE(mas, mt, 0, 0);
	int ret;

	if (WARN_ON_ONCE(!(mt->ma_flags & MT_FLAGS_ALLOC_RANGE)))
		return -EINVAL;
	mtree_lock(mt);
	ret = has_nodes(mt, gfp, "mtree_alloc_range") ? free_range(&mas, min, max, size, highest) : -ENOMEM;
	if (!ret) {
		set_range(mt, mas.index, mas.last, entry);
		*start = mas.index;
	}
	mtree_unlock(mt);
	return ret;
}

int mtree_alloc_range(struct maple_tree *mt, unsigned long *start, void *entry, unsigned long size, unsigned long min,
		      unsigned long max, gfp_t gfp)
{
	return alloc_range(mt, start, entry, size, min, max, gfp, false);
}

int mtree_alloc_rrange(struct maple_tree *mt, unsigned long *start, void *entry, unsigned long size, unsigned long min,
		       unsigned long max, gfp_t gfp)
{
	return alloc_range(mt, start, entry, size, min, max, gfp, true);
}

void *mtree_erase(struct maple_tree *mt, unsigned long index)
{
	MA_STATE(mas, mt, index, index);
	void *old;

	mtree_lock(mt);
	old = mas_erase(&mas);
	mtree_unlock(mt);
	return old;
}

void __mt_destroy(struct maple_tree *mt)
{
	assert_changes(mt);
	set_range(mt, 0, ULONG_MAX, NULL);
}

void mtree_destroy(struct maple_tree *mt)
{
	mtree_lock(mt);
	__mt_destroy(mt);
	mtree_unlock(mt);
}
#endif
