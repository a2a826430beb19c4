// SPDX-License-Identifier: GPL-2.0-only
/*
 * Maps from a number to a pointer: xarrays, and what is built on them (IDR, IDA, radix trees). An array sorted by number replaces
 * the tree of nodes. The iterators by xa_state are not modelled.
 */
#include "probe.h"
#include "glue.h"
#include <linux/idr.h>
#include <linux/radix-tree.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/xarray.h>

struct map {
	unsigned int used, room;
	struct element {
		unsigned long index;
		void *entry;
		unsigned int marks;	/* one bit each */
	} at[];
};

static struct map *map_of(const struct xarray *xa) { return (__force struct map *)xa->xa_head; }

/* The place of the first element from a number on. */
static unsigned int place_of(const struct map *m, unsigned long index)
{
	unsigned int i = 0;

	while (m && i < m->used && m->at[i].index < index)
		i++;
	return i;
}

static struct element *element_at(const struct xarray *xa, unsigned long index)
{
	struct map *m = map_of(xa);
	unsigned int i = place_of(m, index);

	return m && i < m->used && m->at[i].index == index ? &m->at[i] : NULL;
}

/* What a number stands for; NULL: nothing. */
static void *entry_at(const struct xarray *xa, unsigned long index)
{
	struct element *e = element_at(xa, index);

	return e ? e->entry : NULL;
}

static void insert(struct xarray *xa, unsigned long index, void *entry)
{
	struct map *m = map_of(xa), *old = m;
	unsigned int i = place_of(m, index);

	if (!m || m->used == m->room) {
		unsigned int room = m ? 2 * m->room : 4;

		m = shim_zalloc(sizeof(*m) + room * sizeof(*m->at));
		if (old) {
			__builtin_memcpy(m, old, sizeof(*m) + old->used * sizeof(*m->at));
			shim_free(old);
		}
		m->room = room;
		xa->xa_head = (__force void __rcu *)m;
	}
	__builtin_memmove(&m->at[i + 1], &m->at[i], (m->used++ - i) * sizeof(*m->at));
	m->at[i] = (struct element){ index, entry, 0 };
}

/* The head of an empty map is NULL. */
static void drop(struct xarray *xa, struct element *e)
{
	struct map *m = map_of(xa);
	unsigned int after = &m->at[m->used--] - (e + 1);

	__builtin_memmove(e, e + 1, after * sizeof(*e));
	if (m->used)
		return;
	shim_free(m);
	xa->xa_head = NULL;
}

/* An entry that only reserves its number is nothing to those that look it up. */
static void *seen(void *entry) { return xa_is_zero(entry) ? NULL : entry; }

static bool matches(const struct element *e, xa_mark_t filter)
{
	return seen(e->entry) && (filter == XA_PRESENT || e->marks >> (__force unsigned int)filter & 1);
}

static void *find(struct xarray *xa, unsigned long *index, unsigned long from, unsigned long max, xa_mark_t filter)
{
	struct map *m = map_of(xa);
	unsigned int i;

	for (i = place_of(m, from); m && i < m->used && m->at[i].index <= max; i++)
		if (matches(&m->at[i], filter)) {
			*index = m->at[i].index;
			return m->at[i].entry;
		}
	return NULL;
}

/* The flag of a map says whether any element has a mark. */
static void forget_mark(struct xarray *xa, xa_mark_t mark)
{
	unsigned long first = 0;

	if (!find(xa, &first, 0, ULONG_MAX, mark))
		xa->xa_flags &= ~XA_FLAGS_MARK(mark);
}

static void unset(struct xarray *xa, struct element *e)
{
	unsigned int marks = e->marks;

	drop(xa, e);
	for (; marks; marks &= marks - 1)
		forget_mark(xa, (__force xa_mark_t)__ffs(marks));
}

/* Change what a number stands for; return what it stood for. NULL is nothing. */
static void *exchange(struct xarray *xa, unsigned long index, void *entry)
{
	struct element *e = element_at(xa, index);
	void *old = e ? e->entry : NULL;

	if (e && entry)
		e->entry = entry;
	else if (e)
		unset(xa, e);
	else if (entry)
		insert(xa, index, entry);
	return old;
}

