/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The tree's header; prefetches of data have no effect.
 */
#ifndef SHIM_ASM_PROCESSOR_H
#define SHIM_ASM_PROCESSOR_H

#include_next <asm/processor.h>

#undef prefetch
#undef prefetchw
#undef spin_lock_prefetch
#define prefetch(p)		((void)(p))
#define prefetchw(p)		((void)(p))
#define spin_lock_prefetch(p)	((void)(p))

#endif
