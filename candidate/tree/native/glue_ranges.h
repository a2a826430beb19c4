/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Part of glue_ranges.c: the ranges of a maple tree, an array sorted by number in place of the tree of nodes; its lock, and the
 * memory of its nodes. The tree of the host's areas (mm_mt) is only read; its elements are those that find_vma() finds.
 */

struct element { unsigned long first, last; void *entry; };
struct elements {
	unsigned int used;
	unsigned long change;		/* the number of the last change, of all trees */
	void *held;			/* what stands for the nodes in the records */
	struct element at[];
};

static struct elements *elements_of(const struct maple_tree *mt) { return (__force struct elements *)mt->ma_root; }

static bool is_host(const struct maple_tree *mt)
{
#ifdef HAVE_MTREE
	return mt == &shim_mm->mm_mt;
#else
	return false;
#endif
}

/* ---- the array ---- */

static bool area_from(unsigned long from, struct element *found)
{
	unsigned long start, end;
	struct vm_area_struct *v = shim_area_from(from, &start, &end);

	if (v)
		*found = (struct element){ start, end - 1, v };
	return v;
}

/* The first element that ends at a number or later; return whether there is one. */
static bool element_from(const struct maple_tree *mt, unsigned long from, struct element *found)
{
	struct elements *r;
	unsigned int i;

	if (is_host(mt))
		return area_from(from, found);
	r = elements_of(mt);
	for (i = 0; r && i < r->used; i++)
		if (r->at[i].last >= from) {
			*found = r->at[i];
			return true;
		}
	return false;
}

/* The last element that begins at a number or earlier; return whether there is one. */
static bool element_up_to(const struct maple_tree *mt, unsigned long to, struct element *found)
{
	struct element next = { .last = 0 };
	unsigned long from = 0;
	bool any = false;

	while (element_from(mt, from, &next) && next.first <= to) {
		*found = next;
		any = true;
		if (next.last == ULONG_MAX)
			break;
		from = next.last + 1;
	}
	return any;
}

/* The element or the gap that a number lies in. */
static struct element range_at(const struct maple_tree *mt, unsigned long index)
{
	struct element found = { 0, ULONG_MAX, NULL }, other;

	if (element_from(mt, index, &other)) {
		if (other.first <= index)
			return other;
		found.last = other.first - 1;
	}
	if (element_up_to(mt, index, &other))
		found.first = other.last + 1;
	return found;
}

static unsigned long changes;

static unsigned long last_change(const struct maple_tree *mt)
{
	const struct elements *r = is_host(mt) ? NULL : elements_of(mt);

	return r ? r->change : 0;
}

/* Map a range to an entry, or to nothing if that is NULL. */
static void set_range(struct maple_tree *mt, unsigned long first, unsigned long last, void *entry)
{
	struct elements *old = elements_of(mt), *r;
	unsigned int i, n = old ? old->used : 0;
	bool put = !entry;

	if (is_host(mt))
		shim_refuse("a change of the host's areas (mm_mt)");
	r = shim_zalloc(sizeof(*r) + (n + 2) * sizeof(*r->at));
	r->change = ++changes;
	r->held = old ? old->held : shim_hold_for(mt);
	for (i = 0; i < n; i++) {
		const struct element e = old->at[i];

		if (e.first < first)
			r->at[r->used++] = (struct element){ e.first, e.last < first ? e.last : first - 1, e.entry };
		if (!put && e.last >= first) {
			r->at[r->used++] = (struct element){ first, last, entry };
			put = true;
		}
		if (e.last > last)
			r->at[r->used++] = (struct element){ e.first > last ? e.first : last + 1, e.last, e.entry };
	}
	if (!put)
		r->at[r->used++] = (struct element){ first, last, entry };
	if (old)
		shim_free(old);
	if (!r->used) {
		shim_hold_no_more(r->held);
		shim_free(r);
		r = NULL;
	}
	mt->ma_root = (__force void __rcu *)r;
}

/* The first entry in a range; NULL: nothing is there. */
static void *first_in(const struct maple_tree *mt, unsigned long first, unsigned long last)
{
	struct element found;

	return element_from(mt, first, &found) && found.first <= last ? found.entry : NULL;
}

/* ---- locks and memory ---- */

static void assert_changes(const struct maple_tree *mt)
{
	if (!is_host(mt) && !mt_external_lock(mt))
		lockdep_assert_held_write(&mt->ma_lock);
}

/* Someone looks up a number, who holds the lock or is a reader of RCU. A look-up of an area is an event of its own. */
static void looks_up(const struct maple_tree *mt, unsigned long index)
{
	if (is_host(mt))
		find_vma(shim_mm, index);
	else if (!mt_external_lock(mt) && !shim_reads_under_rcu())
		lockdep_assert_held(&mt->ma_lock);
}

/*
 * Nodes are allocated for a change, even for one that only removes; return whether that succeeds. The lock is dropped for an
 * allocation that may sleep.
 */
static bool has_nodes(struct maple_tree *mt, gfp_t gfp, const char *function)
{
	if (gfpflags_allow_blocking(gfp)) {
		if (!mt_external_lock(mt))
			mtree_unlock(mt);
		shim_might_sleep(function);
		if (!mt_external_lock(mt))
			mtree_lock(mt);
	}
	return gfp & __GFP_NOFAIL || !shim_small_fails();
}