/* Memory for a new element may be allocated. */
static void may_allocate(gfp_t gfp)
{
	if (gfpflags_allow_blocking(gfp))
		shim_might_sleep("xa_store");
}
/* The same where the caller holds the lock of the map, which is dropped meanwhile. */
static void may_allocate_locked(struct xarray *xa, gfp_t gfp)
{
	if (!gfpflags_allow_blocking(gfp))
		return;
	xa_unlock(xa);
	may_allocate(gfp);
	xa_lock(xa);
}

/* ---- xarrays ---- */

void *xa_load(struct xarray *xa, unsigned long index) { return seen(entry_at(xa, index)); }

void *__xa_store(struct xarray *xa, unsigned long index, void *entry, gfp_t gfp)
{
	may_allocate_locked(xa, gfp);
	return seen(exchange(xa, index, entry ? entry : xa->xa_flags & XA_FLAGS_TRACK_FREE ? XA_ZERO_ENTRY : NULL));
}

void *xa_store(struct xarray *xa, unsigned long index, void *entry, gfp_t gfp)
{
	void *old;

	may_allocate(gfp);
	xa_lock(xa);
	old = __xa_store(xa, index, entry, 0);
	xa_unlock(xa);
	return old;
}

void *__xa_erase(struct xarray *xa, unsigned long index) { return seen(exchange(xa, index, NULL)); }

void *xa_erase(struct xarray *xa, unsigned long index)
{
	void *old;

	xa_lock(xa);
	old = __xa_erase(xa, index);
	xa_unlock(xa);
	return old;
}

void *__xa_cmpxchg(struct xarray *xa, unsigned long index, void *old, void *entry, gfp_t gfp)
{
	void *found;

	may_allocate_locked(xa, gfp);
	found = entry_at(xa, index);
	if (found == old)
		exchange(xa, index, entry);
	return seen(found);
}

int __xa_insert(struct xarray *xa, unsigned long index, void *entry, gfp_t gfp)
{
	may_allocate_locked(xa, gfp);
	if (element_at(xa, index))
		return -EBUSY;
	insert(xa, index, entry ? entry : XA_ZERO_ENTRY);
	return 0;
}

/* The first free number of a range, in *id; return whether there is one. */
static bool find_free(const struct xarray *xa, unsigned long min, unsigned long max, unsigned long *id)
{
	struct map *m = map_of(xa);
	unsigned int i = place_of(m, min);

	for (*id = min; m && i < m->used && m->at[i].index == *id; i++)
		if ((*id)++ == max)
			return false;
	return *id <= max;
}

int __xa_alloc(struct xarray *xa, u32 *id, void *entry, struct xa_limit limit, gfp_t gfp)
{
	unsigned long found;

	may_allocate_locked(xa, gfp);
	if (!find_free(xa, limit.min, limit.max, &found))
		return -EBUSY;
	*id = found;
	insert(xa, found, entry ? entry : XA_ZERO_ENTRY);
	return 0;
}

int __xa_alloc_cyclic(struct xarray *xa, u32 *id, void *entry, struct xa_limit limit, u32 *next, gfp_t gfp)
{
	struct xa_limit above = { .min = max(limit.min, *next), .max = limit.max };
	int wrapped = 0, ret = __xa_alloc(xa, id, entry, above, gfp);

	if (ret && above.min > limit.min) {
		ret = __xa_alloc(xa, id, entry, limit, gfp);
		wrapped = 1;
	}
	if (ret)
		return ret;
	*next = *id + 1;
	return wrapped;
}

void *xa_find(struct xarray *xa, unsigned long *index, unsigned long max, xa_mark_t filter)
{
	return find(xa, index, *index, max, filter);
}

void *xa_find_after(struct xarray *xa, unsigned long *index, unsigned long max, xa_mark_t filter)
{
	return *index == ULONG_MAX ? NULL : find(xa, index, *index + 1, max, filter);
}

unsigned int xa_extract(struct xarray *xa, void **to, unsigned long start, unsigned long max, unsigned int n, xa_mark_t filter)
{
	unsigned int found = 0;

	for (; found < n && (to[found] = find(xa, &start, start, max, filter)); found++)
		if (start++ == ULONG_MAX)
			return found + 1;
	return found;
}

void xa_destroy(struct xarray *xa)
{
	xa_lock(xa);
	if (xa->xa_head)
		shim_free((__force void *)xa->xa_head);
	xa->xa_head = NULL;
	xa_unlock(xa);
}

bool xa_get_mark(struct xarray *xa, unsigned long index, xa_mark_t mark)
{
	struct element *e = element_at(xa, index);

	return e && e->marks >> (__force unsigned int)mark & 1;
}

