/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Models of functions of Linux that need its types: works and workqueues, rate limits, caches of objects;
 * included by glue.c after glue_tables.h.
 */
#include <linux/ratelimit.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

/* ---- works: one thread, which is not an actor, runs those of all queues, in order, when a call of kernel code is over ---- */

#define MAX_WORKS	256

static struct queued {
	struct work_struct *work;
	const void *queue;
	bool later;		/* another work has queued it: it waits for the end of the next call */
} queued[MAX_WORKS];
static unsigned int nqueued;
/* The work that runs, and the actor whose call has ended. */
static struct work_struct *running;
static int runner;

static void remove_work(unsigned int at)
{
	clear_bit(WORK_STRUCT_PENDING_BIT, work_data_bits(queued[at].work));
	nqueued--;
	for (; at < nqueued; at++)
		queued[at] = queued[at + 1];
}

static void run_queued(unsigned int at)
{
	struct work_struct *before = running, *work = queued[at].work;
	int by = runner;

	remove_work(at);
	running = work;
	runner = shim_this_actor();
	work->func(work);
	running = before;
	runner = by;
}

/* A call is over: the works that works of earlier calls have queued may run. */
void shim_allow_works(void)
{
	unsigned int i;

	for (i = 0; i < nqueued; i++)
		queued[i].later = false;
}

/* Run the first work that may run; return whether there was one. */
int shim_run_work(void)
{
	unsigned int i;

	for (i = 0; i < nqueued && !running; i++)
		if (!queued[i].later) {
			run_queued(i);
			return 1;
		}
	return 0;
}

/* The place of a work in the queue, or nqueued. */
static unsigned int place_of(const struct work_struct *work)
{
	unsigned int i;

	for (i = 0; i < nqueued && queued[i].work != work; i++)
		;
	return i;
}

static bool waited_for(const struct work_struct *work)
{
	bool ran = false;

	while (running == work && runner != shim_this_actor()) {
		shim_wait_for(runner);
		ran = true;
	}
	return ran;
}

bool queue_work_on(int cpu, struct workqueue_struct *queue, struct work_struct *work)
{
	if (test_and_set_bit(WORK_STRUCT_PENDING_BIT, work_data_bits(work)))
		return false;
	if (nqueued == MAX_WORKS)
		shim_refuse("more works than the queue holds");
	queued[nqueued++] = (struct queued){ work, queue, running && runner == shim_this_actor() };
	return true;
}

bool flush_work(struct work_struct *work)
{
	bool ran = waited_for(work);
	unsigned int at = place_of(work);

	if (at == nqueued)
		return ran;
	run_queued(at);
	return true;
}

bool cancel_work(struct work_struct *work)
{
	unsigned int at = place_of(work);

	if (at == nqueued)
		return false;
	remove_work(at);
	return true;
}

bool cancel_work_sync(struct work_struct *work)
{
	bool was = cancel_work(work);

	waited_for(work);
	return was;
}

#ifdef flush_workqueue
void __flush_workqueue(struct workqueue_struct *queue)
#else
void flush_workqueue(struct workqueue_struct *queue)
#endif
{
	unsigned int i;

	for (i = 0; i < nqueued; i++)
		if (queued[i].queue == queue) {
			run_queued(i);
			i = -1;
		}
}

#ifdef alloc_workqueue
struct workqueue_struct *alloc_workqueue_noprof(const char *name, unsigned int flags, int active, ...)
#else
struct workqueue_struct *alloc_workqueue(const char *name, unsigned int flags, int active, ...)
#endif
{
	return shim_zalloc(sizeof(long));
}

void destroy_workqueue(struct workqueue_struct *queue)
{
	flush_workqueue(queue);
	shim_free(queue);
}

/* A delay may pass at once. */
bool queue_delayed_work_on(int cpu, struct workqueue_struct *queue, struct delayed_work *work, unsigned long delay)
{
	return queue_work_on(cpu, queue, &work->work);
}

bool mod_delayed_work_on(int cpu, struct workqueue_struct *queue, struct delayed_work *work, unsigned long delay)
{
	return !queue_work_on(cpu, queue, &work->work);
}

bool flush_delayed_work(struct delayed_work *work) { return flush_work(&work->work); }
bool cancel_delayed_work(struct delayed_work *work) { return cancel_work(&work->work); }
bool cancel_delayed_work_sync(struct delayed_work *work) { return cancel_work_sync(&work->work); }

/* ---- the rest ---- */

/* Return whether the caller may print now: at most *burst* times in an interval. */
int ___ratelimit(struct ratelimit_state *limit, const char *function)
{
	static struct { const void *limit; int left; } limits[64];
	unsigned int i;

	if (limit->interval <= 0 || limit->burst <= 0)
		return !limit->interval || limit->burst > 0;
	for (i = 0; i < ARRAY_SIZE(limits) && limits[i].limit && limits[i].limit != limit; i++)
		;
	if (i == ARRAY_SIZE(limits))
		shim_refuse("more rate limits than are remembered");
	if (!limits[i].limit || time_is_before_jiffies(limit->begin + limit->interval)) {
		limits[i].limit = limit;
		limits[i].left = limit->burst;
		limit->begin = jiffies;
	}
	return limits[i].left-- > 0;
}

#ifdef HAVE_CACHE_ARGS
struct kmem_cache *__kmem_cache_create_args(const char *name, unsigned int size, struct kmem_cache_args *args,
					    slab_flags_t flags)
{
	return shim_new_cache(size, args->ctor);
}
#endif
