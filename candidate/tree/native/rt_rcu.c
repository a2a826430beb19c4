// SPDX-License-Identifier: GPL-2.0-only
/* RCU: pending callbacks run in order, when all readers that began before have left. */
#include "rt.h"

int rt_rcu_depth;
static int rcu_running;
static int rcu_inside;			/* sum of rt_rcu_depth over all actors */
static int rcu_readers[SHIM_MAX_ACTORS + 1];	/* rt_rcu_depth by actor; element 0 is used if there is only one */
/* Pending callbacks have the numbers from rcu_done to nrcu, end excluded. Numbers increase throughout the program. */
#define RCU_QUEUE	(1u << 14)
static struct { void (*f)(void *); void *head; } *rcuq;
static unsigned int nrcu, rcu_done;
#define RCUQ(i) rcuq[(i) % RCU_QUEUE]
static unsigned int rcu_points;		/* number of points so far at which the grace period could have ended */

static void grace_period(void **frame)
{
	rcu_running = 1;
	rcu_points = 0;
	for (unsigned int end = nrcu; rcu_done != end; rcu_done++) {
		rt_emit(EV_RCU_RUN, rcu_done, 0, 0, 0, frame);
		RCUQ(rcu_done).f(RCUQ(rcu_done).head);
		rt_emit(EV_RCU_RUN, rcu_done, 1, 0, 0, frame);
	}
	rcu_running = 0;
}

/* Return whether callbacks are pending and no reader keeps them from running. */
static int callbacks_due(void) { return !rcu_inside && !rcu_running && rcu_done != nrcu; }

/*
 * A grace period can end here. It does at the point that the program specifies, or when the call is over if it specifies none;
 * last: the VM is released.
 */
static void grace_could_end(int over, int last, void **frame)
{
	unsigned int at = shim_control->grace_at;

	if (!callbacks_due())
		return;
	if (last || (at ? ++rcu_points >= at : over))
		grace_period(frame);
}

void __rcu_read_lock(void)
{
	RT_LOADED();
	rcu_inside++;
	rcu_readers[rt_actor + 1]++;
	rt_emit(EV_RCU_LOCK, ++rt_rcu_depth, 0, 0, 0, FRAME);
}
void __rcu_read_unlock(void)
{
	RT_LOADED();
	rt_emit(EV_RCU_UNLOCK, rt_rcu_depth - 1, 0, 0, 0, FRAME);
	if (rt_rcu_depth) {
		rt_rcu_depth--;
		rcu_inside--;
		rcu_readers[rt_actor + 1]--;
	}
	grace_could_end(0, 0, FRAME);
}

int shim_reads_under_rcu(void) { return rt_rcu_depth > 0; }

void call_rcu(void *head, void (*f)(void *))
{
	int in_page = (unsigned long)head - SHIM_VMEMMAP < rt_vmemmap_size;

	if (nrcu - rcu_done == RCU_QUEUE)
		shim_refuse("more RCU callbacks than the queue holds");
	RCUQ(nrcu).f = f;
	RCUQ(nrcu).head = head;
	rt_emit(EV_RCU_CALL, nrcu++, in_page ? rt_index(rt_va_of(head)) : -1, 0, 0, FRAME);
}

static void nothing(void *head) { }
/* This also waits for readers that started later. Callbacks that call_rcu() has queued before run first, which is allowed. */
void synchronize_rcu(void)
{
	rt_may_sleep("synchronize_rcu", FRAME);
	call_rcu(0, nothing);
	for (int i = 0; rt_actor >= 0 && i < SHIM_MAX_ACTORS; i++)
		while (i != rt_actor && rcu_readers[i + 1])
			rt_wait(LOCK_OTHER, -1, i);
	grace_period(FRAME);
}
ALIAS(synchronize_rcu_expedited, synchronize_rcu)
ALIAS(rcu_barrier, synchronize_rcu)
ALIAS(kvfree_rcu_barrier, synchronize_rcu)

/* ---- grace periods that code does not wait for: a cookie is the number of callbacks at its time ---- */

unsigned long get_state_synchronize_rcu(void) { return nrcu; }
unsigned long start_poll_synchronize_rcu(void)
{
	call_rcu(0, nothing);
	return nrcu;
}
/* A grace period is over as soon as nobody is inside a reader. */
_Bool poll_state_synchronize_rcu(unsigned long cookie)
{
	if (rcu_done < cookie && callbacks_due())
		grace_period(FRAME);
	return rcu_done >= cookie && !rcu_inside;
}
void cond_synchronize_rcu(unsigned long cookie)
{
	if (rcu_done < cookie)
		synchronize_rcu();
	else
		rt_may_sleep("cond_synchronize_rcu", FRAME);
}

/* kfree_rcu() and its like: older trees pass the offset of the head in the object. Without a head, the caller may sleep. */
#define MAX_HEAD_OFFSET	4096
void kvfree_call_rcu(void *head, void *p)
{
	if (!head)
		rt_may_sleep("kvfree_call_rcu", FRAME);
	else if ((unsigned long)p < MAX_HEAD_OFFSET)
		p = (char *)head - (unsigned long)p;
	rt_told_free(p, FRAME);
	call_rcu(p, rt_free_later);
}

/* An actor sleeps: what waits for the end of its call may run, and wake it. Return whether anything ran. */
int shim_run_pending(void)
{
	if (callbacks_due()) {
		grace_period(FRAME);
		return 1;
	}
	return shim_run_work();
}

void rt_own_rcu(void)
{
	/* Entries that are not pending do not matter, so the queue need not be restored after a program. */
	rcuq = rt_keep(RCU_QUEUE * sizeof(*rcuq));
	rt_own(&rt_rcu_depth, sizeof(rt_rcu_depth));
}

void shim_call_over(int last)
{
	grace_could_end(1, last, FRAME);
	shim_allow_works();
	do {
		/* Callbacks that were queued by callbacks have no readers to wait for either. */
		while ((last || !shim_control->grace_at) && callbacks_due())
			grace_period(FRAME);
	} while (shim_run_work());
}
