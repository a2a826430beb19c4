/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The tree's header; the program decides whether another task waits for a lock.
 */
#ifndef SHIM_ASM_SPINLOCK_H
#define SHIM_ASM_SPINLOCK_H

#include_next <asm/spinlock.h>
#include <shim.h>

#undef arch_spin_is_contended
#undef arch_rwlock_is_contended
#define arch_spin_is_contended(l)	shim_asked(ASK_SPIN_CONTENDED, l)
#define arch_rwlock_is_contended(l)	shim_asked(ASK_RWLOCK_CONTENDED, l)

#endif
