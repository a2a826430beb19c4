/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The tree's header; assertions that a lock is held check the locks of rt_locks.c, and warn if they fail.
 */
#ifndef SHIM_LOCKDEP_H
#define SHIM_LOCKDEP_H

#include_next <linux/lockdep.h>
#include <shim.h>

int shim_lock_held(const volatile void *lock);	/* 0: no, 1: for reading, 2: for writing */

#undef lockdep_assert_held
#undef lockdep_assert_held_write
#undef lockdep_assert_held_read
#undef lockdep_assert_not_held
#undef lockdep_assert
#undef lockdep_assert_once
#undef lockdep_is_held
#define __shim_lockdep(c, s)		do { if (!(c)) SHIM_EV(EV_WARN, 0, 0, 0, s); } while (0)
#define lockdep_assert_held(l)		__shim_lockdep(shim_lock_held(l), "lockdep_assert_held " #l)
#define lockdep_assert_held_write(l)	__shim_lockdep(shim_lock_held(l) == 2, "lockdep_assert_held_write " #l)
#define lockdep_assert_held_read(l)	__shim_lockdep(shim_lock_held(l) == 1, "lockdep_assert_held_read " #l)
#define lockdep_assert_not_held(l)	__shim_lockdep(!shim_lock_held(l), "lockdep_assert_not_held " #l)
#define lockdep_is_held(l)		shim_lock_held(l)
#define lockdep_assert(c)		__shim_lockdep(c, "lockdep_assert " #c)
#define lockdep_assert_once(c)		__shim_lockdep(c, "lockdep_assert_once " #c)

#endif
