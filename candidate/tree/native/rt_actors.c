// SPDX-License-Identifier: GPL-2.0-only
/*
 * Actors: each has a C stack. An actor runs until it reaches an anchor of its schedule, waits for a lock that another actor
 * holds, polls, or returns from its call. If the next actor has a call in progress, it continues at once, and a record notifies
 * the driver; otherwise the driver decides who continues. Nothing else ever runs, so a program has exactly one interleaving.
 */
#include "rt.h"
#include <time.h>

#define STACK_BYTES	(256UL << 10)
#define GUARD_BYTES	4096UL
/* Unused space above all stacks (ON_STACK in rt_plain.c). */
#define NOTHING_BYTES	(64UL << 10)
/* Zeroes at the top of a stack, which end a chain of frames. */
#define TOP_BYTES	64UL
#define MAX_OWN		24

/* IDLE: no call in progress; INSIDE: running a call; LEFT: switched away from its stack in the middle of a call. */
enum state { IDLE, INSIDE, LEFT };

static struct actor {
	void *sp;
	enum state state;
	unsigned int status;		/* why it does not run */
	struct shim_request request;
	shim_u64 info[8];
	long long ret;
	unsigned int nanchor, count[POINT_NR];
	struct shim_anchor anchors[SHIM_MAX_ANCHORS];
	shim_u64 own[MAX_OWN];
} actors[SHIM_MAX_ACTORS];
static shim_u64 outside[MAX_OWN];
static struct { void *at; unsigned int bytes; } owned[MAX_OWN];
static int nowned;
static char *stacks;
static unsigned int used;		/* bit mask of the stacks that this program has used */
static void *main_sp;
static int last;			/* the actor that the answer to the driver is about */
int rt_actor = -1;
unsigned int rt_turn_began;

/* Register a variable of which each actor has a value of its own; an actor starts with the current value. */
void rt_own(void *at, unsigned int bytes)
{
	if (nowned == MAX_OWN || (bytes != sizeof(shim_u64) && bytes != sizeof(unsigned int)))
		rt_cannot_start("no room for a per-actor variable");
	owned[nowned].at = at;
	owned[nowned++].bytes = bytes;
}

/* All registered variables have 4 or 8 bytes. */
static void swap_own(shim_u64 *keep, const shim_u64 *take)
{
	for (int i = 0; i < nowned; i++) {
		if (owned[i].bytes == sizeof(shim_u64)) {
			keep[i] = *(shim_u64 *)owned[i].at;
			if (take)
				*(shim_u64 *)owned[i].at = take[i];
		} else {
			keep[i] = *(unsigned int *)owned[i].at;
			if (take)
				*(unsigned int *)owned[i].at = (unsigned int)take[i];
		}
	}
}

static char *top_of(int i) { return stacks + (i + 1) * (STACK_BYTES + GUARD_BYTES); }

/* Before the snapshot: allocate the stacks, with an inaccessible page below each. */
void rt_make_stacks(void)
{
	stacks = rt_keep(SHIM_MAX_ACTORS * (STACK_BYTES + GUARD_BYTES) + NOTHING_BYTES);
	for (int i = 0; i < SHIM_MAX_ACTORS; i++)
		if (mprotect(top_of(i) - STACK_BYTES - GUARD_BYTES, GUARD_BYTES, PROT_NONE))
			rt_cannot_start("no guard pages below the stacks");
}

/* At the end of a program: restore the initial state of the stacks. */
void rt_forget_stacks(void)
{
	for (int i = 0; i < SHIM_MAX_ACTORS; i++)
		if (used >> i & 1)
			rt_give_back(top_of(i) - STACK_BYTES, STACK_BYTES);
}

/* Switch to the stack *to*, which was left here or laid out by rt_run_actor(); store the current one in *save*. */
void rt_swap_stacks(void **save, void *to) HIDDEN;
__asm__(".text\n.globl rt_swap_stacks\n.hidden rt_swap_stacks\nrt_swap_stacks:\n"
	" push %rbp\n push %rbx\n push %r12\n push %r13\n push %r14\n push %r15\n"
	" mov %rsp,(%rdi)\n mov %rsi,%rsp\n"
	" pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbx\n pop %rbp\n ret\n");

static long long began;			/* start of the turn change in progress, if it is timed */

