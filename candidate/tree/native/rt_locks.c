// SPDX-License-Identifier: GPL-2.0-only
/* Locks: who holds them, and waiting for them. rt_lock_calls.c has the functions of Linux that use them. */
#include "rt.h"

/* Maximum number of locks that are remembered. Memory is never reused, so each new object with a lock has an entry of its own. */
#define MAX_LOCKS	256

static struct lock {
	const void *p;
	int readers, writer, kind, vm;
	unsigned int taken;	/* the chain of the place that took it, for a lock without a kind */
	/* By actor; element 0 is used if there is only one. */
	unsigned char reads[SHIM_MAX_ACTORS + 1], writes[SHIM_MAX_ACTORS + 1];
} locks[MAX_LOCKS];
static int nlocks;

/* An entry for a lock that is not known yet. If all are in use, a lock that nobody holds is forgotten. */
static struct lock *new_lock(void)
{
	static unsigned int next;

	if (nlocks < MAX_LOCKS)
		return &locks[nlocks++];
	for (int i = 0; i < MAX_LOCKS; i++) {
		struct lock *l = &locks[next++ % MAX_LOCKS];

		if (!l->readers && !l->writer)
			return l;
	}
	shim_refuse("more locks held than are remembered");
}

/* The entry of a lock. It is valid until another actor runs, or longer if the lock is held. */
static struct lock *lock_at(const void *p)
{
	struct lock *l;

	for (int i = 0; i < nlocks; i++)
		if (locks[i].p == p) {
			if (!locks[i].readers && !locks[i].writer)
				locks[i].kind = shim_lock_kind_of(p, &locks[i].vm);
			return &locks[i];
		}
	l = new_lock();
	*l = (struct lock){ .p = p, .vm = -1 };
	l->kind = shim_lock_kind_of(p, &l->vm);
	return l;
}

/* The actor that keeps this one from taking a lock; -1: none. */
static int holder_of(const struct lock *l, int write)
{
	for (int i = 0; i < SHIM_MAX_ACTORS; i++)
		if (i != rt_actor && (l->writes[i + 1] || (write && l->reads[i + 1])))
			return i;
	return -1;
}

/* Another actor that holds any lock of a kind; -1: none. A writer of the address space waits for readers of every VMA. */
static int other_holds(int kind)
{
	int holder;

	for (int i = 0; i < nlocks; i++)
		if (locks[i].kind == kind && (holder = holder_of(&locks[i], kind == LOCK_VMA)) >= 0)
			return holder;
	return -1;
}

/* A lock of a kind that this actor holds; 0: none. */
static struct lock *held(int kind)
{
	for (int i = 0; i < nlocks; i++)
		if (locks[i].kind == kind && (locks[i].reads[rt_actor + 1] || locks[i].writes[rt_actor + 1]))
			return &locks[i];
	return 0;
}

/* The VM whose mmu lock this actor holds; -1: none. */
static int locked_vm(void)
{
	const struct lock *l = held(LOCK_MMU);

	return l ? l->vm : -1;
}

int rt_holds_mmu_lock(void) { return held(LOCK_MMU) != 0; }

/* The flags of asm-generic/irqflags.h: 1: interrupts are on; 0: off. */
unsigned long shim_irqs_on = 1;
/* The number of locks without a kind that this actor holds, and that nobody may sleep with. */
static int spinning;

void rt_must_be_able_to_sleep(const char *function, void **frame)
{
	enum shim_atomic why;

	if (spinning)
		why = ATOMIC_LOCK;
	else if (!shim_irqs_on)
		why = ATOMIC_IRQS;
	else if (shim_preempt_count() && locked_vm() < 0)
		why = ATOMIC_PREEMPTION;
	else
		return;
	rt_emit(EV_SLEEP, why, 0, 0, function, frame);
}

void rt_may_sleep(const char *function, void **frame)
{
	if (shim_must_not_block || rt_rcu_depth || locked_vm() >= 0)
		rt_emit(EV_SLEEP, ATOMIC_KNOWN, 0, 0, function, frame);
	else
		rt_must_be_able_to_sleep(function, frame);
}

/* A lock with which nobody may sleep was taken (by: 1) or dropped (by: -1): preemption is off meanwhile. */
static void count_spinning(const struct lock *l, int by)
{
	shim_preempt_add(by);
	spinning += l->kind == LOCK_OTHER ? by : 0;
}