void __xa_set_mark(struct xarray *xa, unsigned long index, xa_mark_t mark)
{
	struct element *e = element_at(xa, index);

	if (e)
		e->marks |= 1U << (__force unsigned int)mark;
	xa->xa_flags |= e ? XA_FLAGS_MARK(mark) : 0;
}

void xa_set_mark(struct xarray *xa, unsigned long index, xa_mark_t mark)
{
	xa_lock(xa);
	__xa_set_mark(xa, index, mark);
	xa_unlock(xa);
}

void __xa_clear_mark(struct xarray *xa, unsigned long index, xa_mark_t mark)
{
	struct element *e = element_at(xa, index);

	if (e)
		e->marks &= ~(1U << (__force unsigned int)mark);
	forget_mark(xa, mark);
}

void xa_clear_mark(struct xarray *xa, unsigned long index, xa_mark_t mark)
{
	xa_lock(xa);
	__xa_clear_mark(xa, index, mark);
	xa_unlock(xa);
}

/* ---- numbers for pointers: an entry may be NULL ---- */

int idr_alloc_u32(struct idr *idr, void *entry, u32 *id, unsigned long max, gfp_t gfp)
{
	unsigned long found;

	may_allocate(gfp);
	if (!find_free(&idr->idr_rt, *id, max, &found))
		return -ENOSPC;
	*id = found;
	insert(&idr->idr_rt, found, entry);
	return 0;
}

int idr_alloc(struct idr *idr, void *entry, int start, int end, gfp_t gfp)
{
	u32 id = start;
	int ret = idr_alloc_u32(idr, entry, &id, end > 0 ? end - 1 : INT_MAX, gfp);

	return ret ? ret : id;
}

int idr_alloc_cyclic(struct idr *idr, void *entry, int start, int end, gfp_t gfp)
{
	int ret = idr_alloc(idr, entry, max_t(int, start, idr->idr_next), end, gfp);

	if (ret == -ENOSPC)
		ret = idr_alloc(idr, entry, start, end, gfp);
	if (ret >= 0)
		idr->idr_next = ret + 1;
	return ret;
}

void *idr_find(const struct idr *idr, unsigned long id) { return entry_at(&idr->idr_rt, id); }

void *idr_remove(struct idr *idr, unsigned long id) { return exchange(&idr->idr_rt, id, NULL); }

void *idr_replace(struct idr *idr, void *entry, unsigned long id)
{
	struct element *e = element_at(&idr->idr_rt, id);
	void *old = e ? e->entry : ERR_PTR(-ENOENT);

	if (e)
		e->entry = entry;
	return old;
}

void *idr_get_next_ul(struct idr *idr, unsigned long *next)
{
	struct map *m = map_of(&idr->idr_rt);
	unsigned int i = place_of(m, *next);

	if (!m || i == m->used)
		return NULL;
	*next = m->at[i].index;
	return m->at[i].entry;
}

void *idr_get_next(struct idr *idr, int *next)
{
	unsigned long id = *next;
	void *entry = idr_get_next_ul(idr, &id);

	*next = id;
	return entry;
}

void idr_destroy(struct idr *idr) { xa_destroy(&idr->idr_rt); }

int ida_alloc_range(struct ida *ida, unsigned int min, unsigned int max, gfp_t gfp)
{
	unsigned long found;

	may_allocate(gfp);
	if (!find_free(&ida->xa, min, min_t(unsigned int, max, INT_MAX), &found))
		return -ENOSPC;
	insert(&ida->xa, found, NULL);
	return found;
}

void ida_free(struct ida *ida, unsigned int id)
{
	struct element *e = element_at(&ida->xa, id);

	if (!WARN_ON(!e))
		drop(&ida->xa, e);
}

void ida_destroy(struct ida *ida) { xa_destroy(&ida->xa); }

/* ---- radix trees ---- */

int radix_tree_insert(struct radix_tree_root *root, unsigned long index, void *entry)
{
	may_allocate(root->xa_flags & (__force gfp_t)__GFP_BITS_MASK);
	if (element_at(root, index))
		return -EEXIST;
	insert(root, index, entry);
	return 0;
}
void *radix_tree_lookup(const struct radix_tree_root *root, unsigned long index) { return entry_at(root, index); }
void *radix_tree_delete(struct radix_tree_root *root, unsigned long index) { return exchange(root, index, NULL); }
