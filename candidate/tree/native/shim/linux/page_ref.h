/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The tree's header; its functions, and all that use them, count references in rt_pages.c instead of struct page. They count
 * by operations on atomics, whatever names the tree gives the functions.
 */
#ifndef SHIM_LINUX_PAGE_REF_H
#define SHIM_LINUX_PAGE_REF_H

/* What that header includes must not see the macros. */
#include <linux/atomic.h>
#include <linux/mm_types.h>
#include <linux/page-flags.h>
#include <linux/tracepoint-defs.h>

int shim_ref_count(const void *count);
int shim_ref_get(const void *count, int n);		/* all return the new count */
int shim_ref_put(const void *count, int n, int frees);	/* frees: the caller frees the page if none is left */
int shim_ref_unmodelled(const char *what);

#pragma push_macro("atomic_read")
#pragma push_macro("atomic_set")
#pragma push_macro("atomic_set_release")
#pragma push_macro("atomic_add")
#pragma push_macro("atomic_sub")
#pragma push_macro("atomic_inc")
#pragma push_macro("atomic_dec")
#pragma push_macro("atomic_sub_return")
#pragma push_macro("atomic_inc_return")
#pragma push_macro("atomic_dec_return")
#pragma push_macro("atomic_sub_and_test")
#pragma push_macro("atomic_dec_and_test")
#pragma push_macro("atomic_add_unless")
#pragma push_macro("atomic_cmpxchg")
#undef atomic_read
#undef atomic_set
#undef atomic_set_release
#undef atomic_add
#undef atomic_sub
#undef atomic_inc
#undef atomic_dec
#undef atomic_sub_return
#undef atomic_inc_return
#undef atomic_dec_return
#undef atomic_sub_and_test
#undef atomic_dec_and_test
#undef atomic_add_unless
#undef atomic_cmpxchg
#define atomic_read(v)			shim_ref_count(v)
#define atomic_set(v, i)		((void)(i), (void)shim_ref_unmodelled("set_page_count"))
#define atomic_set_release(v, i)	((void)(i), (void)shim_ref_unmodelled("page_ref_unfreeze"))
#define atomic_cmpxchg(v, o, n)		((void)(o), (void)(n), shim_ref_unmodelled("page_ref_freeze"))
#define atomic_add(n, v)		((void)shim_ref_get(v, n))
#define atomic_inc(v)			((void)shim_ref_get(v, 1))
#define atomic_inc_return(v)		shim_ref_get(v, 1)
#define atomic_sub(n, v)		((void)shim_ref_put(v, n, 0))
#define atomic_dec(v)			((void)shim_ref_put(v, 1, 0))
#define atomic_sub_return(n, v)		shim_ref_put(v, n, 1)
#define atomic_dec_return(v)		shim_ref_put(v, 1, 1)
#define atomic_sub_and_test(n, v)	(!shim_ref_put(v, n, 1))
#define atomic_dec_and_test(v)		(!shim_ref_put(v, 1, 1))
#define atomic_add_unless(v, n, u)	(shim_ref_count(v) != (u) && (shim_ref_get(v, n), 1))
#include_next <linux/page_ref.h>
#pragma pop_macro("atomic_read")
#pragma pop_macro("atomic_set")
#pragma pop_macro("atomic_set_release")
#pragma pop_macro("atomic_add")
#pragma pop_macro("atomic_sub")
#pragma pop_macro("atomic_inc")
#pragma pop_macro("atomic_dec")
#pragma pop_macro("atomic_sub_return")
#pragma pop_macro("atomic_inc_return")
#pragma pop_macro("atomic_dec_return")
#pragma pop_macro("atomic_sub_and_test")
#pragma pop_macro("atomic_dec_and_test")
#pragma pop_macro("atomic_add_unless")
#pragma pop_macro("atomic_cmpxchg")

#endif