/* Take a lock that no other actor holds. */
static void take(struct lock *l, enum rt_mode mode, void **frame)
{
	const int write = mode & RT_WRITE;

	/* An actor that takes a lock twice would wait forever. The driver reports that, and the code continues. */
	if (l->kind == LOCK_OTHER && rt_recording) {
		if (l->writes[rt_actor + 1] || (write && l->reads[rt_actor + 1]))
			rt_emit(EV_OTHER_LOCK, WRONG_TWICE, l->taken, 0, 0, frame);
		l->taken = shim_following ? 0 : shim_chain_of(0, frame);
	}
	if (write) {
		l->writer++;
		l->writes[rt_actor + 1]++;
	} else {
		l->readers++;
		l->reads[rt_actor + 1]++;
	}
	if (mode & RT_SPINS)
		count_spinning(l, 1);
	rt_emit_visited(EV_LOCK, l->kind, l->vm, write, frame);
	if (rt_actor >= 0 && l->kind == LOCK_MMU)
		rt_passed(POINT_LOCK);
}

/* The entry of a lock that kernel code takes or drops. At the mmu lock, other actors may run first. */
static struct lock *reached(const void *p, enum shim_point point)
{
	struct lock *l;

	RT_LOADED();
	l = lock_at(p);
	if (rt_actor >= 0 && l->kind == LOCK_MMU) {
		rt_reached(point);
		l = lock_at(p);
	}
	return l;
}

void rt_lock(const void *p, enum rt_mode mode, void **frame)
{
	struct lock *l = reached(p, POINT_LOCK);
	const int write = mode & RT_WRITE;

	if (rt_actor >= 0) {
		int holder;

		while ((holder = holder_of(l, write)) >= 0) {
			rt_wait(l->kind, l->vm, holder);
			l = lock_at(p);
		}
		while (write && l->kind == LOCK_MMAP && (holder = other_holds(LOCK_VMA)) >= 0) {
			rt_wait(LOCK_VMA, -1, holder);
			l = lock_at(p);
		}
	}
	take(l, mode, frame);
}

/* Take a lock if it is free; return whether it was. */
int rt_try_lock(const void *p, enum rt_mode mode, void **frame)
{
	struct lock *l = reached(p, POINT_LOCK);
	const int write = mode & RT_WRITE;

	if (l->writes[rt_actor + 1] || (write && l->reads[rt_actor + 1]))
		return 0;
	if (rt_actor >= 0 && (holder_of(l, write) >= 0 || (write && l->kind == LOCK_MMAP && other_holds(LOCK_VMA) >= 0)))
		return 0;
	take(l, mode, frame);
	return 1;
}

/* The mmu lock was dropped, and no offer to reschedule was recorded since. */
static int dropped;

void rt_unlock(const void *p, enum rt_mode mode, void **frame)
{
	struct lock *l = reached(p, POINT_UNLOCK);
	const int kind = l->kind, write = mode & RT_WRITE;
	const int mine = (write ? l->writes : l->reads)[rt_actor + 1];

	if (kind == LOCK_MMU)
		dropped = 1;
	if (mode & RT_SPINS && mine)
		count_spinning(l, -1);
	if (kind == LOCK_OTHER && rt_recording && !mine)
		rt_emit(EV_OTHER_LOCK, WRONG_FREE, 0, 0, 0, frame);
	if (write && l->writer) {
		l->writer--;
		l->writes[rt_actor + 1] -= l->writes[rt_actor + 1] > 0;
	} else if (!write && l->readers) {
		l->readers--;
		l->reads[rt_actor + 1] -= l->reads[rt_actor + 1] > 0;
	}
	if (kind == LOCK_MMAP && !l->reads[rt_actor + 1] && !l->writes[rt_actor + 1])
		rt_mmap_dropped();
	if (kind == LOCK_VMA && !l->reads[rt_actor + 1])
		rt_vma_dropped(p, held(LOCK_MMAP) != 0);
	rt_emit_visited(EV_UNLOCK, kind, l->vm, write, frame);
	if (rt_actor >= 0 && kind == LOCK_MMU)
		rt_passed(POINT_UNLOCK);
}

/* Take a lock for which the caller may sleep. */
void rt_sleeping_lock(const void *p, enum rt_mode mode, const char *function, void **frame)
{
	int vm;

	/* The driver checks the mmap lock itself, except in contexts that it does not know. */
	if (shim_lock_kind_of(p, &vm) != LOCK_MMAP)
		rt_may_sleep(function, frame);
	else
		rt_must_be_able_to_sleep(function, frame);
	rt_lock(p, mode, frame);
}

/* The holder for writing becomes one for reading; no other actor gets the lock for writing in between. */
void rt_downgrade(const void *p, void **frame)
{
	rt_unlock(p, RT_WRITE, frame);
	rt_lock(p, RT_READ, frame);
}

/*
 * The lock of one VMA, which is never waited for. A writer of the address space counts as its holder, as the VMAs that the
 * writer has locked are not known.
 */
