/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The tree's header; the program decides whether another task wants to run, and cond_resched() is an event.
 */
#ifndef SHIM_LINUX_SCHED_H
#define SHIM_LINUX_SCHED_H

#include_next <linux/sched.h>
#include <shim.h>

#undef cond_resched
#define need_resched()	shim_asked(ASK_NEED_RESCHED, 0)
#define cond_resched()	shim_asked(ASK_RUN, 0)

#endif
