#ifndef __ASM_BARRIER_H
#define __ASM_BARRIER_H
#include <linux/kasan-checks.h>
#include <asm/alternative-macros.h>
#include <shim.h>
#define dsb(opt)	SHIM_EV(EV_DSB, 0, 0, 0, #opt)
#define dmb(opt)	SHIM_EV(EV_DMB, 0, 0, 0, #opt)
#define isb()		SHIM_EV(EV_ISB, 0, 0, 0, "isb")
#define csdb()		do { } while (0)
#define spec_bar()	do { } while (0)
#define psb_csync()	do { } while (0)
#define tsb_csync()	do { } while (0)
#define pmr_sync()	do { } while (0)
#define dgh()		do { } while (0)
#define sev()		do { } while (0)
#define wfe()		do { } while (0)
#define nops(n)		do { } while (0)
#define wfi()		do { } while (0)
#define gsb_ack()	do { } while (0)
#define gsb_sys()	do { } while (0)
#define __mb()		dsb(sy)
#define __rmb()		dsb(ld)
#define __wmb()		dsb(st)
#define __dma_mb()	dmb(osh)
#define __dma_rmb()	dmb(oshld)
#define __dma_wmb()	dmb(oshst)
#define __smp_mb()	dmb(ish)
#define __smp_rmb()	dmb(ishld)
#define __smp_wmb()	dmb(ishst)
#define __smp_store_release(p, v) do { \
	union { typeof(*(p)) __v; shim_u64 __u; } __c = { .__v = (v) }; \
	if (sizeof(*(p)) == 8 && SHIM_IN_ARENA(p)) \
		shim_store((p), __c.__u, 1, __func__, __LINE__); \
	else \
		*(volatile typeof(*(p)) *)(p) = __c.__v; } while (0)
#define __smp_load_acquire(p)	READ_ONCE(*(p))
#define array_index_mask_nospec(i, s)	((i) < (s) ? ~0UL : 0UL)
#define arch_counter_enforce_ordering(v) do { } while (0)
#include <asm-generic/barrier.h>
#endif