int shim_vma_start_read(void *p)
{
	if (rt_actor >= 0 && other_holds(LOCK_MMAP) >= 0)
		return 0;
	rt_lock(p, RT_READ, FRAME);
	return 1;
}
void shim_vma_end_read(void *p) { rt_unlock(p, RT_READ, FRAME); }

/* Wait for all readers of an SRCU domain. */
void rt_wait_for_srcu(const void *p)
{
	int holder;

	while (rt_actor >= 0 && (holder = holder_of(lock_at(p), 1)) >= 0)
		rt_wait(LOCK_SRCU, lock_at(p)->vm, holder);
}

/* The host's own code takes or releases a lock for reading on behalf of an actor, without a record. */
void rt_read_beside(const void *p, int take)
{
	struct lock *l;
	int holder;

	if (rt_actor < 0)
		return;
	while (take && (holder = holder_of(lock_at(p), 0)) >= 0)
		rt_wait(lock_at(p)->kind, lock_at(p)->vm, holder);
	l = lock_at(p);
	l->readers += take ? 1 : -1;
	l->reads[rt_actor + 1] += take ? 1 : -1;
}

int shim_lock_taken(const volatile void *p)
{
	struct lock *l;

	RT_LOADED();
	l = lock_at((const void *)p);
	return l->readers || l->writer;
}

int shim_lock_held(const volatile void *p)
{
	struct lock *l = lock_at((const void *)p);

	return l->writes[rt_actor + 1] ? 2 : !!l->reads[rt_actor + 1];
}

void shim_forget_locks(void)
{
	for (int i = 0; i < nlocks; i++) {
		locks[i].readers = locks[i].writer = 0;
		memset(locks[i].reads, 0, sizeof(locks[i].reads));
		memset(locks[i].writes, 0, sizeof(locks[i].writes));
	}
}

/* Nesting depth of calls in progress, by actor. */
static int calls[SHIM_MAX_ACTORS + 1];

void shim_call_begins(void)
{
	if (!calls[rt_actor + 1]++)
		rt_new_samples();
	rt_progress++;
}
void shim_call_ends(void)
{
	const int me = rt_actor + 1;

	if (--calls[me])
		return;
	for (int i = 0; i < nlocks; i++)
		if (locks[i].kind == LOCK_OTHER && (locks[i].reads[me] || locks[i].writes[me]))
			rt_emit(EV_OTHER_LOCK, WRONG_HELD, locks[i].taken, 0, 0, FRAME);
	/* Preemption that is still off is reported; with a lock that is still held, the lock is. */
	if (!spinning)
		rt_must_be_able_to_sleep("return to the caller", FRAME);
	shim_preempt_add(-shim_preempt_count());
	spinning = 0;
}

int shim_this_actor(void) { return rt_actor; }
/* Wait for something that another actor does. */
void shim_wait_for(int actor) { rt_wait(LOCK_OTHER, -1, actor); }
/* Return whether another task waits: the program specifies at which questions. */
static unsigned int questions;
static int waits(void)
{
	unsigned int n = ++questions, every = shim_control->host.resched_every;

	return n == shim_control->host.contended_at || (every && n % every == 0);
}

/*
 * Kernel code asks, and drops the lock itself. A point at which another task may run is recorded while the lock is held, and
 * once after it was dropped: freeing the tables of a VM has many more such points, which carry no information.
 */
int shim_asked(enum shim_question what, const volatile void *lock)
{
	int vm = locked_vm(), answer;

	if (what == ASK_RUN) {
		rt_must_be_able_to_sleep("cond_resched", FRAME);
		if (vm >= 0 || dropped || shim_must_not_block)
			rt_emit_visited(EV_RESCHED, vm, what, 0, FRAME);
		dropped = 0;
		rt_poll(FRAME);
		return 0;
	}
	answer = waits();
	rt_emit_visited(EV_RESCHED, vm, what, answer, FRAME);
	return answer;
}

/* Drop the lock and take it again if another task waits. */
static int resched(void *p, enum rt_mode mode, void **frame)
{
	int vm = -1;

	shim_lock_kind_of(p, &vm);
	rt_emit_visited(EV_RESCHED, vm, ASK_OFFER, 0, frame);
	if (!waits())
		return 0;
	rt_unlock(p, mode, frame);
	rt_lock(p, mode, frame);
	return 1;
}
int __cond_resched_rwlock_write(void *p) { return resched(p, RT_WRITE | RT_SPINS, FRAME); }
int __cond_resched_rwlock_read(void *p) { return resched(p, RT_READ | RT_SPINS, FRAME); }
int __cond_resched_lock(void *p) { return resched(p, RT_WRITE | RT_SPINS, FRAME); }

void rt_own_locks(void)
{
	rt_own(&dropped, sizeof(dropped));
	rt_own(&spinning, sizeof(spinning));
	rt_own(&shim_irqs_on, sizeof(shim_irqs_on));
}
