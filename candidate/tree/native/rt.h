/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Shared by the files of the runtime on which the compiled kernel files run. It is built with libc and without kernel
 * headers: all arguments are integers and pointers, so one definition serves all trees whose machine code calls it
 * in the same way.
 */
#ifndef RT_H
#define RT_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "glue.h"
#include "rt_serve.h"

/* Backtraces follow frame pointers, also through these files. */
#pragma GCC optimize("no-omit-frame-pointer", "no-optimize-sibling-calls")

#define WEAK __attribute__((weak))
#define HIDDEN __attribute__((visibility("hidden")))
#define FRAME __builtin_frame_address(0)
#define ALIAS(n, of) __typeof__(of) n __attribute__((alias(#of)));
#define CALL(k, a, b, c, s) SHIM_EV(k, a, b, c, s)

/* The arena (tables, with records), then pages of the host: user page tables, and pages in memory caches. */
#define RT_ARENA_PAGES	(1u << 16)
#define RT_HOST_PAGES	(1u << 16)

#define RT_PAGE_SHIFT	SHIM_GRANULE_SHIFT
extern unsigned long rt_vmemmap_size;
extern int *rt_counts;			/* reference counts of arena pages */
extern char *rt_shadow;			/* contents of the arena according to the recorded stores */
extern unsigned int rt_arena_next, rt_host_next, rt_stock_next;
extern int rt_counting_failures;	/* allocations fail as the driver asked only while this is set */
extern int rt_in_cache;			/* inside a memory cache's own functions */
extern int rt_recording;			/* events are recorded */
extern int rt_any_dirty;		/* a watched word was written and not recorded yet */
extern volatile shim_u64 *rt_plain_at;	/* the entry of a plain store that was announced and not recorded yet */
/* The frame that is being marked dirty: in a compound page, the head has the bit. */
extern unsigned long rt_dirty_pfn;
extern unsigned long rt_watch_low HIDDEN, rt_watch_high HIDDEN;	/* bounds of the watched words */

static inline int rt_index(const volatile void *va)	/* index of a table page; -1: no table page, or not allocated */
{
	unsigned long o = ((unsigned long)va - SHIM_ARENA) >> RT_PAGE_SHIFT;

	return o < rt_arena_next ? (int)o : -1;
}
static inline unsigned long rt_pa(const volatile void *va) { return (unsigned long)va - SHIM_VA_OFF; }
static inline void *rt_page(unsigned int i) { return (char *)SHIM_ARENA + ((size_t)i << RT_PAGE_SHIFT); }
static inline shim_u64 rt_entry(const volatile void *p) { return ((unsigned long)p - SHIM_ARENA) >> 3; }
static inline shim_u64 *rt_shadow_at(const volatile void *p)
{
	return (shim_u64 *)(rt_shadow + ((unsigned long)p - SHIM_ARENA));
}

/* frame: the frame of the function that kernel code called */
void rt_emit_visited(unsigned int kind, shim_u64 a, shim_u64 b, int flag, void **frame);
void rt_record(unsigned int kind, shim_u64 a, shim_u64 b, shim_u64 c, const char *name, void **frame);
void rt_settle(void);
void rt_settle_watched(void);
/* rt_watch.c: a call begins; the state that each actor has of its own */
void rt_new_samples(void);
void rt_own_samples(void);
int rt_holds_mmu_lock(void);
void rt_read_entry(const volatile void *p);
/* Both change an entry in one step, and return its old value. */
enum rt_change { ENTRY_SET, ENTRY_ADD, ENTRY_SUB, ENTRY_AND, ENTRY_OR, ENTRY_XOR };
shim_u64 rt_atomic(volatile void *p, enum rt_change change, shim_u64 v, void **frame);
shim_u64 rt_cmpxchg(volatile void *p, shim_u64 o, shim_u64 n, void **frame);
int rt_in_vma(const void *p, int write, void **frame);
void rt_mmap_dropped(void);
void rt_vma_dropped(const void *p, int under_mmap);
#define RT_UNALLOCATED "access to an unallocated table page"
void rt_touch(const volatile void *p, unsigned long bytes);
void rt_forget_read(unsigned int page);
void rt_touched(const void *p, int write, void **frame);
void rt_use_struct_page(const void *page, int write, void **frame);
/* rt_vmemmap.c */
void rt_remember_blocks(void);
void rt_writes_struct_pages(const void *p, unsigned long n);
void rt_restore_struct_pages(void);
int rt_fails(int *left);
/*
 * Memory that was not requested as zero holds this value in each word until it is written. No table has such an entry: it is
 * invalid, and not empty. It is no address either.
 */
