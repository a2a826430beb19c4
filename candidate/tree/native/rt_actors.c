// SPDX-License-Identifier: GPL-2.0-only
/*
 * Actors: each has a C stack. One runs until it reaches an anchor of its schedule, waits for what another one holds, or
 * its call returns; then the driver says who goes on. Nothing else ever runs, so a program has one interleaving.
 */
#include "rt.h"

#define STACK_BYTES	(256UL << 10)
#define GUARD_BYTES	4096UL
/* What begins as zeros, so that a chain of frames ends there. */
#define TOP_BYTES	64UL
#define MAX_OWN		16

enum state { IDLE, READY };

static struct actor {
	void *sp;
	enum state state;
	unsigned int status;		/* why it does not run */
	shim_u64 op, args[8];
	long long ret;
	unsigned int nanchor, count[POINT_NR];
	struct shim_anchor anchors[SHIM_MAX_ANCHORS];
	shim_u64 own[MAX_OWN];
} actors[SHIM_MAX_ACTORS];
static shim_u64 outside[MAX_OWN];
static struct { void *at; unsigned int bytes; } owned[MAX_OWN];
static int nowned;
static char *stacks;
static unsigned int used;		/* stacks that this program has run on */
static void *main_sp;
int rt_actor = -1;

/* A variable of which each actor has a value of its own; all begin with the one that it has when an actor starts. */
void rt_own(void *at, unsigned int bytes)
{
	if (nowned == MAX_OWN || bytes > sizeof(shim_u64)) {
		fprintf(stderr, "s2fuzz: more variables of actors than there is room for\n");
		exit(2);
	}
	owned[nowned].at = at;
	owned[nowned++].bytes = bytes;
}

static void swap_own(shim_u64 *keep, const shim_u64 *take)
{
	for (int i = 0; i < nowned; i++) {
		memcpy(&keep[i], owned[i].at, owned[i].bytes);
		if (take)
			memcpy(owned[i].at, &take[i], owned[i].bytes);
	}
}

static char *top_of(int i) { return stacks + (i + 1) * (STACK_BYTES + GUARD_BYTES); }

/* Before the snapshot: memory of the stacks, with a page below each that nobody may touch. */
void rt_make_stacks(void)
{
	stacks = rt_keep(SHIM_MAX_ACTORS * (STACK_BYTES + GUARD_BYTES));
	for (int i = 0; i < SHIM_MAX_ACTORS; i++)
		mprotect(top_of(i) - STACK_BYTES - GUARD_BYTES, GUARD_BYTES, PROT_NONE);
}

/* A program is over: stacks are as they were at first. */
void rt_forget_stacks(void)
{
	for (int i = 0; i < SHIM_MAX_ACTORS; i++)
		if (used >> i & 1)
			madvise(top_of(i) - STACK_BYTES, STACK_BYTES, MADV_DONTNEED);
}

/* Go on at *to*, a stack that was left here or that run() has laid out; whoever comes back finds *save*. */
void rt_swap_stacks(void **save, void *to) HIDDEN;
__asm__(".text\n.globl rt_swap_stacks\n.hidden rt_swap_stacks\nrt_swap_stacks:\n"
	" push %rbp\n push %rbx\n push %r12\n push %r13\n push %r14\n push %r15\n"
	" mov %rsp,(%rdi)\n mov %rsi,%rsp\n"
	" pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbx\n pop %rbp\n ret\n");

static void leave(unsigned int status)
{
	struct actor *a = &actors[rt_actor];

	rt_settle();
	a->status = status;
	swap_own(a->own, outside);
	rt_actor = -1;
	rt_swap_stacks(&a->sp, main_sp);
}

static void entry(void)
{
	struct actor *a = &actors[rt_actor];

	shim_new_operation();
	a->ret = shim_dispatch(a->op, a->args, shim_control->info);
	a->state = IDLE;
	leave(S_DONE);
	__builtin_trap();
}

/* Begin the call that the driver asks for, on a stack of its own, or go on with it; returns a status. */
unsigned int rt_run_actor(unsigned int i)
{
	struct actor *a = &actors[i];

	if (i >= SHIM_MAX_ACTORS)
		shim_refuse("more actors than there is room for");
	swap_own(outside, a->state == READY ? a->own : 0);
	if (a->state == IDLE) {
		void **sp = (void **)(top_of(i) - TOP_BYTES);

		a->op = shim_control->op;
		memcpy(a->args, shim_control->args, sizeof(a->args));
		a->nanchor = shim_control->nanchor < SHIM_MAX_ANCHORS ? shim_control->nanchor : SHIM_MAX_ANCHORS;
		memcpy(a->anchors, shim_control->anchors, sizeof(a->anchors));
		memset(a->count, 0, sizeof(a->count));
		/* As the caller of entry() would leave it: no return address, aligned, and six registers. */
		*--sp = 0;
		*--sp = (void *)entry;
		for (int k = 0; k < 6; k++)
			*--sp = 0;
		a->sp = sp;
		a->state = READY;
		used |= 1u << i;
		shim_stack_top = top_of(i);
	}
	rt_actor = (int)i;
	rt_swap_stacks(&main_sp, a->sp);
	if (a->status == S_DONE)
		shim_control->ret = a->ret;
	return a->status;
}

static void look(enum shim_point point, int after)
{
	struct actor *a = &actors[rt_actor];

	for (unsigned int i = 0; i < a->nanchor; i++) {
		struct shim_anchor *s = &a->anchors[i];

		if (s->point != point || s->after != (unsigned int)after || s->count != a->count[point])
			continue;
		s->point = POINT_NONE;
		shim_control->info[0] = s->number;
		leave(S_SWITCHED);
	}
}

/* What the actor does takes effect when these return. */
void rt_reached(enum shim_point point)
{
	actors[rt_actor].count[point]++;
	look(point, 0);
}
/* ... and has taken effect. */
void rt_passed(enum shim_point point) { look(point, 1); }

/* An entry was loaded: the value is the one of now, for nobody ran since. */
void rt_loaded(const volatile void *p, void **frame)
{
	rt_emit(EV_READ, rt_entry(p), *(const volatile shim_u64 *)p, 0, 0, frame);
	actors[rt_actor].count[POINT_LOAD]++;
	look(POINT_LOAD, 1);
}

/* Somebody else must run before this one can: *kind* and *vm* of the lock, *holder* the actor that has it, or -1. */
void rt_wait(int kind, int vm, int holder)
{
	shim_control->info[0] = kind;
	shim_control->info[1] = (shim_u64)(long long)vm;
	shim_control->info[2] = (shim_u64)(long long)holder;
	leave(S_BLOCKED);
}
