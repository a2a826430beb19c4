// SPDX-License-Identifier: GPL-2.0-only
/* Reference counts of objects (refcount_t), and lists without locks (llist): functions that are not inline. */
#include "rt.h"

/* A wrong count gets a value far from zero, so that the object stays. */
#define SATURATED	(-0x40000000)

void refcount_warn_saturate(int *count, unsigned int what)
{
	*count = SATURATED;
	CALL(EV_WARN, 0, 0, 0, "refcount_t: wrong count");
}

_Bool refcount_dec_if_one(int *count)
{
	int one = 1;

	return __atomic_compare_exchange_n(count, &one, 0, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

/* Return whether one less was counted; the last reference stays. */
_Bool refcount_dec_not_one(int *count)
{
	if (*count == SATURATED)
		return 1;
	if (*count == 1)
		return 0;
	if (*count <= 0)
		refcount_warn_saturate(count, 0);
	else
		__atomic_fetch_sub(count, 1, __ATOMIC_SEQ_CST);
	return 1;
}

/* The last reference is dropped with a lock, which the caller gets. */
static int last_dropped(int *count)
{
	if (refcount_dec_if_one(count))
		return 1;
	refcount_dec_not_one(count);
	return 0;
}
_Bool refcount_dec_and_mutex_lock(int *count, void *lock)
{
	if (refcount_dec_not_one(count))
		return 0;
	rt_sleeping_lock(lock, RT_WRITE, "mutex_lock", FRAME);
	if (last_dropped(count))
		return 1;
	rt_unlock(lock, RT_WRITE, FRAME);
	return 0;
}
extern void _raw_spin_lock(void *p);
extern void _raw_spin_unlock(void *p);
_Bool refcount_dec_and_lock(int *count, void *lock)
{
	if (refcount_dec_not_one(count))
		return 0;
	_raw_spin_lock(lock);
	if (last_dropped(count))
		return 1;
	_raw_spin_unlock(lock);
	return 0;
}

/* ---- lists without locks: one actor at a time runs ---- */

struct node {
	struct node *next;
};

/* Return whether the list was empty. */
_Bool llist_add_batch(struct node *first, struct node *last, struct node **head)
{
	struct node *was = *head;

	last->next = was;
	*head = first;
	return !was;
}
struct node *llist_del_first(struct node **head)
{
	struct node *first = *head;

	if (first)
		*head = first->next;
	return first;
}
struct node *llist_reverse_order(struct node *head)
{
	struct node *reversed = 0, *next;

	for (; head; head = next) {
		next = head->next;
		head->next = reversed;
		reversed = head;
	}
	return reversed;
}
