// SPDX-License-Identifier: GPL-2.0-only
/* Memory slots: their host memory, guest addresses and dirty logs. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "init.h"

/* log2 of the size and alignment of a transparent huge page, with pages of 4K. */
#define BLOCK_SHIFT 21
/* Offset of a nonzero word in each page. A split would replace a page of zeroes by the kernel's zero page. */
#define MARK 2048
#define LOGGED 1UL

struct slot slots[MAX_SLOTS];
u64 page_size, device_memory;

int set_region(struct slot *slot, u64 size)
{
	struct kvm_userspace_memory_region region = { slot->number, slot->flags, slot->ipa, size, slot->hva };

	return ioctl(vms[slot->vm].fd, KVM_SET_USER_MEMORY_REGION, &region) ? -errno : 0;
}

/*
 * Enlarge a hugetlb pool that has too few free pages for a slot: poisoned pages have left it. Below 1G, add one more page
 * as the target of a migration.
 */
static void fill_pool(int shift, u64 pages)
{
	char path[128], text[32];
	long free_pages, all;

	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%lukB/free_hugepages", (1UL << shift) >> 10);
	free_pages = number_in(path, "");
	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%lukB/nr_hugepages", (1UL << shift) >> 10);
	all = number_in(path, "");
	if (free_pages >= (long)pages)
		return;
	snprintf(text, sizeof(text), "%ld", all + (long)pages - free_pages + (shift < 30));
	put(path, text);
}

/* Map device memory to exactly this range. Both have the same offset within a block of 2M, so that blocks can map it. */
static void *map_device(u64 start, u64 size)
{
	const u64 block = 1UL << BLOCK_SHIFT, within = start & (block - 1);
	int fd = open("/dev/mem", O_RDWR | O_CLOEXEC);
	void *memory = mmap((void *)start, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, device_memory + within);
	int error = errno;

	if (fd >= 0)
		close(fd);
	errno = error;
	device_memory += (within + size + block - 1) & -block;
	return memory;
}

/* Write the same word to a range, one per step. Returns 0 or a negative errno. */
static int populate(u64 start, u64 end, u64 step, u64 value)
{
	volatile u64 at;

	if (sigsetjmp(bad_memory, 1))
		return -EFAULT;
	for (at = start; at < end; at += step)
		*(volatile u64 *)at = value;
	return 0;
}

/* Map and populate the host memory of a slot, as its backing requires. Returns 0 or a negative errno. */
int back(struct slot *slot, const char *backing)
{
	int device = !strcmp(backing, "device"), shift = slot->huge ? slot->huge : device ? __builtin_ctzl(page_size) : BLOCK_SHIFT;
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | (slot->huge ? MAP_HUGETLB | slot->huge << 26 : 0);
	const u64 start = slot->hva & -(1UL << shift), end = (slot->hva + slot->size + (1UL << shift) - 1) & -(1UL << shift);
	u64 step = slot->huge ? 1UL << shift : page_size;
	void *memory;
	int ret;

	if (slot->huge)
		fill_pool(shift, (end - start) >> shift);
	if (device)
		memory = map_device(start, end - start);
	else
		memory = mmap((void *)start, end - start, PROT_READ | PROT_WRITE, flags, -1, 0);
	if (memory == MAP_FAILED)
		return -errno;
	if (!strcmp(backing, "thp"))
		madvise(memory, end - start, MADV_HUGEPAGE);
	ret = device ? populate(start, end, step, 0) : populate(start + MARK, end, step, 1);
	/* Only operations make fork() share memory. */
	madvise(memory, end - start, MADV_DONTFORK);
	return ret;
}

static u64 words_of(struct slot *slot)
{
	return (slot->size / page_size + 63) / 64;
}

/* Allocate the bitmap of a slot. Returns 0 or a negative errno. */
static int need_bitmap(struct slot *slot)
{
	if (!slot->bitmap)
		slot->bitmap = calloc(words_of(slot), sizeof(u64));
	return slot->bitmap ? 0 : -ENOMEM;
}

