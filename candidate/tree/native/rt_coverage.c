// SPDX-License-Identifier: GPL-2.0-only
/*
 * How often each way through the kernel's code is taken: gcc -fprofile-arcs on its files. The counters lie in memory
 * that the driver reads: of the program under way, the sums over all programs before it and those of the start, and
 * the sums over programs that count for another tree too, which would have run just the same.
 */
#include "rt.h"
#include <unistd.h>

static shim_u64 *now, *total, *shared_total;
static size_t count;

/* Before kernel code runs. fd, at: of the shared memory. */
void shim_count_code(int fd, char *shared, long at)
{
	size_t bytes = (char *)shim_counters_end - (char *)shim_counters;

	if (!bytes)
		return;
	if (bytes > SHIM_COUNTERS * sizeof(*now) ||
	    mmap(shim_counters, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, at) == MAP_FAILED) {
		fprintf(stderr, "s2fuzz: no memory for counters\n");
		exit(2);
	}
	now = (shim_u64 *)(shared + at);
	total = now + SHIM_COUNTERS;
	shared_total = total + SHIM_COUNTERS;
	count = bytes / sizeof(*now);
	shim_control->ncounter = (unsigned int)count;
}

/* A program, or what comes before all of them, is over. */
void shim_add_counters(int for_both)
{
	for (size_t i = 0; i < count; i++)
		total[i] += now[i];
	for (size_t i = 0; for_both && i < count; i++)
		shared_total[i] += now[i];
}

/* A program begins. */
void shim_clear_counters(void)
{
	if (count)
		memset(now, 0, count * sizeof(*now));
}

/* gcc's own runtime would write files at the end. */
void __gcov_init(void *info) { }
void __gcov_exit(void) { }
void __gcov_merge_add(void) { }
