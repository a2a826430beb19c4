// SPDX-License-Identifier: GPL-2.0-only
/*
 * Waiting for an event: wait queues, simple ones too, completions, bits of words, the lock of a page. schedule() of glue_life.h
 * ends when another actor wakes the sleeping one, or when works and callbacks do that have waited for the end of its call.
 */
#include "probe.h"
#include "glue.h"
/* Trees declare these with different types. */
#define __wake_up		__tree_wake_up
#define wake_up_bit		tree_wake_up_bit
#define prepare_to_wait_exclusive tree_prepare_to_wait_exclusive
#define out_of_line_wait_on_bit	tree_out_of_line_wait_on_bit
#define out_of_line_wait_on_bit_lock tree_out_of_line_wait_on_bit_lock
#include <linux/wait.h>
#include <linux/wait_bit.h>
#undef __wake_up
#undef wake_up_bit
#undef prepare_to_wait_exclusive
#undef out_of_line_wait_on_bit
#undef out_of_line_wait_on_bit_lock
int __wake_up(struct wait_queue_head *queue, unsigned int mode, int nr, void *key);
void wake_up_bit(void *word, int bit);
int out_of_line_wait_on_bit(void *word, int bit, wait_bit_action_f *action, unsigned int mode);
int out_of_line_wait_on_bit_lock(void *word, int bit, wait_bit_action_f *action, unsigned int mode);
struct folio;
#include <linux/completion.h>
#include <linux/pagemap.h>
#include <linux/sched.h>
#include <linux/swait.h>

/* ---- wait queues; one actor at a time runs, so their own locks are not taken ---- */

void __init_waitqueue_head(struct wait_queue_head *queue, const char *name, struct lock_class_key *key)
{
	spin_lock_init(&queue->lock);
	INIT_LIST_HEAD(&queue->head);
}

int default_wake_function(struct wait_queue_entry *e, unsigned int mode, int flags, void *key)
{
	return wake_up_process(e->private);
}

int autoremove_wake_function(struct wait_queue_entry *e, unsigned int mode, int flags, void *key)
{
	int woken = default_wake_function(e, mode, flags, key);

	if (woken)
		list_del_init(&e->entry);
	return woken;
}

void init_wait_entry(struct wait_queue_entry *e, int flags)
{
	e->flags = flags;
	e->private = current;
	e->func = autoremove_wake_function;
	INIT_LIST_HEAD(&e->entry);
}

/* Waiters that are woken one at a time are last. */
static void enqueue(struct wait_queue_head *queue, struct wait_queue_entry *e)
{
	if (e->flags & WQ_FLAG_EXCLUSIVE)
		list_add_tail(&e->entry, &queue->head);
	else
		list_add(&e->entry, &queue->head);
}

void add_wait_queue(struct wait_queue_head *queue, struct wait_queue_entry *e)
{
	e->flags &= ~WQ_FLAG_EXCLUSIVE;
	enqueue(queue, e);
}

void add_wait_queue_exclusive(struct wait_queue_head *queue, struct wait_queue_entry *e)
{
	e->flags |= WQ_FLAG_EXCLUSIVE;
	enqueue(queue, e);
}

void remove_wait_queue(struct wait_queue_head *queue, struct wait_queue_entry *e) { list_del(&e->entry); }

/* No actor gets a signal. */
long prepare_to_wait_event(struct wait_queue_head *queue, struct wait_queue_entry *e, int state)
{
	if (list_empty(&e->entry))
		enqueue(queue, e);
	set_current_state(state);
	return 0;
}

void prepare_to_wait(struct wait_queue_head *queue, struct wait_queue_entry *e, int state)
{
	e->flags &= ~WQ_FLAG_EXCLUSIVE;
	prepare_to_wait_event(queue, e, state);
}

/* Return whether the queue was empty. */
bool prepare_to_wait_exclusive(struct wait_queue_head *queue, struct wait_queue_entry *e, int state)
{
	bool first = list_empty(&queue->head);

	e->flags |= WQ_FLAG_EXCLUSIVE;
	prepare_to_wait_event(queue, e, state);
	return first;
}

void finish_wait(struct wait_queue_head *queue, struct wait_queue_entry *e)
{
	__set_current_state(TASK_RUNNING);
	if (!list_empty(&e->entry))
		list_del_init(&e->entry);
}

/* Wake all that do not wait alone, and nr of the others; 0: all. */
int __wake_up(struct wait_queue_head *queue, unsigned int mode, int nr, void *key)
{
	struct wait_queue_entry *e, *next;
	int left = nr;

	list_for_each_entry_safe(e, next, &queue->head, entry) {
		unsigned int flags = e->flags;

		if (e->func(e, mode, 0, key) && flags & WQ_FLAG_EXCLUSIVE && !--left)
			break;
	}
	return nr - left;
}

