/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The tree's header; rt_locks.c knows the holders of a semaphore, whose own count is not used.
 */
#ifndef SHIM_LINUX_RWSEM_H
#define SHIM_LINUX_RWSEM_H

#include_next <linux/rwsem.h>
#include <linux/lockdep.h>

int shim_lock_taken(const volatile void *lock);		/* whether any actor holds it */

#define rwsem_is_locked(sem)		shim_lock_taken(sem)
#define rwsem_assert_held(sem)		__shim_lockdep(shim_lock_held(sem), "lockdep_assert_held " #sem)
#define rwsem_assert_held_write(sem)	__shim_lockdep(shim_lock_held(sem) == 2, "lockdep_assert_held_write " #sem)
#define rwsem_assert_held_nolockdep(sem)	rwsem_assert_held(sem)
#define rwsem_assert_held_write_nolockdep(sem)	rwsem_assert_held_write(sem)

#endif
