/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The tree's header; rt_locks.c knows the holders of a semaphore, whose own count is not used.
 */
#ifndef SHIM_LINUX_RWSEM_H
#define SHIM_LINUX_RWSEM_H

#include_next <linux/rwsem.h>
#include <shim.h>

int shim_lock_held(const volatile void *lock);		/* 0: no, 1: for reading, 2: for writing */
int shim_lock_taken(const volatile void *lock);		/* whether any actor holds it */

#define __shim_rwsem(c, s)		do { if (!(c)) SHIM_EV(EV_WARN, 0, 0, 0, s); } while (0)
#define rwsem_is_locked(sem)		shim_lock_taken(sem)
#define rwsem_assert_held(sem)		__shim_rwsem(shim_lock_held(sem), "lockdep_assert_held " #sem)
#define rwsem_assert_held_write(sem)	__shim_rwsem(shim_lock_held(sem) == 2, "lockdep_assert_held_write " #sem)
#define rwsem_assert_held_nolockdep(sem)	rwsem_assert_held(sem)
#define rwsem_assert_held_write_nolockdep(sem)	rwsem_assert_held_write(sem)

#endif
