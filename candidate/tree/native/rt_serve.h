/* SPDX-License-Identifier: GPL-2.0-only */
/* Shared by rt_*.c and rt_serve.c. */
#ifndef SERVE_H
#define SERVE_H
#include "shim.h"

/* Values of shim_control->status. */
enum { S_NONE, S_DONE, S_FULL, S_HOST, S_CRASH, S_REFUSED, S_SWITCHED, S_BLOCKED, S_DIFFERS, S_YIELDED };

#define SHIM_RECORDS	(1u << 15)
#define SHIM_CHAINS	(1u << 13)
#define SHIM_CHAIN	24
#define SHIM_CHAIN_BITS	15
#define SHIM_NAME_BYTES	(1u << 15)

#define SHIM_COUNTERS	(1u << 15)
#define SHIM_SCRIPT_BYTES	(1UL << 20)
#define SHIM_ANSWER_BYTES	(32UL << 10)
struct shim_record { unsigned short kind, name; unsigned int chain; shim_u64 a, b, c; };
struct shim_chain { unsigned int n, pc[SHIM_CHAIN]; };	/* offsets in the image */

/*
 * A request to another process and its answer, with the layout of struct shim_control. A step that is OP_WRITE is followed
 * by the data to write.
 */
struct shim_step {
	struct shim_request request;
	long long ret;
	shim_u64 info[8];
	unsigned int status, counts[3];
	struct shim_left left;			/* after the step */
	struct shim_host host;
	struct shim_left before;		/* before the step */
	shim_u64 digest;
};
struct shim_script {
	shim_u64 filled;			/* number of bytes of steps; the driver increases it */
	shim_u64 over;				/* the twin has found a difference, or crashed */
	char steps[];
};
/*
 * The steps of a request that consists of several: each as if the driver had requested it, with its answer, in the layout of
 * the beginning of struct shim_control. Record counts include the earlier steps. The last answer is in shim_control too.
 */
#define SHIM_ANSWERS	96
struct shim_answer { char head[__builtin_offsetof(struct shim_control, ncounter)]; shim_u64 digest; };
struct shim_answers {
	shim_u64 count;
	struct shim_answer each[SHIM_ANSWERS];
};

/* The areas of the shared memory by offset, each after the other. It begins with struct shim_control. */
#define SHIM_WHOLE_PAGES(n)	(((n) + 4095UL) & ~4095UL)
#define SHIM_NAMES_AT		SHIM_WHOLE_PAGES(sizeof(struct shim_control))
#define SHIM_CHAINS_AT		(SHIM_NAMES_AT + SHIM_NAME_BYTES)
#define SHIM_RECORDS_AT		(SHIM_CHAINS_AT + SHIM_CHAINS * sizeof(struct shim_chain))
#define SHIM_CHAIN_TABLE_AT	(SHIM_RECORDS_AT + SHIM_RECORDS * sizeof(struct shim_record))
/* The counters of one program, of all programs, and of the programs that count for another tree too (rt_coverage.c). */
#define SHIM_COUNTERS_AT	SHIM_WHOLE_PAGES(SHIM_CHAIN_TABLE_AT + (sizeof(unsigned int) << SHIM_CHAIN_BITS))
#define SHIM_TOTALS_AT		(SHIM_COUNTERS_AT + SHIM_COUNTERS * sizeof(shim_u64))
#define SHIM_SHARED_TOTALS_AT	(SHIM_TOTALS_AT + SHIM_COUNTERS * sizeof(shim_u64))
/* The steps of a twin, and the answers. */
#define SHIM_SCRIPT_AT		SHIM_WHOLE_PAGES(SHIM_SHARED_TOTALS_AT + SHIM_COUNTERS * sizeof(shim_u64))
#define SHIM_ANSWERS_AT		(SHIM_SCRIPT_AT + SHIM_SCRIPT_BYTES)
#define SHIM_SHARED_BYTES	(SHIM_ANSWERS_AT + SHIM_ANSWER_BYTES)
_Static_assert(sizeof(struct shim_answers) <= SHIM_ANSWER_BYTES, "the answers fit in their area");
_Static_assert(SHIM_CHAINS_AT % 8 == 0 && SHIM_RECORDS_AT % 8 == 0, "areas are aligned");

extern int shim_following;			/* this process is a twin: its records are not read */

extern struct shim_record *shim_records;
extern struct shim_chain *shim_chains;
extern unsigned int *shim_chain_table;		/* numbers of chains by hash; chains stay valid for all programs of a process */
extern char *shim_names;			/* texts, zero-terminated, number 1 first */
extern char *shim_stack_top;
extern char __ehdr_start __attribute__((visibility("hidden")));

void shim_full(void);				/* returns after the driver has taken the records */
void shim_crash(const char *what, void **frame, void *pc) __attribute__((noreturn));
unsigned int shim_chain_of(void *pc, void **frame);
void shim_memory(void);
void shim_new_operation(void);
void shim_compare_arena(int all);
/* native/counters.ld; none where the library is built without counters */
extern shim_u64 shim_counters[] __attribute__((weak, visibility("hidden")));
extern shim_u64 shim_counters_end[] __attribute__((weak, visibility("hidden")));
void shim_count_code(int fd, char *shared);
void shim_add_counters(int for_both);
void shim_clear_counters(void);
void shim_snapshot(void);
void shim_restore(void);
void shim_remember_names(void);
void shim_digest_log(void);
/* rt_serve.c */
extern int rt_several;				/* the current request consists of several steps, whose answers are kept */
void rt_send_byte(char what);
char rt_receive_byte(void);
void rt_answer(unsigned int status);
void rt_new_call(void);
/* rt_script.c */
extern struct shim_script *rt_script;
void rt_follow(void);
char rt_request(void);
int rt_step_differs(unsigned int status);
/* rt_sequences.c */
long rt_age(void);
void rt_copy_pages(void);
void rt_notify_late(void);
/* rt_signals.c */
void rt_catch_signals(void);
void rt_start_clock(void);
void rt_restart_clock(void);
#endif
