/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Barriers are events; operations that only wait or affect speculation do nothing.
 */
#ifndef __ASM_BARRIER_H
#define __ASM_BARRIER_H

#include <linux/kasan-checks.h>
#include <asm/alternative-macros.h>
#include <shim.h>

#ifdef SHIM_TLB_C
#define dsb(opt)		shim_instruction("dsb " #opt, 0)
#define isb()			shim_instruction("isb", 0)
#else
#define dsb(opt)		SHIM_EV(EV_DSB, 0, 0, 0, #opt)
#define isb()			SHIM_EV(EV_ISB, 0, 0, 0, "isb")
#endif
#define dmb(opt)		SHIM_EV(EV_DMB, 0, 0, 0, #opt)

#define __shim_nothing()	do { } while (0)
#define csdb()			__shim_nothing()
#define spec_bar()		__shim_nothing()
#define psb_csync()		__shim_nothing()
#define tsb_csync()		__shim_nothing()
#define pmr_sync()		__shim_nothing()
#define dgh()			__shim_nothing()
#define sev()			__shim_nothing()
#define wfe()			__shim_nothing()
#define wfi()			__shim_nothing()
#define nops(n)			__shim_nothing()
#define gsb_ack()		__shim_nothing()
#define gsb_sys()		__shim_nothing()

/* As on arm64. Older trees do not derive the first six names from names with underscores. */
#define mb()			dsb(sy)
#define rmb()			dsb(ld)
#define wmb()			dsb(st)
#define dma_mb()		dmb(osh)
#define dma_rmb()		dmb(oshld)
#define dma_wmb()		dmb(oshst)
#define __smp_mb()		dmb(ish)
#define __smp_rmb()		dmb(ishld)
#define __smp_wmb()		dmb(ishst)

#define __smp_store_release(p, v) do {						\
	__typeof__(p) __at = (p);						\
	union { typeof(*(p)) __v; shim_u64 __u; } __c = { .__v = (v) };		\
	if (sizeof(*__at) == 8 && SHIM_IN_ARENA(__at))				\
		shim_store(__at, __c.__u, 1);				\
	else									\
		*(volatile typeof(*__at) *)__at = __c.__v;			\
} while (0)
#define __smp_load_acquire(p) ({						\
	__typeof__(p) __acquired = (p);						\
	__unqual_scalar_typeof(*__acquired) __loaded = READ_ONCE(*__acquired);	\
	shim_acquired(__acquired);						\
	__loaded;								\
})

#define array_index_mask_nospec(i, s)	((i) < (s) ? ~0UL : 0UL)
#define arch_counter_enforce_ordering(v) __shim_nothing()

#include <asm-generic/barrier.h>

#endif