/*
 * Report the nonzero words of the log; a run of equal words is one range: " 0-4095:ffffffffffffffff 4097:1".
 * Returns a negative errno; 1: the outcome has been reported.
 */
static int get_log(struct slot *slot)
{
	u64 words = words_of(slot);
	struct kvm_dirty_log log = { .slot = slot->number };
	char *text;
	size_t size;
	FILE *stream;

	if (need_bitmap(slot))
		return -ENOMEM;
	memset(slot->bitmap, 0, words * sizeof(u64));
	log.dirty_bitmap = slot->bitmap;
	if (ioctl(vms[slot->vm].fd, KVM_GET_DIRTY_LOG, &log))
		return -errno;
	stream = open_memstream(&text, &size);
	if (!stream)
		return -ENOMEM;
	for (u64 i = 0; i < words; i++) {
		u64 first = i;

		if (!slot->bitmap[i])
			continue;
		while (i + 1 < words && slot->bitmap[i + 1] == slot->bitmap[first])
			i++;
		fprintf(stream, " %lu", first);
		if (i > first)
			fprintf(stream, "-%lu", i);
		fprintf(stream, ":%lx", slot->bitmap[first]);
	}
	if (fclose(stream)) {
		free(text);
		return -ENOMEM;
	}
	result("ok", "log%s", text);
	free(text);
	return 1;
}

static int clear_log(struct slot *slot, u64 offset, u64 size)
{
	u64 words = words_of(slot), first = offset / page_size / 64;
	u64 count = (size / page_size + 63) / 64;
	struct kvm_clear_dirty_log log = { slot->number, size / page_size, offset / page_size, { 0 } };
	int ret;

	if (need_bitmap(slot))
		return -ENOMEM;
	log.dirty_bitmap = slot->bitmap + first;
	ret = ioctl(vms[slot->vm].fd, KVM_CLEAR_DIRTY_LOG, &log) ? -errno : 0;
	for (u64 i = first; i < first + count && i < words; i++)
		slot->bitmap[i] = 0;
	return ret;
}

/*
 * L on|off: logging; g: collect the log; c OFFSET SIZE: clear it; X: delete; N IPA|- FLAGS: create; m IPA: move.
 * Returns 0 or a negative errno; 1: the outcome has already been reported.
 */
int slot_operation(char code, struct slot *slot, char **words, int count)
{
	struct slot old = *slot;
	int ret = 0;

	if (code == 'g')
		return get_log(slot);
	if (code == 'c')
		return count > 3 ? clear_log(slot, strtoull(words[2], 0, 0), strtoull(words[3], 0, 0)) : -EINVAL;
	if (slot->live == (code == 'N')) {
		/* An earlier creation or deletion failed. */
		result("ok", "nothing to do");
		return 1;
	}
	if (code == 'X') {
		ret = set_region(slot, 0);
		slot->live = ret != 0;
	} else if (code == 'L' && count > 2) {
		slot->flags = (slot->flags & ~LOGGED) | (strcmp(words[2], "on") ? 0 : LOGGED);
		ret = set_region(slot, slot->size);
	} else if (code == 'm' && count > 2) {
		slot->ipa = strtoull(words[2], 0, 0);
		ret = set_region(slot, slot->size);
	} else if (code == 'N' && count > 3) {
		slot->ipa = *words[2] == '-' ? slot->ipa : strtoull(words[2], 0, 0);
		slot->flags = strtoull(words[3], 0, 0);
		slot->live = 1;
		ret = set_region(slot, slot->size);
	} else {
		ret = -EINVAL;
	}
	if (ret)
		*slot = old;
	if ((!(slot->flags & LOGGED) || !slot->live) && slot->bitmap) {
		/* User space frees its copy when the log no longer exists. */
		free(slot->bitmap);
		slot->bitmap = 0;
	}
	return ret;
}