/* ---- simple wait queues ---- */

void __init_swait_queue_head(struct swait_queue_head *queue, const char *name, struct lock_class_key *key)
{
	raw_spin_lock_init(&queue->lock);
	INIT_LIST_HEAD(&queue->task_list);
}

long prepare_to_swait_event(struct swait_queue_head *queue, struct swait_queue *wait, int state)
{
	wait->task = current;
	if (list_empty(&wait->task_list))
		list_add_tail(&wait->task_list, &queue->task_list);
	set_current_state(state);
	return 0;
}

void prepare_to_swait_exclusive(struct swait_queue_head *queue, struct swait_queue *wait, int state)
{
	prepare_to_swait_event(queue, wait, state);
}

void finish_swait(struct swait_queue_head *queue, struct swait_queue *wait)
{
	__set_current_state(TASK_RUNNING);
	if (!list_empty(&wait->task_list))
		list_del_init(&wait->task_list);
}

void swake_up_one(struct swait_queue_head *queue)
{
	struct swait_queue *first = list_first_entry_or_null(&queue->task_list, struct swait_queue, task_list);

	if (!first)
		return;
	wake_up_process(first->task);
	list_del_init(&first->task_list);
}

void swake_up_all(struct swait_queue_head *queue)
{
	while (!list_empty(&queue->task_list))
		swake_up_one(queue);
}

/* ---- completions ---- */

void complete(struct completion *x)
{
	if (x->done != UINT_MAX)
		x->done++;
	swake_up_one(&x->wait);
}

void complete_all(struct completion *x)
{
	x->done = UINT_MAX;
	swake_up_all(&x->wait);
}

bool completion_done(struct completion *x) { return x->done; }

bool try_wait_for_completion(struct completion *x)
{
	if (!x->done)
		return false;
	if (x->done != UINT_MAX)
		x->done--;
	return true;
}

/* Wait for at most a number of jiffies; return how many are left, at least 1, or 0 if the time is over. */
static long wait_for(struct completion *x, long left)
{
	DECLARE_SWAITQUEUE(wait);

	shim_might_sleep("wait_for_completion");
	while (!x->done && left) {
		prepare_to_swait_event(&x->wait, &wait, TASK_UNINTERRUPTIBLE);
		left = schedule_timeout(left);
	}
	finish_swait(&x->wait, &wait);
	return try_wait_for_completion(x) ? max(left, 1L) : 0;
}

void wait_for_completion(struct completion *x) { wait_for(x, MAX_SCHEDULE_TIMEOUT); }
int wait_for_completion_interruptible(struct completion *x) { wait_for(x, MAX_SCHEDULE_TIMEOUT); return 0; }
int wait_for_completion_killable(struct completion *x) { wait_for(x, MAX_SCHEDULE_TIMEOUT); return 0; }
unsigned long wait_for_completion_timeout(struct completion *x, unsigned long timeout) { return wait_for(x, timeout); }
long wait_for_completion_interruptible_timeout(struct completion *x, unsigned long timeout) { return wait_for(x, timeout); }
long wait_for_completion_killable_timeout(struct completion *x, unsigned long timeout) { return wait_for(x, timeout); }

/* ---- variables and bits: one queue for all ---- */

static DECLARE_WAIT_QUEUE_HEAD(variables);

struct wait_queue_head *__var_waitqueue(void *variable) { return &variables; }

void init_wait_var_entry(struct wait_bit_queue_entry *e, void *variable, int flags) { init_wait_entry(&e->wq_entry, flags); }

void wake_up_var(void *variable) { __wake_up(&variables, TASK_NORMAL, 0, NULL); }

void wake_up_bit(void *word, int bit) { __wake_up(&variables, TASK_NORMAL, 0, NULL); }

int bit_wait(struct wait_bit_key *key, int mode) { schedule(); return 0; }

int out_of_line_wait_on_bit(void *word, int bit, wait_bit_action_f *action, unsigned int mode)
{
	wait_event(variables, !test_bit(bit, (unsigned long *)word));
	return 0;
}

int out_of_line_wait_on_bit_lock(void *word, int bit, wait_bit_action_f *action, unsigned int mode)
{
	wait_event(variables, !test_and_set_bit(bit, (unsigned long *)word));
	return 0;
}

/* ---- the lock of a page, which is that of its folio ---- */

static unsigned long *flags_of(struct page *page) { return (unsigned long *)&compound_head(page)->flags; }

void unlock_page(struct page *page)
{
	clear_bit(PG_locked, flags_of(page));
	wake_up_var(page);
}
void folio_unlock(struct folio *folio) { unlock_page((struct page *)folio); }

void __lock_page(struct page *page)
{
	wait_event(variables, !test_and_set_bit(PG_locked, flags_of(page)));
}
void __folio_lock(struct folio *folio) { __lock_page((struct page *)folio); }
