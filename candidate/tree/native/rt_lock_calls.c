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
#define LOCK(way, name) void name(void *p) { way##_lock(p, FRAME); }
#define UNLOCK(way, name) void name(void *p) { way##_unlock(p, FRAME); }
#define TRY(way, name) int name(void *p) { return way##_trylock(p, FRAME); }
#define LOCK_IRQ(way, name) void name(void *p) { irqs_off(); way##_lock(p, FRAME); }
#define UNLOCK_IRQ(way, name) void name(void *p) { way##_unlock(p, FRAME); shim_irqs_on = 1; }
#define LOCK_SAVE(way, name) unsigned long name(void *p) \
{ \
	unsigned long flags = irqs_off(); \
\
	way##_lock(p, FRAME); \
	return flags; \
}
#define UNLOCK_RESTORE(way, name) void name(void *p, unsigned long flags) { way##_unlock(p, FRAME); shim_irqs_on = flags; }
LOCK(spin, _raw_spin_lock) UNLOCK(spin, _raw_spin_unlock) TRY(spin, _raw_spin_trylock)
LOCK(spin, _raw_spin_lock_bh) UNLOCK(spin, _raw_spin_unlock_bh) TRY(spin, _raw_spin_trylock_bh)
LOCK_IRQ(spin, _raw_spin_lock_irq) UNLOCK_IRQ(spin, _raw_spin_unlock_irq)
LOCK_SAVE(spin, _raw_spin_lock_irqsave) UNLOCK_RESTORE(spin, _raw_spin_unlock_irqrestore)
LOCK(read, _raw_read_lock) UNLOCK(read, _raw_read_unlock) TRY(read, _raw_read_trylock)
LOCK(read, _raw_read_lock_bh) UNLOCK(read, _raw_read_unlock_bh) TRY(read, _raw_read_trylock_bh)
LOCK_IRQ(read, _raw_read_lock_irq) UNLOCK_IRQ(read, _raw_read_unlock_irq)
LOCK_SAVE(read, _raw_read_lock_irqsave) UNLOCK_RESTORE(read, _raw_read_unlock_irqrestore)
LOCK(write, _raw_write_lock) UNLOCK(write, _raw_write_unlock) TRY(write, _raw_write_trylock)
LOCK(write, _raw_write_lock_bh) UNLOCK(write, _raw_write_unlock_bh) TRY(write, _raw_write_trylock_bh)
LOCK_IRQ(write, _raw_write_lock_irq) UNLOCK_IRQ(write, _raw_write_unlock_irq)
LOCK_SAVE(write, _raw_write_lock_irqsave) UNLOCK_RESTORE(write, _raw_write_unlock_irqrestore)

/* local_bh_enable(): the tree's own code has counted the section by the same number. */
void __local_bh_enable_ip(unsigned long ip, unsigned int count) { shim_preempt_add(-(int)count); }

/* ---- locks for which a task sleeps ---- */

#define SLEEPING_LOCK(name, mode) void name(void *p) { rt_sleeping_lock(p, mode, #name, FRAME); }
#define WAKING_UNLOCK(name, mode) void name(void *p) { rt_unlock(p, mode, FRAME); }
SLEEPING_LOCK(mutex_lock, RT_WRITE) WAKING_UNLOCK(mutex_unlock, RT_WRITE)
SLEEPING_LOCK(down_read, RT_READ) WAKING_UNLOCK(up_read, RT_READ)
SLEEPING_LOCK(down_write, RT_WRITE) WAKING_UNLOCK(up_write, RT_WRITE)
/* No actor gets a signal, so the lock is always taken. */
#define SIGNALLED_LOCK(name, mode) int name(void *p) { rt_sleeping_lock(p, mode, #name, FRAME); return 0; }
SIGNALLED_LOCK(mutex_lock_killable, RT_WRITE) SIGNALLED_LOCK(mutex_lock_interruptible, RT_WRITE)
SIGNALLED_LOCK(down_read_killable, RT_READ) SIGNALLED_LOCK(down_read_interruptible, RT_READ)
SIGNALLED_LOCK(down_write_killable, RT_WRITE)
void downgrade_write(void *p) { rt_downgrade(p, FRAME); }
int mutex_is_locked(void *p) { return shim_lock_taken(p); }
#define TRY_LOCK(name, mode) int name(void *p) { return rt_try_lock(p, mode, FRAME); }
TRY_LOCK(mutex_trylock, RT_WRITE) TRY_LOCK(down_read_trylock, RT_READ) TRY_LOCK(down_write_trylock, RT_WRITE)

/* The lock of a page of a file. */
void shim_lock_folio(void *p) { rt_sleeping_lock(p, RT_WRITE, "folio_lock", FRAME); }
void shim_unlock_folio(void *p) { rt_unlock(p, RT_WRITE, FRAME); }

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
