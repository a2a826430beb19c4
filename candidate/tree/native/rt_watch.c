// SPDX-License-Identifier: GPL-2.0-only
/* Watched words, whose plain accesses are recorded. */
#include "rt.h"

static struct { const void *p; enum shim_watch what; int vm, dirty; } watches[SHIM_MAX_VMS * 4 + 4];
int rt_any_dirty;
static int nwatch;
unsigned long rt_watch_low = -1UL, rt_watch_high;

void shim_watch(const void *p, enum shim_watch what, int vm)
{
	if (nwatch == sizeof(watches) / sizeof(*watches))
		shim_refuse("more words than are watched");
	watches[nwatch].p = p;
	watches[nwatch].what = what;
	watches[nwatch].dirty = 0;
	watches[nwatch++].vm = vm;
	if ((unsigned long)p < rt_watch_low)
		rt_watch_low = (unsigned long)p;
	if ((unsigned long)p > rt_watch_high)
		rt_watch_high = (unsigned long)p;
}

/* A VM was destroyed, and its memory may be reused. */
void shim_unwatch(int vm)
{
	int left = 0;

	rt_settle();
	for (int i = 0; i < nwatch; i++)
		if (watches[i].vm != vm)
			watches[left++] = watches[i];
	nwatch = left;
}

/* Record the words that were written. */
void rt_settle_watched(void)
{
	rt_any_dirty = 0;
	for (int i = 0; i < nwatch; i++)
		if (watches[i].dirty) {
			watches[i].dirty = 0;
			/* One record covers both words of a notifier. */
			if (watches[i].what == WATCH_SEQ)
				for (int j = 0; j < nwatch; j++)
					if (watches[j].what == WATCH_COUNT && watches[j].vm == watches[i].vm)
						watches[j].dirty = 0;
			shim_watched(watches[i].what, watches[i].vm);
		}
}

static int reports_loads(void) { return rt_recording && !shim_notifying && !rt_any_dirty; }

/* Only the notifier sequence is judged by the order of its loads. */
void shim_acquired(const volatile void *p)
{
	for (int i = 0; reports_loads() && i < nwatch; i++)
		if (watches[i].p == p && watches[i].what == WATCH_SEQ)
			rt_emit(EV_ACQUIRE, watches[i].vm, 0, 0, 0, FRAME);
}

/*
 * The samples of the notifier sequence in the current call of an actor. Two samples with the same value would hide which of them
 * the code compares later. So a notifier of other memory raises the sequence before the second one, as it may at any time. It does
 * not do so in two calls in succession: a fault that samples twice, and compares with the first value, then has an end.
 */
enum { TAKEN = 1, CHECKING = 2, RAISED = 4, RAISED_BEFORE = 8 };
static unsigned int samples;

void rt_new_samples(void) { samples = samples & RAISED ? RAISED_BEFORE : 0; }
void rt_own_samples(void) { rt_own(&samples, sizeof(samples)); }

/* Kernel code is about to load the sequence. A load after that of the count, or under the mmu lock, is no sample. */
static void will_load_sequence(const void *p, int vm)
{
	if (!(samples & CHECKING) && !rt_holds_mmu_lock()) {
		if ((samples & (TAKEN | RAISED | RAISED_BEFORE)) == TAKEN) {
			samples |= RAISED;
			++*(shim_u64 *)p;
			shim_watched(WATCH_SEQ, vm);
		}
		samples |= TAKEN;
	}
	samples &= ~CHECKING;
}

void rt_touched(const void *p, int write, void **frame)
{
	for (int i = 0; i < nwatch; i++) {
		if (watches[i].p != p)
			continue;
		if (write) {
			watches[i].dirty = rt_any_dirty = 1;
		} else if (reports_loads()) {
			if (watches[i].what == WATCH_SEQ) {
				will_load_sequence(p, watches[i].vm);
				rt_emit(EV_SEQ_READ, watches[i].vm, *(const shim_u64 *)p, 0, 0, frame);
			} else if (watches[i].what == WATCH_COUNT) {
				samples = *(const shim_u64 *)p ? samples & ~CHECKING : samples | CHECKING;
				rt_emit(EV_COUNT_READ, watches[i].vm, *(const shim_u64 *)p, 0, 0, frame);
			}
		}
	}
}
