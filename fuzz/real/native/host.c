// SPDX-License-Identifier: GPL-2.0-only
/* Operations of user space and memory management on the host memory of slots. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "init.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MADV_HWPOISON
#define MADV_HWPOISON 100
#endif
#define BLOCK (2UL << 20)
#define MOVE_ALL (1 << 2)
#define MAX_SHARERS 64

static int sharers[MAX_SHARERS], sharer_count;

static void write_pages(u64 start, u64 end)
{
	volatile u64 at;

	for (at = start; at < end; at += page_size)
		if (!sigsetjmp(bad_memory, 1))
			*(volatile u64 *)at = VERSION(operation + 1);
}

static int split(u64 at)
{
	char request[96];
	u64 start = at & -page_size;

	snprintf(request, sizeof(request), "%d,0x%lx,0x%lx", getpid(), start, start + page_size);
	put("/sys/kernel/debug/split_huge_pages", request);
	return 0;
}

/*
 * Move each page to the other memory node.
 * pages, nodes and status: arrays of count entries
 */
static void move(void **pages, int *nodes, int *status, u64 first, u64 unit, u64 count)
{
	long ret;

	for (u64 i = 0; i < count; i++) {
		pages[i] = (void *)(first + i * unit);
		status[i] = -1;
	}
	ret = syscall(SYS_move_pages, 0, count, pages, 0, status, 0);
	for (u64 i = 0; i < count; i++)
		nodes[i] = status[i] == 0;
	if (!ret)
		ret = syscall(SYS_move_pages, 0, count, pages, nodes, status, MOVE_ALL);
	if (ret)
		say("# migrate: %ld %s\n", ret, ret < 0 ? strerror(errno) : "pages stay");
}

static int migrate(u64 start, u64 end, u64 unit)
{
	u64 first = start & -unit, count = (end - first + unit - 1) / unit;
	void **pages = calloc(count, sizeof(*pages));
	int *nodes = calloc(count, sizeof(*nodes)), *status = calloc(count, sizeof(*status));
	int ret = pages && nodes && status ? 0 : -ENOMEM;

	if (ret)
		say("# migrate: %s\n", strerror(-ret));
	else
		move(pages, nodes, status, first, unit, count);
	free(pages);
	free(nodes);
	free(status);
	return ret;
}

/* Fork a child that shares the range and does nothing. */
static int share(u64 start, u64 size)
{
	int child;

	if (sharer_count == MAX_SHARERS)
		return -ENOSPC;
	if (madvise((void *)start, size, MADV_DOFORK))
		say("# share: %s\n", strerror(errno));
	child = fork();
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (int fd = 3; fd < 64; fd++)
			close(fd);
		for (;;)
			pause();
	}
	madvise((void *)start, size, MADV_DONTFORK);
	if (child < 0)
		return -errno;
	sharers[sharer_count++] = child;
	return 0;
}

void end_sharers(void)
{
	for (int i = 0; i < sharer_count; i++) {
		kill(sharers[i], SIGKILL);
		waitpid(sharers[i], 0, 0);
	}
}

static int advise(u64 start, u64 size, int advice, const char *what)
{
	if (madvise((void *)start, size, advice))
		say("# %s: %s\n", what, strerror(errno));
	return 0;
}

/*
 * H: write; K: collapse; S: split; G: migrate; D: discard; U: munmap; P: poison; V: share; A: mprotect to read-only;
 * a: mprotect to read and write.
 * Returns 0 or a negative errno.
 */
int host_operation(char code, struct slot *slot, u64 offset, u64 size)
{
	u64 start = slot->hva + offset;

	switch (code) {
	case 'H':
		write_pages(start, start + size);
		return 0;
	case 'K':
		return advise(start & -BLOCK, BLOCK, MADV_COLLAPSE, "collapse");
	case 'S':
		return split(start);
	case 'G':
		return migrate(start, start + size, slot->huge ? 1UL << slot->huge : page_size);
	case 'D':
		return advise(start, size, MADV_DONTNEED, "discard");
	case 'U':
		return munmap((void *)start, size) ? -errno : 0;
	case 'A':
	case 'a':
		if (mprotect((void *)start, size, code == 'A' ? PROT_READ : PROT_READ | PROT_WRITE))
			say("# protect: %s\n", strerror(errno));
		return 0;
	case 'P':
		if (!sigsetjmp(bad_memory, 1))
			advise(start, page_size, MADV_HWPOISON, "poison");
		return 0;
	case 'V':
		return share(start, size);
	}
	return -EINVAL;
}
