/* SPDX-License-Identifier: GPL-2.0-only */
/* Between rt_*.c and rt_serve.c. */
#ifndef SERVE_H
#define SERVE_H
#include "shim.h"

/* What stands in shim_control->status. */
enum { S_NONE, S_DONE, S_FULL, S_HOST, S_CRASH, S_REFUSED, S_SWITCHED, S_BLOCKED, S_DIFFERS };

#define SHIM_RECORDS	(1u << 15)
#define SHIM_CHAINS	(1u << 13)
#define SHIM_CHAIN	24
#define SHIM_CHAIN_BITS	15
#define SHIM_NAME_BYTES	(1u << 15)

#define SHIM_COUNTERS	(1u << 15)
/* Steps of a twin begin here in the shared memory, and go on to the answers, which go on to its end. */
#define SHIM_SCRIPT_AT	(3UL << 20)
#define SHIM_ANSWERS_AT	(4UL << 20)
#define SHIM_SHARED_BYTES	(SHIM_ANSWERS_AT + (32UL << 10))
struct shim_record { unsigned short kind, name; unsigned int chain; shim_u64 a, b, c; };
struct shim_chain { unsigned int n, pc[SHIM_CHAIN]; };	/* offsets in the image */

/*
 * What another process was asked for, and how it answered: as both stand in struct shim_control. Behind a step that is
 * OP_WRITE comes what is written there.
 */
struct shim_step {
	shim_u64 op, args[8];
	long long ret;
	shim_u64 info[8];
	unsigned int status, counts[3];
	int left[3];				/* allocations that still succeed, afterwards */
	unsigned int nvma, ndevice, resched_every, contended_at;
	int fail[3];				/* before it */
	shim_u64 digest;
};
struct shim_script {
	shim_u64 filled;			/* bytes of steps; the driver adds to it */
	shim_u64 over;				/* the twin has come to a difference, or crashed */
	char steps[];
};
/*
 * Of a request that is several steps: each as if the driver had asked for it, with its answer, as both stand at the beginning of
 * struct shim_control. Records are counted from those of the first one on. The last one stands in shim_control too.
 */
#define SHIM_ANSWERS	96
struct shim_answer { char head[__builtin_offsetof(struct shim_control, ncounter)]; shim_u64 digest; };
struct shim_answers {
	shim_u64 count;
	struct shim_answer each[SHIM_ANSWERS];
};
extern int shim_following;			/* this is a twin: nobody reads its records */

extern struct shim_record *shim_records;
extern struct shim_chain *shim_chains;
extern unsigned int *shim_chain_table;		/* their numbers, by hash; like them good for all programs of a process */
extern char *shim_names;			/* texts, each with its zero, number 1 first */
extern char *shim_stack_top;
extern char __ehdr_start __attribute__((visibility("hidden")));

void shim_full(void);				/* the driver takes the records, then this returns */
void shim_crash(const char *what, void **frame, void *pc) __attribute__((noreturn));
unsigned int shim_chain_of(void *pc, void **frame);
void shim_memory(void);
void shim_note(int on);
void shim_count_failures(int on);
void shim_new_operation(void);
void shim_compare_arena(int all);
/* native/counters.ld; none where the library is built without counters */
extern shim_u64 shim_counters[] __attribute__((weak, visibility("hidden")));
extern shim_u64 shim_counters_end[] __attribute__((weak, visibility("hidden")));
void shim_count_code(int fd, char *shared, long at);
void shim_add_counters(int for_both);
void shim_clear_counters(void);
void shim_forget_locks(void);
void shim_call_over(int last);
void shim_start(void);				/* glue_life.h */
void shim_become(int actor);
void shim_snapshot(void);
void shim_restore(void);
void shim_remember_names(void);
void shim_digest_log(void);
#endif
