// SPDX-License-Identifier: GPL-2.0-only
/* Tags of another owner in free memory: a child process sets them and exits. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "init.h"

#ifndef HWCAP2_MTE
#define HWCAP2_MTE (1UL << 18)
#endif
#ifndef PROT_MTE
#define PROT_MTE 0x20
#endif
/* Tag of the first granule of each page. */
#define TAG 5UL
#define BLOCK (2UL << 20)
/* Free memory that the kernel keeps, and the maximum to tag. */
#define RESERVED_KIB (192L << 10)
#define MAX_TAGGED_KIB (4L << 20)

static void tag_pages(char *memory, u64 size, u64 step)
{
	for (u64 at = 0; at < size; at += step) {
		u64 place = (u64)(memory + at);

		asm volatile(".arch armv8.5-a+memtag\n\tstg %0, [%1]" :: "r"(TAG << TAG_SHIFT), "r"(place) : "memory");
	}
}

/* Allocate and tag memory. Returns 0 or a negative errno. */
static int tagged(u64 size, int flags)
{
	char *memory = mmap(0, size, PROT_READ | PROT_WRITE | PROT_MTE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

	if (memory == MAP_FAILED)
		return -errno;
	if (!(flags & MAP_HUGETLB))
		madvise(memory, size, MADV_HUGEPAGE);
	tag_pages(memory, size, page_size);
	return 0;
}

/* Run a child process that allocates and tags memory of this size, and exits. Returns 0 or a negative errno. */
static int tag_free_memory(u64 size, int flags)
{
	int status, child = fork();

	if (!child)
		_exit(-tagged(size, flags));
	if (child < 0 || waitpid(child, &status, 0) < 0 || !WIFEXITED(status))
		return -ENOMEM;
	return -WEXITSTATUS(status);
}

/* Do the same with the free pages of a hugetlb pool. Returns 0 or a negative errno. */
static int tag_pool(int shift)
{
	char path[128];
	long pages;

	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%lukB/free_hugepages", (1UL << shift) >> 10);
	pages = number_in(path, "");
	return pages > 0 ? tag_free_memory((u64)pages << shift, MAP_HUGETLB | shift << 26) : 0;
}

/* shifts: log2 of the sizes of hugetlb pages to tag as well. Returns 0 or a negative errno. */
int leave_tags(char **shifts, int count)
{
	long all = number_in("/proc/meminfo", "MemFree:"), free_kib = all;
	int ret;

	if (!(getauxval(AT_HWCAP2) & HWCAP2_MTE))
		return -ENOSYS;
	if (free_kib > RESERVED_KIB + MAX_TAGGED_KIB)
		free_kib = RESERVED_KIB + MAX_TAGGED_KIB;
	if (free_kib <= RESERVED_KIB)
		return -ENOMEM;
	ret = tag_free_memory(((u64)(free_kib - RESERVED_KIB) << 10) & -BLOCK, 0);
	for (int i = 0; !ret && i < count; i++)
		ret = tag_pool(atoi(shifts[i]));
	say("# %ld of %ld KiB of free memory had tags before\n", ret ? 0 : free_kib - RESERVED_KIB, all);
	return ret;
}