static long long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void leave_stack(void **save, void *to)
{
	rt_swap_stacks(save, to);
	if (began) {
		shim_control->turn_time += now() - began;
		began = 0;
	}
}

static int woke;			/* the actor that runs has woken another one in its turn */
void shim_woken(void) { woke = 1; }

static void leave(unsigned int status)
{
	struct actor *a = &actors[rt_actor];

	rt_settle();
	woke = 0;
	a->status = status;
	if (a->state == INSIDE)
		a->state = LEFT;
	swap_own(a->own, outside);
	last = rt_actor;
	rt_actor = -1;
	leave_stack(&a->sp, main_sp);
}

static void entry(void)
{
	struct actor *a = &actors[rt_actor];

	shim_new_operation();
	shim_become(rt_actor);
	a->ret = shim_dispatch(a->request.op, a->request.args, a->info);
	RT_LOADED();
	a->state = IDLE;
	leave(S_DONE);
	__builtin_trap();
}

/*
 * Begin or resume the call of an actor on the actor's own stack. Returns the status of the actor that the answer is about, which
 * may be another one.
 */
unsigned int rt_run_actor(unsigned int i)
{
	struct actor *a = &actors[i];

	if (i >= SHIM_MAX_ACTORS)
		shim_refuse("more actors than are supported");
	swap_own(outside, a->state == LEFT ? a->own : 0);
	if (a->state == IDLE) {
		void **sp = (void **)(top_of(i) - TOP_BYTES);

		a->request = shim_control->request;
		memset(a->info, 0, sizeof(a->info));
		a->nanchor = shim_control->nanchor < SHIM_MAX_ANCHORS ? shim_control->nanchor : SHIM_MAX_ANCHORS;
		memcpy(a->anchors, shim_control->anchors, sizeof(a->anchors));
		memset(a->count, 0, sizeof(a->count));
		/* Lay out the stack as if entry() had been called: aligned, no return address, and six registers to pop. */
		*--sp = 0;
		*--sp = (void *)entry;
		for (int k = 0; k < 6; k++)
			*--sp = 0;
		a->sp = sp;
		used |= 1u << i;
		shim_stack_top = top_of(i);
	}
	a->state = INSIDE;
	rt_actor = (int)i;
	shim_read_last = 0;
	rt_turn_began = shim_control->nrec;
	rt_swap_stacks(&main_sp, a->sp);
	a = &actors[last];
	if (a->status == S_DONE) {
		shim_control->ret = a->ret;
		memcpy(shim_control->info, a->info, sizeof(a->info));
	}
	return a->status;
}

/* Whether turns are changed here, as the driver would: its state of the actors stays valid until one of them answers. */
static int direct(void)
{
	return shim_control->direct && shim_control->left.pages < 0 && shim_control->left.small < 0 &&
	       shim_control->left.topup < 0;
}

/* Continue with actor *i*, which has left its stack or is this one; *what* is that of EV_TURN. Returns at the next turn. */
static void go_to(unsigned int i, unsigned int why, shim_u64 what)
{
	struct actor *a = &actors[rt_actor], *b = &actors[i];
	void *nowhere[2] = { 0 };

	if (shim_control->direct == 2)
		began = now();
	woke = 0;
	rt_record(EV_TURN, i + 1, why, what, 0, nowhere);
	rt_turn_began = shim_control->nrec;
	if (a == b) {
		began = 0;
		return;
	}
	shim_control->turns++;
	a->state = LEFT;
	b->state = INSIDE;
	swap_own(a->own, b->own);
	rt_actor = (int)i;
	leave_stack(&a->sp, b->sp);
}

/* The actor is at an anchor. */
static void give_way(const struct shim_anchor *s)
{
	unsigned int to = s->to - 1;

	rt_settle();
	if (direct() && to < shim_control->nactor) {
		/* An actor that is done gets no turn. */
		if (shim_control->done >> to & 1) {
			go_to((unsigned int)rt_actor, S_SWITCHED, s->number);
			return;
		}
		if (actors[to].state == LEFT) {
			shim_control->waiting = 0;
			go_to(to, S_SWITCHED, s->number);
			return;
		}
	}
	shim_control->info[0] = s->number;
	leave(S_SWITCHED);
}

