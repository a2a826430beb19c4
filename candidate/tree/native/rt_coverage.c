// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counts of how often each path through the kernel's code is taken, by gcc -fprofile-arcs. The counters are in memory that the
 * driver reads: those of the current program; the sums over all programs before it and the start of the process; and the sums
 * over programs that count for another tree too, because that tree would have done exactly the same.
 */
#include "rt.h"
#include <unistd.h>

static shim_u64 *now, *total, *shared_total;
static size_t count;

/* Map the counters into the shared memory, before kernel code runs. fd: the file of the shared memory. */
void shim_count_code(int fd, char *shared)
{
	size_t bytes = (char *)shim_counters_end - (char *)shim_counters;

	if (!bytes)
		return;
	if (bytes > SHIM_COUNTERS * sizeof(*now) ||
	    mmap(shim_counters, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, SHIM_COUNTERS_AT) == MAP_FAILED)
		rt_cannot_start("no memory for counters");
	now = (shim_u64 *)(shared + SHIM_COUNTERS_AT);
	total = (shim_u64 *)(shared + SHIM_TOTALS_AT);
	shared_total = (shim_u64 *)(shared + SHIM_SHARED_TOTALS_AT);
	count = bytes / sizeof(*now);
	shim_control->ncounter = (unsigned int)count;
}

/* At the end of a program, or of the start of the process: add its counters to the sums. */
void shim_add_counters(int for_both)
{
	/* Most code does not run in a program. The counters fill whole pages. */
	for (size_t i = 0; i < count; i += 8) {
		if (!(now[i] | now[i + 1] | now[i + 2] | now[i + 3] | now[i + 4] | now[i + 5] | now[i + 6] | now[i + 7]))
			continue;
		for (size_t j = i; j < i + 8; j++) {
			total[j] += now[j];
			if (for_both)
				shared_total[j] += now[j];
		}
	}
}

/* At the beginning of a program. */
void shim_clear_counters(void)
{
	if (count)
		memset(now, 0, count * sizeof(*now));
}

/* Replaces gcc's own runtime, which would write files at exit. */
void __gcov_init(void *info) { }
void __gcov_exit(void) { }
void __gcov_merge_add(void) { }
