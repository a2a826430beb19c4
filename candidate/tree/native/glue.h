/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The boundary between the kernel side (glue*.c, built with the tree's headers) and the runtime (rt_*.c, built with libc): what
 * one of them defines and the other uses, and what files of the kernel side use of each other. All of these files include it,
 * so the compiler checks each definition. Plain C types only; structs of the kernel stay incomplete.
 */
#ifndef GLUE_H
#define GLUE_H
#include "shim.h"

struct kvm;
struct mm_struct;
struct vm_area_struct;

/* ---- of the runtime ---- */
/* rt_records.c */
void rt_emit(unsigned int kind, shim_u64 a, shim_u64 b, shim_u64 c, const char *name, void **frame);
void rt_walk(int vmid, shim_u64 addr, shim_u64 size, void **frame);
void shim_note(int on);
/* rt_actors.c, rt_polling.c */
void rt_own(void *at, unsigned int bytes);
void shim_give_way(int asleep);
/* rt_locks.c */
extern unsigned long shim_irqs_on;
int shim_lock_held(const volatile void *p);
int shim_lock_taken(const volatile void *p);
int shim_this_actor(void);
void shim_wait_for(int actor);
void rt_read_beside(const void *p, int take);
void shim_forget_locks(void);
void shim_call_begins(void);
void shim_call_ends(void);
/* rt_lock_calls.c */
void shim_might_sleep(const char *function);
void shim_lock_folio(void *folio);
void shim_unlock_folio(void *folio);
void shim_must_be_able_to_sleep(const char *function);
/* rt_rcu.c */
void shim_call_over(int last);
int shim_run_pending(void);
int shim_reads_under_rcu(void);
/* rt_pages.c, rt_caches.c, rt_small.c */
int shim_small_fails(void);
unsigned long shim_host_page(void);
void shim_count_failures(int on);
void *shim_zalloc(unsigned long n);
void shim_free(void *p);
void *shim_hold_for(const void *object);
void shim_hold_no_more(void *p);
void shim_free_untold(int on);
void *shim_new_cache(unsigned long bytes, void (*construct)(void *object));
/* rt_models.c */
void shim_within_cache(int by);
void shim_set_entry(shim_u64 entry, shim_u64 value);
long shim_table_call(enum shim_table_op op, void *pgt, shim_u64 addr, shim_u64 size, shim_u64 phys, shim_u64 prot, void *mc);
/* rt_serve.c */
extern unsigned long shim_slot_pages;

/* ---- of glue.c and its parts ---- */
extern const unsigned long shim_page_shift, shim_sizeof_page;
extern const unsigned int shim_pg_dirty, shim_page_flags, shim_gfp_zero, shim_gfp_sleeps, shim_gfp_compound;
extern const int shim_instrumented;		/* kernel code reports its plain loads and stores */
extern const int shim_secondary_pagetable, shim_find_in_one, shim_kvmalloc_aligns, shim_bulk_has_list;
extern const int shim_knows_flush_vmid, shim_knows_flush_vmid_ipa, shim_knows_flush_vmid_ipa_nsh, shim_knows_flush_vmid_range;
extern int shim_notifying;			/* code runs that accesses the sequence itself: a notifier, guest_memfd.c */
extern int shim_must_not_block;			/* the current actor is in a notifier that must not sleep */
void shim_start(void);
void shim_become(int actor);
int shim_preempt_count(void);
void shim_preempt_add(int by);
int shim_slots_locked(void);
long shim_dispatch(shim_u64 op, const shim_u64 *args, shim_u64 *info);
int shim_vmid_of_walk(const void *pgt);
int shim_walks_user_tables(const void *pgt);
void shim_allow_works(void);
int shim_run_work(void);

/* ---- of glue_host.c ---- */
extern struct mm_struct *shim_mm;
struct vm_area_struct *shim_area_from(unsigned long a, unsigned long *start, unsigned long *end);
extern int shim_looked_up_write, shim_looked_up_writable;	/* the current fault is a write; its last lookup was writable */
void shim_make_vmas(void);
void *shim_user_buffer(unsigned long address, unsigned long bytes);
void shim_user_zap(unsigned long start, unsigned long end);
void shim_user_ahead(unsigned long what, unsigned long pfn);
int shim_user_page(unsigned long hva, int may_fault, unsigned long *pfn);
void shim_make_compound(void *page, unsigned int order);
void *shim_head_of(void *page);
unsigned long shim_pages_of(void *page);
int shim_user_frame(unsigned long hva, int write, int may_fault, unsigned long *pfn, int *device);

/* ---- of glue_tags.c ---- */
unsigned long shim_vma_tags(int device, int huge);
void shim_follow_copies(void);

/* ---- of glue_memfd.c ---- */
int shim_memfd(struct kvm *kvm, int number, unsigned long size, unsigned long hva, unsigned long long *offset);
long shim_punch_hole(int number, unsigned long offset, unsigned long size);
long shim_memfd_failure(int number, unsigned long offset);
long shim_close_memfd(int number, unsigned long size);
#endif