static void look(enum shim_point point, int after)
{
	struct actor *a = &actors[rt_actor];

	for (unsigned int i = 0; i < a->nanchor; i++) {
		struct shim_anchor *s = &a->anchors[i];

		if (s->point != point || s->after != (unsigned int)after || s->count != a->count[point])
			continue;
		s->point = POINT_NONE;
		give_way(s);
	}
}

/* Called before an action of the actor takes effect ... */
void rt_reached(enum shim_point point)
{
	RT_LOADED();
	actors[rt_actor].count[point]++;
	look(point, 0);
}
/* ... and after it. */
void rt_passed(enum shim_point point) { look(point, 1); }

/* An entry was loaded. Its current value is the loaded one, since no other actor has run since. */
void rt_loaded(const volatile void *p, void **frame)
{
	RT_LOADED();
	rt_emit(EV_READ, rt_entry(p), *(const volatile shim_u64 *)p, 0, 0, frame);
	actors[rt_actor].count[POINT_LOAD]++;
	look(POINT_LOAD, 1);
}

const volatile shim_u64 *rt_load_at;
int rt_load_due;
static unsigned int load_chain;		/* the chain of the load */

/* A plain load of an entry is about to happen. */
void rt_will_load(const volatile void *p, void **frame)
{
	rt_load_at = (const volatile shim_u64 *)((unsigned long)p & ~7UL);
	load_chain = shim_chain_of(0, frame);
}

/* The load has happened: record it. No other actor may run here, as the caller may be in the middle of an update. */
void rt_record_load(void)
{
	const volatile shim_u64 *p = rt_load_at;
	void *nowhere[2] = { 0 };

	rt_load_at = 0;
	rt_record(EV_READ, rt_entry(p), *p, 0, 0, nowhere);
	if (!shim_following)
		shim_records[shim_control->nrec - 1].chain = load_chain;
	actors[rt_actor].count[POINT_LOAD]++;
	rt_load_due = 1;
}

/* After the load, other actors may run. */
void rt_settle_load(void)
{
	if (rt_load_at)
		rt_record_load();
	rt_load_due = 0;
	look(POINT_LOAD, 1);
}

/* The next actor that can run, in the driver's order; -1: none can. */
static int next_of(unsigned int waiting)
{
	for (unsigned int k = 1; k <= shim_control->nactor; k++) {
		unsigned int i = ((unsigned int)rt_actor + k) % shim_control->nactor;

		if (!((shim_control->done | waiting) >> i & 1))
			return (int)i;
	}
	return -1;
}

/* Another actor must run before this one can: *kind* and *vm* describe the lock; *holder* is the actor that has it, or -1. */
void rt_wait(int kind, int vm, int holder)
{
	unsigned int moved, waiting;
	int next;

	RT_LOADED();
	rt_settle();
	moved = woke || shim_control->nrec != rt_turn_began;
	waiting = (moved ? 0 : shim_control->waiting) | 1u << rt_actor;
	if (direct() && (next = next_of(waiting)) >= 0 && actors[next].state == LEFT) {
		shim_control->waiting = waiting;
		go_to((unsigned int)next, S_BLOCKED, (shim_u64)kind | (shim_u64)(holder + 1) << 8 | (shim_u64)moved << 16);
		return;
	}
	shim_control->info[0] = kind;
	shim_control->info[1] = (shim_u64)(long long)vm;
	shim_control->info[2] = (shim_u64)(long long)holder;
	shim_control->info[3] = moved;
	leave(S_BLOCKED);
}

/*
 * The actor polls: another one may run, in the driver's order. Those that wait may check again if anything was done since this
 * one last yielded. Returns whether another actor has run.
 */
int rt_yield(void)
{
	static unsigned long seen[SHIM_MAX_ACTORS];
	const int me = rt_actor;
	unsigned int moved, waiting;
	int next;

	RT_LOADED();
	rt_settle();
	moved = woke || rt_made != seen[me];
	waiting = moved ? 0 : shim_control->waiting & ~(1u << me);
	next = next_of(waiting);
	seen[me] = rt_made;
	if (next < 0 || next == me)
		return 0;
	if (direct() && actors[next].state == LEFT) {
		shim_control->waiting = waiting;
		go_to((unsigned int)next, S_YIELDED, moved);
	} else {
		shim_control->info[0] = moved;
		leave(S_YIELDED);
	}
	seen[me] = rt_made;
	return 1;
}
