// SPDX-License-Identifier: GPL-2.0-only
/*
 * The clock: it counts what the code does, so a program sees the same times whenever it runs. An event takes a microsecond,
 * reading the clock a tenth of one, and a delay or a sleep as long as it was asked to.
 */
#include "rt.h"

#define NS_PER_US	1000UL
#define NS_PER_MS	1000000UL
/* CONFIG_HZ of shim/generated/autoconf.h is 1000. */
#define NS_PER_JIFFY	NS_PER_MS
/* The system has run for a while. */
#define START		(100UL * 1000 * NS_PER_MS)

shim_u64 rt_clock = START;
volatile unsigned long jiffies = START / NS_PER_JIFFY;

void rt_pass_time(shim_u64 ns)
{
	rt_clock += ns;
	jiffies = rt_clock / NS_PER_JIFFY;
}

static shim_u64 look(void)
{
	rt_pass_time(NS_PER_US / 10);
	return rt_clock;
}

shim_u64 ktime_get(void) { return look(); }
shim_u64 ktime_get_raw(void) { return look(); }
/* All clocks began with the system. */
shim_u64 ktime_get_with_offset(int which) { return look(); }
shim_u64 ktime_get_mono_fast_ns(void) { return look(); }
shim_u64 ktime_get_raw_fast_ns(void) { return look(); }
shim_u64 ktime_get_boot_fast_ns(void) { return look(); }
shim_u64 sched_clock(void) { return look(); }
shim_u64 local_clock(void) { return look(); }

long long ktime_get_seconds(void) { return (long long)(look() / (1000 * NS_PER_MS)); }
long long ktime_get_real_seconds(void) { return ktime_get_seconds(); }
unsigned long __usecs_to_jiffies(unsigned int us) { return (us * NS_PER_US + NS_PER_JIFFY - 1) / NS_PER_JIFFY; }
unsigned long nsecs_to_jiffies(shim_u64 ns) { return ns / NS_PER_JIFFY; }
unsigned int jiffies_to_msecs(unsigned long n) { return (unsigned int)(n * NS_PER_JIFFY / NS_PER_MS); }
unsigned int jiffies_to_usecs(unsigned long n) { return (unsigned int)(n * NS_PER_JIFFY / NS_PER_US); }

/* ---- delays: the CPU spins ---- */

void __udelay(unsigned long us) { rt_pass_time(us * NS_PER_US); }
void __ndelay(unsigned long ns) { rt_pass_time(ns); }
/* A fraction of a second, in units of 2^-32. */
void __const_udelay(unsigned long fraction)
{
	rt_pass_time((shim_u64)(((unsigned __int128)fraction * (1000 * NS_PER_MS)) >> 32));
}

/* ---- sleeps end by themselves: others may run meanwhile, as when code polls ---- */

static void asleep(shim_u64 ns, const char *function, void **frame)
{
	rt_may_sleep(function, frame);
	rt_pass_time(ns);
	rt_poll(frame);
}
void usleep_range(unsigned long min, unsigned long max) { asleep(max * NS_PER_US, "usleep_range", FRAME); }
void usleep_range_state(unsigned long min, unsigned long max, unsigned int state)
{
	asleep(max * NS_PER_US, "usleep_range", FRAME);
}
void msleep(unsigned int ms) { asleep(ms * NS_PER_MS, "msleep", FRAME); }
unsigned long msleep_interruptible(unsigned int ms) { asleep(ms * NS_PER_MS, "msleep_interruptible", FRAME); return 0; }
