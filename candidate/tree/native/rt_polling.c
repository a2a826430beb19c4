// SPDX-License-Identifier: GPL-2.0-only
/* Kernel code that polls or sleeps until another actor has done something. */
#include "rt.h"

/*
 * Code that polls does not return if it has made this many calls of cpu_relax() or cond_resched() and nothing has happened meanwhile, other than
 * loads, barriers, and locks that are taken and dropped. A call counts more if another actor ran or there are new records, as
 * the driver then needs time for it. If nothing happens in the turns of others either, they get their turns less and less often.
 */
#define POLLS		(1u << 24)
#define SLOW		(1u << 8)
#define LONGEST_PAUSE	(1u << 12)

unsigned long rt_made, rt_progress;

void rt_poll(void **frame)
{
	static unsigned long made, progress;
	static unsigned int polls, pause, left;		/* pause: number of calls between two turns of others */
	int turned = 0;

	if (progress != rt_progress)
		polls = pause = left = 0;
	progress = rt_progress;
	if (left) {
		left--;
	} else if (rt_actor >= 0 && rt_yield()) {
		turned = 1;
		pause = pause < LONGEST_PAUSE ? 2 * pause + 1 : pause;
		left = pause;
	}
	polls += turned || made != rt_made ? SLOW : 1;
	made = rt_made;
	if (polls > POLLS)
		shim_crash("does not return", frame, 0);
}

/* A hint only: an actor that polls lets those run that can, and continues if none can. */
void shim_cpu_relax(void)
{
	rt_pass_time(RT_EVENT_NS);
	rt_poll(FRAME);
}

/* schedule(): an actor that sleeps needs another one to wake it; otherwise others may run. */
void shim_give_way(int asleep)
{
	if (!asleep) {
		CALL(EV_CALL, 0, 0, 0, "schedule");
		rt_poll(FRAME);
	} else if (rt_actor >= 0) {
		rt_wait(LOCK_OTHER, -1, -1);
	} else {
		shim_crash("endless sleep", FRAME, 0);
	}
}
