// SPDX-License-Identifier: GPL-2.0-only
/* VMAs that kernel code has looked up: an actor may read one until it drops the mmap lock, or the VMA's own lock. */
#include "rt.h"

static unsigned long first, size;
/* By actor (element 0 is used if there is only one): bit mask of the VMAs that it may read. */
static shim_u64 looked_up[SHIM_MAX_ACTORS + 1][SHIM_MAX_VMAS / 64];
/* VMAs whose own lock the actor has dropped since. */
static shim_u64 ended[SHIM_MAX_ACTORS + 1][SHIM_MAX_VMAS / 64];
static struct { shim_u64 start, end; } areas[SHIM_MAX_VMAS];

/* Set the address of an array of SHIM_MAX_VMAS VMAs, and the size of each. Accesses are reported like those of watched words. */
void shim_vmas_at(const void *p, unsigned long bytes)
{
	first = (unsigned long)p;
	size = bytes;
	if (first < rt_watch_low)
		rt_watch_low = first;
	if (first + SHIM_MAX_VMAS * size > rt_watch_high)
		rt_watch_high = first + SHIM_MAX_VMAS * size;
}

/* Copy the bounds for a later record: other actors may have changed the host's areas by then. */
static void note_area(unsigned int i)
{
	areas[i].start = shim_control->vma[i].start;
	areas[i].end = shim_control->vma[i].end;
}

/* A VMA was looked up under the mmap lock. */
void shim_vma_found(unsigned int i)
{
	looked_up[rt_actor + 1][i / 64] |= 1ULL << i % 64;
	ended[rt_actor + 1][i / 64] &= ~(1ULL << i % 64);
	note_area(i);
}

int shim_is_vma(const void *p)
{
	return first && (unsigned long)p - first < SHIM_MAX_VMAS * size && ((unsigned long)p - first) % size == 0;
}

/* The actor has dropped the lock of a VMA. It may still read the VMA if it holds the mmap lock. */
void rt_vma_dropped(const void *p, int under_mmap)
{
	unsigned long i = ((unsigned long)p - first) / size;

	if (under_mmap) {
		shim_vma_found(i);
	} else {
		ended[rt_actor + 1][i / 64] |= 1ULL << i % 64;
		note_area(i);
	}
}

void rt_mmap_dropped(void) { memset(looked_up[rt_actor + 1], 0, sizeof(*looked_up)); }

/* Return whether an address is in a VMA. A read of a VMA that may be freed is recorded. */
int rt_in_vma(const void *p, int write, void **frame)
{
	unsigned long offset = (unsigned long)p - first, i;

	if (!first || offset >= SHIM_MAX_VMAS * size)
		return 0;
	i = offset / size;
	if (!write && !(looked_up[rt_actor + 1][i / 64] >> i % 64 & 1) && !shim_lock_held((void *)(first + i * size)))
		rt_emit(EV_VMA_READ, areas[i].start, areas[i].end, ended[rt_actor + 1][i / 64] >> i % 64 & 1, 0, frame);
	return 1;
}