#define RT_UNWRITTEN_WORD 0x5a5a5a5a5a5a5a5aUL
/* any: these pages need not become tables */
void *rt_take(unsigned int nr, int zero, int kind, int any, const char *name, void **frame);
/* For each page of the arena: 1 if it may have unwritten entries. Whether any page of this program may have some. */
extern char *rt_unwritten;
extern int rt_any_unwritten HIDDEN;
void rt_record_contents(void *table, void **frame);
void rt_read_unwritten(const volatile void *p, void **frame);
void rt_drop(void *va, int kind, const char *name, void **frame);
void *rt_stock_page(int zero);
void rt_stock_free(void *va);
int rt_is_zero(const void *va);
void rt_put_back_stock(void);
void rt_give_back(char *start, size_t bytes);
int rt_in_host(const void *va);
void *rt_small(unsigned long n);
#define RT_SMALL_BYTES	(1UL << 30)
extern unsigned long rt_small_start HIDDEN;
static inline int rt_in_small(const void *p) { return (unsigned long)p - rt_small_start < RT_SMALL_BYTES; }
/* Freed small memory is filled with this value. */
#define RT_FREED_WORD	0xa5a5a5a5a5a5a5a5UL
void *rt_keep(unsigned long n);
void rt_cannot_start(const char *why) __attribute__((noreturn));
void rt_told_free(const void *p, void **frame);
void rt_free_later(void *p);
/* Small memory, surrounded by red zones in a build with --sanitize. */
void *rt_object(unsigned long n);
/* The number of the record of an object's allocation, from 1; 0: it was not recorded. */
unsigned long *rt_object_number(const void *p);
unsigned long rt_object_size(const void *p);
void rt_object_free(const void *p, void **frame);
#ifdef SHIM_SANITIZE
void rt_check(const volatile void *p, unsigned long n, int write, void **frame);	/* check an access of kernel code */
void rt_zones(char *small, unsigned long bytes);
void rt_zones_save(unsigned long bytes);	/* bytes: small memory in use */
void rt_zones_restore(unsigned long bytes);
#else
#define rt_check(p, n, write, frame)	do { } while (0)
#endif
/* Actors: rt_actor is the one that runs; -1: there is only one. */
extern int rt_actor HIDDEN;
extern unsigned int rt_turn_began HIDDEN;	/* number of records when the actor got its turn, or an answer */
void rt_own_locks(void);
void rt_own_rcu(void);
void rt_own_records(void);
void rt_make_stacks(void);
void rt_forget_stacks(void);
unsigned int rt_run_actor(unsigned int number);
void rt_reached(enum shim_point point);
void rt_passed(enum shim_point point);
void rt_loaded(const volatile void *p, void **frame);
/*
 * The instrumentation announces a plain load before it happens. The load has happened by the next event: then it is recorded,
 * and other actors may run.
 */
extern const volatile shim_u64 *rt_load_at HIDDEN;
extern int rt_load_due HIDDEN;		/* the load was recorded, and no other actor had the chance to run since */
void rt_will_load(const volatile void *p, void **frame);
void rt_record_load(void);
void rt_settle_load(void);
#define RT_LOADED()		do { if (__builtin_expect(rt_load_at || rt_load_due, 0)) rt_settle_load(); } while (0)
void rt_wait(int kind, int vm, int holder);
int rt_yield(void);
/* Number of records, other than of turns; number of calls that have begun, and of records of something that code has changed. */
extern unsigned long rt_made HIDDEN, rt_progress HIDDEN;
/* Placed around an action: other actors may run before it takes effect, and after. */
#define RT_BEFORE(point)	do { if (__builtin_expect(rt_actor >= 0, 0)) rt_reached(point); } while (0)
#define RT_AFTER(point)		do { if (__builtin_expect(rt_actor >= 0, 0)) rt_passed(point); } while (0)
/* One more look by code that polls: other actors may run. It is reported if nothing happens for too long. */
void rt_poll(void **frame);
extern int rt_rcu_depth HIDDEN;		/* nesting depth of the readers of the current actor */
/* Record a call that may sleep in a context that might_sleep() would warn about. */
void rt_may_sleep(const char *function, void **frame);
/* The same for a call that the driver judges itself: only in the contexts that the driver does not know. */
void rt_must_be_able_to_sleep(const char *function, void **frame);
/* Locks. RT_SPINS: nobody may sleep with the lock. */
enum rt_mode { RT_READ, RT_WRITE, RT_SPINS };
void rt_lock(const void *p, enum rt_mode mode, void **frame);
int rt_try_lock(const void *p, enum rt_mode mode, void **frame);
void rt_unlock(const void *p, enum rt_mode mode, void **frame);
void rt_sleeping_lock(const void *p, enum rt_mode mode, const char *function, void **frame);
void rt_downgrade(const void *p, void **frame);
void rt_wait_for_srcu(const void *p);
/* The clock, in nanoseconds. */
#define RT_EVENT_NS	1000
extern shim_u64 rt_clock HIDDEN;
void rt_pass_time(shim_u64 ns);
/* Kernel code is about to write many bytes; it has written them. */
void rt_writes(const void *p, unsigned long n, void **frame);
void rt_bitmap_stored(const void *p, unsigned long n, void **frame);
void rt_wrote(const void *p, unsigned long n);
void *rt_take_pages(unsigned gfp, unsigned order, void **frame);
void rt_free_pages(char *va, unsigned order, void **frame);
void rt_no_table(const void *va, const char *name, void **frame);
unsigned long rt_pfn_of(const void *page);
void *rt_va_of(const void *page);
#endif
