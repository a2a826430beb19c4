// SPDX-License-Identifier: GPL-2.0-only
/* Free memory with tags of another owner: ours, who had it before. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#include "init.h"

#ifndef HWCAP2_MTE
#define HWCAP2_MTE (1UL << 18)
#endif
#ifndef PROT_MTE
#define PROT_MTE 0x20
#endif
/* It goes with the first granule of each page. */
#define TAG 5UL
#define TAG_SHIFT 56
#define BLOCK (2UL << 20)
/* KiB that are left to the kernel, and that are taken at most. */
#define LEFT (192L << 10)
#define MOST (4L << 20)

static void tag_pages(char *memory, u64 size, u64 step)
{
	for (u64 at = 0; at < size; at += step) {
		u64 place = (u64)(memory + at);

		asm volatile(".arch armv8.5-a+memtag\n\tstg %0, [%1]" :: "r"(TAG << TAG_SHIFT), "r"(place) : "memory");
	}
}

/* Own so much memory, with tags, and give it back. Returns 0 or a negative errno. */
static int own(u64 size, int flags)
{
	char *memory = mmap(0, size, PROT_READ | PROT_WRITE | PROT_MTE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

	if (memory == MAP_FAILED)
		return -errno;
	if (!(flags & MAP_HUGETLB))
		madvise(memory, size, MADV_HUGEPAGE);
	tag_pages(memory, size, page_size);
	munmap(memory, size);
	return 0;
}

/* Free pages of a hugetlb pool; where hugetlb has no tags there is nothing to do. */
static void own_pool(int shift)
{
	char path[128];
	long pages;

	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%lukB/free_hugepages", (1UL << shift) >> 10);
	pages = number_in(path, "");
	if (pages > 0)
		own((u64)pages << shift, MAP_HUGETLB | shift << 26);
}

/* shifts: log2 of the sizes of the hugetlb pages that are to have some. Returns 0 or a negative errno. */
int leave_tags(char **shifts, int count)
{
	long free_kib = number_in("/proc/meminfo", "MemFree:");
	int ret = 0;

	if (!(getauxval(AT_HWCAP2) & HWCAP2_MTE))
		return -ENOSYS;
	if (free_kib > LEFT + MOST)
		free_kib = LEFT + MOST;
	if (free_kib > LEFT)
		ret = own(((u64)(free_kib - LEFT) << 10) & -BLOCK, 0);
	for (int i = 0; i < count; i++)
		own_pool(atoi(shifts[i]));
	return ret;
}
