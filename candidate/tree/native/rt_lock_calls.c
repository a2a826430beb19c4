// SPDX-License-Identifier: GPL-2.0-only
/* The functions by which kernel code takes and drops locks: spinlocks, rwlocks, mutexes, semaphores, SRCU. */
#include "rt.h"

/* ---- spinlocks and rwlocks: no CPU sleeps with one ---- */

static void spin_lock(void *p, void **frame)
{
	rt_lock(p, RT_WRITE | RT_SPINS, frame);
	/* assert_spin_locked() and spin_is_locked() read the lock's word. */
	*(int *)p = 1;
}
static void spin_unlock(void *p, void **frame)
{
	*(int *)p = 0;
	rt_unlock(p, RT_WRITE | RT_SPINS, frame);
}
static int spin_trylock(void *p, void **frame)
{
	int taken = rt_try_lock(p, RT_WRITE | RT_SPINS, frame);

	if (taken)
		*(int *)p = 1;
	return taken;
}
static void write_lock(void *p, void **frame) { rt_lock(p, RT_WRITE | RT_SPINS, frame); }
static void write_unlock(void *p, void **frame) { rt_unlock(p, RT_WRITE | RT_SPINS, frame); }
static int write_trylock(void *p, void **frame) { return rt_try_lock(p, RT_WRITE | RT_SPINS, frame); }
static void read_lock(void *p, void **frame) { rt_lock(p, RT_READ | RT_SPINS, frame); }
static void read_unlock(void *p, void **frame) { rt_unlock(p, RT_READ | RT_SPINS, frame); }
static int read_trylock(void *p, void **frame) { return rt_try_lock(p, RT_READ | RT_SPINS, frame); }

static unsigned long irqs_off(void)
{
	unsigned long before = shim_irqs_on;

	shim_irqs_on = 0;
	return before;
}

/* Interrupts go off before the lock is taken, and on after it was dropped. There are no bottom halves to keep away. */
#define SPINNING(way) \
void _raw_##way##_lock(void *p) { way##_lock(p, FRAME); } \
void _raw_##way##_unlock(void *p) { way##_unlock(p, FRAME); } \
int _raw_##way##_trylock(void *p) { return way##_trylock(p, FRAME); } \
void _raw_##way##_lock_bh(void *p) { way##_lock(p, FRAME); } \
void _raw_##way##_unlock_bh(void *p) { way##_unlock(p, FRAME); } \
int _raw_##way##_trylock_bh(void *p) { return way##_trylock(p, FRAME); } \
void _raw_##way##_lock_irq(void *p) { irqs_off(); way##_lock(p, FRAME); } \
void _raw_##way##_unlock_irq(void *p) { way##_unlock(p, FRAME); shim_irqs_on = 1; } \
unsigned long _raw_##way##_lock_irqsave(void *p) \
{ \
	unsigned long flags = irqs_off(); \
\
	way##_lock(p, FRAME); \
	return flags; \
} \
void _raw_##way##_unlock_irqrestore(void *p, unsigned long flags) { way##_unlock(p, FRAME); shim_irqs_on = flags; }
SPINNING(spin) SPINNING(read) SPINNING(write)

/* local_bh_enable(): the tree's own code has counted the section by the same number. */
void __local_bh_enable_ip(unsigned long ip, unsigned int count) { shim_preempt_add(-(int)count); }

/* ---- locks for which a task sleeps ---- */

#define SLEEPING_LOCK(name, mode) void name(void *p) { rt_sleeping_lock(p, mode, #name, FRAME); }
#define UNLOCK(name, mode) void name(void *p) { rt_unlock(p, mode, FRAME); }
SLEEPING_LOCK(mutex_lock, RT_WRITE) UNLOCK(mutex_unlock, RT_WRITE)
SLEEPING_LOCK(down_read, RT_READ) UNLOCK(up_read, RT_READ)
SLEEPING_LOCK(down_write, RT_WRITE) UNLOCK(up_write, RT_WRITE)
/* No actor gets a signal, so the lock is always taken. */
#define SIGNALLED_LOCK(name, mode) int name(void *p) { rt_sleeping_lock(p, mode, #name, FRAME); return 0; }
SIGNALLED_LOCK(mutex_lock_killable, RT_WRITE) SIGNALLED_LOCK(mutex_lock_interruptible, RT_WRITE)
SIGNALLED_LOCK(down_read_killable, RT_READ) SIGNALLED_LOCK(down_read_interruptible, RT_READ)
SIGNALLED_LOCK(down_write_killable, RT_WRITE)
void downgrade_write(void *p) { rt_downgrade(p, FRAME); }
int mutex_is_locked(void *p) { return shim_lock_taken(p); }
#define TRY_LOCK(name, mode) int name(void *p) { return rt_try_lock(p, mode, FRAME); }
TRY_LOCK(mutex_trylock, RT_WRITE) TRY_LOCK(down_read_trylock, RT_READ) TRY_LOCK(down_write_trylock, RT_WRITE)

/* ---- SRCU ---- */

int __srcu_read_lock(void *p) { rt_lock(p, RT_READ, FRAME); return 0; }
void __srcu_read_unlock(void *p, int i) { rt_unlock(p, RT_READ, FRAME); }
/* This also waits for readers that started later, which no caller can notice. */
void synchronize_srcu_expedited(void *p)
{
	rt_may_sleep("synchronize_srcu", FRAME);
	CALL(EV_SRCU_SYNC, 0, 0, 0, 0);
	rt_wait_for_srcu(p);
}
ALIAS(synchronize_srcu, synchronize_srcu_expedited)

/* might_sleep() and functions of Linux that begin with it. */
void shim_might_sleep(const char *function) { rt_may_sleep(function, FRAME); }
void shim_must_be_able_to_sleep(const char *function) { rt_must_be_able_to_sleep(function, FRAME); }
